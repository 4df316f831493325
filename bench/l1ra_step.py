"""Claim: a training step on L1RA adapters takes as long as one on LoRA of the same ranks.

`l1ra` begins above these ranks, and comes down to their parameters; `l1ra-same` has them throughout. These and the
arms of the study take turns on the same examples: ours on a packed batch, PEFT's AdaLoRA on a padded one, as its
users have it. A rank event is timed apart: there are few of them in a run. With each arm's time stands what it
holds in training: adapters, gradients and moments, by the sizes of the tensors after its steps."""

from collections.abc import Iterable
from functools import partial
from statistics import median

import torch
from torch import Tensor

from l1ra_arms import ARMS, AdaLora, Shape, run_of
from measuring import in_turn, median_ratio, options, report, seconds
from paring.adapters.attach import parameters_by_name
from paring.adapters.kinds import L1ra
from paring.policy.packing import Labelled, pack_examples
from paring.training.config import SftRun
from paring.training.optim import Optimiser
from paring.training.policy_of_run import load_policy
from paring.training.rank_events import gate_rule, rank_event
from paring.training.sft import fit

SAME = {"l1ra-same": {"kind": "l1ra", "slack": 1.0}}
STEPS = 100
"""The length of the run that the steps are taken from: it decides learning rates and events, and is not run."""


class Ours:
    """A policy with its optimiser, that makes steps on command."""

    def __init__(self, run: SftRun) -> None:
        self.run, (self.policy, _) = run, load_policy(run)
        named = parameters_by_name(self.policy.adapters)
        self.optimiser = Optimiser(named, run.optimiser, gate_rule(run.adapter, run.steps))

    def step(self, examples: list[Labelled]) -> None:
        fit(self.policy, self.optimiser, examples, lr=self.run.optimiser.lr, tokens_per_pass=4096, seed=0)

    def held_bytes(self) -> int:
        return training_bytes(self.optimiser.named.values(), self.optimiser.adamw)

    def event(self, examples: list[Labelled]) -> None:
        adapter, probe = self.run.adapter, pack_examples(examples[:1], self.policy.device)
        assert isinstance(adapter, L1ra)
        rank_event(adapter, self.policy, self.optimiser, probe, step=STEPS // 2, steps=STEPS, seed=0)


class Peer:
    """AdaLoRA, its steps counted."""

    def __init__(self, run: SftRun) -> None:
        self.adalora, self.numbers = AdaLora(run), iter(range(1, STEPS))

    def step(self, examples: list[Labelled]) -> None:
        self.adalora.step(examples, next(self.numbers))

    def held_bytes(self) -> int:
        return training_bytes(self.adalora.trained, self.adalora.optimiser)


def main() -> None:
    parser = options(__doc__, "model", at_least=0.97, batch=4, length=128, rank=16, pairs=7)
    parser.add_argument("--arms", default=",".join(ARMS | SAME), help="with lora, l1ra and l1ra-same among them")
    arguments = parser.parse_args()
    shape = Shape(arguments.model, "none", STEPS, arguments.batch, arguments.length, 1, arguments.rank, 10)
    runs = {arm: run_of(shape, (ARMS | SAME)[arm], lr=1e-4, seed=0) for arm in arguments.arms.split(",")}
    ours = {arm: Ours(run) for arm, run in runs.items() if arm != "adalora"}
    arms: dict[str, Ours | Peer] = ours | {arm: Peer(run) for arm, run in runs.items() if arm == "adalora"}
    examples = random_examples(arguments.batch, arguments.length, ours["lora"].policy.model.config.vocab_size)
    sides = [partial(seconds, partial(arm.step, examples)) for arm in arms.values()]
    times = {arm: spent[1:] for arm, spent in zip(arms, in_turn(arguments.pairs + 1, *sides), strict=True)}
    of_event = seconds(lambda: ours["l1ra"].event(examples))
    report(
        arguments,
        "a training step, seconds: LoRA / L1RA of the same ranks",
        median_ratio(times["lora"], times["l1ra-same"]),
        ratio_to_lora={arm: median_ratio(spent, times["lora"]) for arm, spent in times.items()},
        seconds={arm: median(spent) for arm, spent in times.items()},
        seconds_event=of_event,
        training_mb={arm: side.held_bytes() / 1e6 for arm, side in arms.items()},
    )


def training_bytes(parameters: Iterable[Tensor], optimiser: torch.optim.Optimizer) -> int:
    """The bytes of parameters, their gradients, and what the optimiser keeps of them."""
    kept = [tensor for state in optimiser.state.values() for tensor in state.values()]
    return sum(2 * parameter.nbytes for parameter in parameters) + sum(tensor.nbytes for tensor in kept)


def random_examples(batch: int, length: int, vocabulary: int) -> list[Labelled]:
    """Half of each is learned."""
    tokens_BN = torch.randint(vocabulary, (batch, length), generator=torch.Generator().manual_seed(0))
    learned = tuple(place >= length // 2 for place in range(length))
    return [Labelled(tuple(tokens), learned) for tokens in tokens_BN.tolist()]


if __name__ == "__main__":
    main()
