"""Arithmetic, not measurement: what bases of 1.5B, 8B and 70B parameters take on 1, 8 and 64 GPUs (docs/scale.md)."""

import math
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache, cached_property

from gpu_models import config_of
from paring.planning import parts
from paring.planning.job import Job, Rollouts
from paring.planning.shapes import Shapes, on_meta, shapes_of
from paring.rollout.room import key_value_bytes
from paring.runtime.tables import Table

BASES = {"1.5B": "1.5b", "8B": "8b", "70B": "70b"}
GPUS = (1, 8, 64)
MEMORY, HBM, PEAK = 80e9, 3.35e12, 989e12
"""H100 SXM, NVIDIA's data sheet: bytes, bytes a second, dense bf16 operations a second."""
NVLINK, NETWORK, FOLDER = 450e9, 50e9, 1e9
"""Bytes a second: of a GPU to others of its node (data sheet), to other nodes (400 Gbit/s), and of the shared folder,
reads and writes of all machines together (assumed)."""
IN_A_NODE = 8
COLOCATED, ALONE = 0.45, 0.9
"""The share of a GPU that a server takes beside training, as paring starts it, and by vLLM's default alone."""
SERVERS_GPUS = {"1.5B": 1, "8B": 1, "70B": 4}
"""GPUs of one server: 70B in bf16 takes 141e9 bytes."""
PUBLISHED = {"1.5B": 13_899 / 2 * 8.03 / 1.54, "8B": 13_899 / 2, "70B": 4_146 / 4}
"""Answer tokens a second of one GPU. TensorRT-LLM's performance overview, H100, 1,000 tokens in and 2,000 out, FP8:
13,899 for Llama 3.1 8B on one GPU, 4,146 for Llama 3.3 70B on two. bf16 is taken as half as fast; 1.5B as faster than
8B by the ratio of their parameters."""
LORA_4B = 48_700 / 8
"""Tokens a second and GPU: prime-rl, trainer alone, Qwen3-4B, LoRA of rank 16, 16k tokens, 8 H100 (BENCHMARKS.md)."""
BF16, FP32 = 2, 4
CANARY_TOKENS = 8


@dataclass(frozen=True)
class Step:
    """The work of a step, and how it is cut."""

    problems: int = 64
    group: int = 16
    prompt: int = 512
    answer: int = 2048
    rank: int = 32
    ahead: int = 1
    tokens_per_pass: int = 4096
    activations_gb: float = 8.0

    @property
    def answer_tokens(self) -> int:
        return self.problems * self.group * self.answer


@dataclass(frozen=True)
class Base:
    """A base with LoRA on all its linear modules, in training on a GPU."""

    name: str
    shapes: Shapes
    job: Job

    @cached_property
    def trained(self) -> int:
        return parts.trained(self.shapes, self.job)

    @cached_property
    def activations(self) -> int:
        """At the peak of the backward pass, but for the layouts of all answers."""
        working = max(parts.logits(self.shapes, self.job), parts.backward_working(self.shapes, self.job))
        return parts.activations(self.shapes, self.job) + working

    @property
    def weights(self) -> int:
        return BF16 * self.shapes.parameters

    @property
    def adapter(self) -> int:
        """Bytes of a published version: paring writes fp32."""
        return FP32 * self.trained

    @property
    def computed_again(self) -> float:
        """The share of the layers that are, in the backward pass."""
        kept = parts.layers_kept(self.shapes, self.job, self.job.largest_pass)
        return 1 - kept / self.shapes.layers

    @property
    def key_values(self) -> int:
        """Bytes of a token in a server's cache."""
        one = self.shapes
        return key_value_bytes(layers=one.layers, key_heads=one.key_heads, head_size=one.head_size, itemsize=BF16)


@cache
def base(name: str, step: Step) -> Base:
    shapes = shapes_of(on_meta(config_of(BASES[name])))
    work = Rollouts(step.problems, step.group, step.prompt, step.answer, step.group)
    cut = {"tokens_per_pass": step.tokens_per_pass, "activation_bytes": step.activations_gb * 1e9}
    return Base(
        name,
        shapes,
        Job("lora", step.rank, shapes.linear, work, itemsize=BF16, state_itemsize=BF16, on_gpu=True, fused=True, **cut),
    )


def operations_of_a_token(shapes: Shapes, trained: int, keys: float) -> float:
    """In training, one update, no KL term: forward 2 for each weight, as many for the gradient of the inputs; 6 for
    each number of the adapters; attention over `keys` keys, forward once and backward twice."""
    multiplied = shapes.linear_weights + shapes.head
    attention = 3 * 4 * shapes.layers * shapes.heads * shapes.head_size * keys
    return 4 * multiplied + 6 * trained + attention


def share_of_the_peak() -> float:
    """The rate of prime-rl's trainer by the same count of operations: Qwen3-4B, 16k tokens of context."""
    layers, hidden, intermediate, heads, key_heads, size, vocabulary = 36, 2560, 9728, 32, 8, 128, 151_936
    layer = hidden * size * (2 * heads + 2 * key_heads) + 3 * hidden * intermediate
    rank_costs = 2 * (hidden + heads * size) + 2 * (hidden + key_heads * size) + 3 * (hidden + intermediate)
    attention = 3 * 4 * layers * heads * size * 16_384 / 2
    operations = 4 * (layers * layer + vocabulary * hidden) + 6 * 16 * layers * rank_costs + attention
    return LORA_4B * operations / PEAK


@dataclass(frozen=True)
class Layout:
    """GPUs that serve and that train; of one GPU both. `sharded`: each trainer holds a part of the layers. `free`: the
    phase that is taken as without cost, to see what it costs."""

    base: Base
    step: Step
    gpus: int
    serving: int
    training: int
    sharded: bool
    free: str = ""

    def trainer_parts(self) -> dict[str, float]:
        """Bytes on each trainer's GPU, at the peak of the backward pass."""
        shapes, job = self.base.shapes, self.base.job
        layers, whole = BF16 * shapes.linear_weights, self.base.weights - BF16 * shapes.linear_weights
        two_layers = 2 * layers / shapes.layers  # the one at work, and the next, which is fetched
        return {
            "weights": whole + (layers / self.training + two_layers if self.sharded else layers),
            "adapters": FP32 * self.base.trained * (1 + self.step.ahead + 1),  # and the copies of rollout.ahead
            "gradients and Adam": FP32 * self.base.trained * (1 + 2 + 1),  # the last: roots, within its step
            "activations": self.base.activations + parts.layouts(job) / self.training,
        }

    @property
    def trainer(self) -> float:
        return sum(self.trainer_parts().values())

    @property
    def each(self) -> int:
        """GPUs of one server."""
        return min(SERVERS_GPUS[self.base.name], self.serving)

    @property
    def servers(self) -> int:
        return self.serving // self.each

    @property
    def answers_at_once(self) -> int:
        """Answers of full length whose keys and values a server holds."""
        share = COLOCATED if self.gpus == 1 else ALONE
        slots = (self.step.ahead + 2) * BF16 * self.base.trained
        left = (share * MEMORY * self.each) - self.base.weights - slots - 2e9 * self.each
        return max(0, int(left / self.base.key_values / (self.step.prompt / self.step.group + self.step.answer)))

    @property
    def fits(self) -> bool:
        room = MEMORY * (1 - COLOCATED if self.gpus == 1 else 1)
        return self.trainer <= 0.9 * room and self.answers_at_once >= self.step.group

    def seconds_sampling(self) -> tuple[float, float]:
        """By the rate, and of the longest answer alone: a token takes at least a look at all weights."""
        rate = PUBLISHED[self.base.name] * self.serving
        return self.step.answer_tokens / rate, self.step.answer * self.token_seconds

    @property
    def token_seconds(self) -> float:
        return self.base.weights / self.each / HBM

    def seconds_training(self) -> float:
        step, shapes = self.step, self.base.shapes
        tokens = step.answer_tokens + step.problems * step.prompt
        one = operations_of_a_token(shapes, self.base.trained, step.prompt + step.answer / 2)
        one *= 1 + self.base.computed_again / 3  # a third pass, where the backward is taken as twice the forward
        return tokens * one / (share_of_the_peak() * PEAK * self.training) + self.seconds_gathering(tokens)

    def seconds_gathering(self, tokens: int) -> float:
        """Seconds to fetch the layers that other processes hold, forward and backward, as if none were hidden."""
        if not self.sharded:
            return 0.0
        passes = math.ceil(tokens / self.step.tokens_per_pass / self.training)
        link = NVLINK if self.training <= IN_A_NODE else NETWORK
        return passes * 2 * BF16 * self.base.shapes.linear_weights * (1 - 1 / self.training) / link

    def seconds_publishing(self) -> float:
        """Written once, read by every server; then the canary, when it is loaded and when a rollout ends."""
        return self.base.adapter * (1 + self.servers) / FOLDER + 2 * CANARY_TOKENS * self.token_seconds

    def seconds(self) -> dict[str, float]:
        phases = {
            "sampling": max(self.seconds_sampling()),
            "training": self.seconds_training(),
            "publishing": self.seconds_publishing(),
        }
        return phases | ({self.free: 0.0} if self.free else {})

    @property
    def step_seconds(self) -> float:
        """With `ahead`, sampling beside training; publishing holds up the trainer. One GPU takes turns."""
        one = self.seconds()
        if self.gpus == 1:
            return sum(one.values())
        return max(one["sampling"], one["training"] + one["publishing"])

    def words(self) -> str:
        """The largest part of a phase."""
        rate, longest = self.seconds_sampling()
        sampling = "the longest answer" if longest > rate else "sampling"
        gathering = self.seconds_gathering(self.step.answer_tokens)
        training = "fetching layers" if gathering > self.seconds_training() / 2 else "training"
        return {"sampling": sampling, "training": training, "publishing": "the shared folder"}[self.costs_most()[0]]

    def costs_most(self) -> tuple[str, float]:
        """The phase without which a step would be shortest, the GPUs divided anew; and that step's seconds."""
        without = {phase: best(self.base.name, self.gpus, self.step, free=phase) for phase in self.seconds()}
        seconds = {phase: one.step_seconds for phase, one in without.items() if one is not None}
        return min(seconds.items(), key=lambda item: item[1])


def best(name: str, gpus: int, step: Step, free: str = "") -> Layout | None:
    """The division of the GPUs with the shortest step, of those that fit; None where none does."""
    one = base(name, step)
    each = SERVERS_GPUS[name]
    shares = [(1, 1)] if gpus == 1 else [(n, gpus - n) for n in range(each, gpus, each)]
    made = [
        Layout(one, step, gpus, *share, sharded=sharded, free=free) for share in shares for sharded in (False, True)
    ]
    fitting = [layout for layout in made if layout.fits and (layout.training > 1 or not layout.sharded)]
    return min(fitting, key=lambda layout: layout.step_seconds, default=None)


def tables(step: Step) -> Iterator[tuple[str, Table]]:
    gigabytes = [f"{name}, 10^9 bytes" for name in ("weights", "adapter, published", "keys and values of an answer")]
    rows = []
    for name in BASES:
        one = base(name, step)
        per_answer = one.key_values * (step.prompt + step.answer)
        rows.append([name, f"{one.shapes.parameters / 1e9:.2f}", f"{one.trained / 1e6:.0f}"])
        rows[-1] += [f"{size / 1e9:.2f}" for size in (one.weights, one.adapter, per_answer)]
    yield "Bases", Table(("base", "parameters, 10^9", "trained, 10^6", *gigabytes), rows)
    layouts = [(name, gpus, best(name, gpus, step)) for name in BASES for gpus in GPUS]
    names = ("weights", "adapters", "gradients and Adam", "activations")
    rows = []
    for name, gpus, one in layouts:
        if one is None:
            rows.append([name, str(gpus), "does not fit", *[""] * (len(names) + 3)])
            continue
        place = "both" if gpus == 1 else f"{one.serving} + {one.training}"
        held = [f"{size / 1e9:.1f}" for size in one.trainer_parts().values()]
        answers = f"{one.answers_at_once:,}"
        rows.append(
            [name, str(gpus), place, *held, f"{one.trainer / 1e9:.1f}", "yes" if one.sharded else "no", answers]
        )
    heads = ("base", "GPUs", "serve + train", *names, "trainer, all", "sharded", "answers at once, a server")
    yield "Memory of a trainer's GPU, 10^9 bytes", Table(heads, rows)
    rows = []
    for name, gpus, one in layouts:
        if one is None:
            continue
        seconds = one.seconds()
        rate = step.answer_tokens / one.step_seconds
        shown = [f"{value:.1f}" for value in (*seconds.values(), one.step_seconds)]
        rows.append([name, str(gpus), *shown, f"{rate:,.0f}", one.words(), f"{one.costs_most()[1]:.1f}"])
    heads = ("base", "GPUs", "sampling, s", "training, s", "publishing, s", "step, s", "answer tokens a second")
    yield "A step", Table((*heads, "bottleneck", "step without it, s"), rows)


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    for one in fields(Step):
        parser.add_argument(
            f"--{one.name.replace('_', '-')}",
            type=type(one.default),
            default=one.default,
            help=f"default {one.default}",
        )
    step = Step(**vars(parser.parse_args()))
    print(f"The share of the peak in training, from prime-rl's figure: {share_of_the_peak():.2f}\n")
    for title, table in tables(step):
        print(f"**{title}**\n", *table.as_markdown(), "", sep="\n")


if __name__ == "__main__":
    main()
