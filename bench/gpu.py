"""One command for a bare CUDA machine: is it right there, how fast, in how much memory. No network is needed.

Parts: `equality` of packed and padded passes in fp32 and bf16; `rollout` against transformers' generate; a `step` of
reinforcement learning by phase; the same step by `trl`, where that is installed. Each part of each model is a line of
JSON. `--tiny` makes all of it in seconds on a CPU, which shows that the script runs, and nothing else."""

import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from copy import copy
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from batches import evenly, mixed_lengths, random_groups
from generating import CACHES, generated, sampled
from gpu_models import SHAPES, by_transformers, in_precision, random_policy, random_problems
from measuring import in_turn, median_ratio, report
from paring import load_run
from paring.adapters.attach import parameters_by_name
from paring.policy.model import Policy
from paring.policy.packing import Shared
from paring.rollout.lagged import LaggedEngine
from paring.rollout.local import LocalEngine
from paring.runtime.gpu import begin_peaks, peaks
from paring.training.config import Run
from paring.training.optim import Optimiser
from paring.training.rl import rl_step
from paring.training.setup import Setup
from passes import packed_pass, padded_pass
from questions import Questions

SIZES = {"problems": 8, "group": 8, "prompt": 128, "new_tokens": 256, "rank": 16, "tokens_per_pass": 8192}
REPEATS = {"pairs": 3, "steps": 3}
TINY = {"problems": 2, "group": 3, "prompt": 9, "new_tokens": 6, "rank": 4, "tokens_per_pass": 64}
TINY |= {"pairs": 1, "steps": 1}
KL = 0.005
Slope = tuple[Tensor, Tensor]
"""Log-probs [M], and the gradient of all adapters as one vector."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
EXACT = 1e-3
"""Nats a token by which packed and padded may differ in fp32."""
ROUNDING = 1.5
"""In bf16, the mean error of packed log-probs may be so many times that of padded ones. Both are against fp32 products
of the same weights."""


def equality(arguments: Namespace, name: str) -> None:
    """Log-probs and gradients of a training pass, packed and padded, in both precisions, of the same weights."""
    lengths = mixed_lengths(arguments.problems * arguments.group, arguments.new_tokens)
    prompts = evenly(max(1, arguments.prompt // 2), arguments.prompt, arguments.problems)
    advantage_B = torch.randn(len(lengths), generator=torch.Generator().manual_seed(0))
    policy = random_policy(name, torch.bfloat16, arguments.device, rank=arguments.rank)
    groups = random_groups(prompts, lengths, policy.model.config.vocab_size)
    (ours, ours_slope), (theirs, theirs_slope) = both_passes(policy, groups, advantage_B)
    in_precision(policy.model, torch.float32)
    (exact, exact_slope), (plain, plain_slope) = both_passes(policy, groups, advantage_B)
    error = float((exact - plain).abs().max())
    rounding = {"packed": float((ours - plain).abs().mean()), "padded": float((theirs - plain).abs().mean())}
    _line(
        arguments,
        name,
        "packed and padded passes give the same log-probs: the bounds of the differences / the differences, the least",
        min(EXACT / max(error, 1e-12), ROUNDING * rounding["padded"] / max(rounding["packed"], 1e-12)),
        at_least=1.0,
        largest_difference_fp32=error,
        mean_error_bf16=rounding,
        gradient_cosine={
            "fp32": _cosine(exact_slope, plain_slope),
            "bf16_packed": _cosine(ours_slope, plain_slope),
            "bf16_padded": _cosine(theirs_slope, plain_slope),
        },
        completion_tokens=sum(lengths),
    )


def both_passes(policy: Policy, groups: Sequence[Shared], advantage_B: Tensor) -> tuple[Slope, Slope]:
    """The packed pass, and the padded one."""

    def with_slope(logp_M: Tensor) -> Slope:
        slopes = [parameter.grad for parameter in parameters_by_name(policy.adapters).values()]
        return logp_M.float().cpu(), torch.cat([slope.flatten() for slope in slopes if slope is not None]).cpu()

    policy = Policy(policy.model, policy.tokenizer, policy.adapters)  # probed in this precision
    packed = with_slope(packed_pass(policy, groups, advantage_B))
    with by_transformers(policy.model) as model:
        return packed, with_slope(padded_pass(model, groups, advantage_B))


def _cosine(one: Tensor, other: Tensor) -> float:
    return float(functional.cosine_similarity(one.double(), other.double(), dim=0))


def rollout(arguments: Namespace, name: str) -> None:
    """Tokens a second, ours against generate, in turn: with adapters beside the weights, and without any."""
    policy = random_policy(name, DTYPES[arguments.dtype], arguments.device, rank=arguments.rank)
    problems = random_problems(arguments.problems, arguments.prompt, policy.model.config.vocab_size)

    def peer(cache: str, *, new_tokens: int, adapters: bool = True) -> Any:
        with by_transformers(policy.model) as model:
            if adapters:
                return generated(model, policy, problems, arguments.group, new_tokens, cache)
            with policy.reference():
                return generated(model, policy, problems, arguments.group, new_tokens, cache)

    sides: dict[str, Callable[..., Any]] = {"ours": partial(sampled, policy, problems, arguments.group)}
    sides |= {f"generate_{cache}": partial(peer, cache) for cache in CACHES}
    sides["generate_merged"] = partial(peer, "dynamic", adapters=False)  # as fast as a merged model
    for side in sides.values():
        side(new_tokens=2)
    begin_peaks(policy.device)
    turns = in_turn(arguments.pairs, *[partial(side, new_tokens=arguments.new_tokens) for side in sides.values()])
    rates = {name: tuple(rolled.rate for rolled in turn) for name, turn in zip(sides, turns, strict=True)}
    middle = {name: median(rate) for name, rate in rates.items()}
    best = max((f"generate_{cache}" for cache in CACHES), key=lambda name: middle[name])
    _line(
        arguments,
        name,
        "rollout, completion tokens a second: ours / the better of generate's caches, adapters beside the weights",
        median_ratio(rates["ours"], rates[best]),
        at_least=3.0,
        ratio_merged=median_ratio(rates["ours"], rates["generate_merged"]),
        tokens_per_second=middle,
        tokens={name: median(rolled.tokens for rolled in turn) for name, turn in zip(sides, turns, strict=True)},
        **peaks(policy.device),
    )


def step(arguments: Namespace, name: str) -> dict[str, Any]:
    """Steps of reinforcement learning with a KL term. The first one, which fetches and compiles, is not counted."""
    policy = random_policy(name, DTYPES[arguments.dtype], arguments.device, rank=arguments.rank)
    run = _run(arguments, policy)
    engine = LocalEngine(policy, rows=run.rollout.rows)
    sampler = LaggedEngine(engine, policy.adapters, every=1)
    train = run.task.problems("train")
    setup = Setup(policy, run.task, {}, train, run.objective.opened(), engine, sampler)
    optimiser = Optimiser(parameters_by_name(policy.adapters), run.optimiser)
    made, memory = [], []
    for number in range(1, run.steps + 1):
        begin_peaks(policy.device)
        made.append(rl_step(run, setup, optimiser, number))
        memory.append(peaks(policy.device))
    metrics = [one.metrics for one in made[1:]]
    tokens = [round(one["length"] * arguments.problems * arguments.group) for one in metrics]
    found = {
        "seconds": median(one.seconds for one in made[1:]),
        "seconds_a_token": median(one.seconds / count for one, count in zip(made[1:], tokens, strict=True)),
        "seconds_by_phase": {
            phase.removeprefix("seconds_"): median(one[phase] for one in metrics)
            for phase in metrics[0]
            if phase.startswith("seconds_")
        },
        "tokens": median(tokens),
        **{key: max(one[key] for one in memory[1:]) for key in memory[0]},
    }
    _line(arguments, name, "a step of reinforcement learning, by phase; there is no peer", None, at_least=None, **found)
    return found


def _run(arguments: Namespace, policy: Policy) -> Run:
    steps = 1 + arguments.steps
    problems = random_problems(arguments.problems * steps + 1, arguments.prompt, policy.model.config.vocab_size)
    run = copy(
        load_run(
            "gsm8k-rgra",
            steps=steps,
            rollout={
                "problems": arguments.problems,
                "group_size": arguments.group,
                "max_new_tokens": arguments.new_tokens,
            },
            objective={"kl_coef": KL},
            optimiser={"lr": 1e-5, "warmup": 0, "tokens_per_pass": arguments.tokens_per_pass},
        )
    )
    assert isinstance(run, Run)
    # Not by `replace`: it would check the task against those that a recipe can name.
    object.__setattr__(run, "task", Questions(problems[:-1], problems[-1:], frozenset()))
    return run


def trl(arguments: Namespace, name: str) -> None:
    """TRL's step of the same work, and ours again beside it."""
    missing = [package for package in ("trl", "peft", "datasets") if find_spec(package) is None]
    if missing:
        print(f"# trl: {', '.join(missing)} not installed, so this part is left out", file=sys.stderr)
        return
    from gpu_trl import trl_step

    theirs = trl_step(arguments, name, DTYPES[arguments.dtype], kl=KL)
    _free()
    ours = step(arguments, name)
    ratio = theirs["seconds_a_token"] / ours["seconds_a_token"]
    claim = "one RL step, seconds a generated token: TRL's GRPOTrainer / ours"
    _line(arguments, name, claim, ratio, at_least=3.0, trl=theirs, ours=ours)


PARTS = {"equality": equality, "rollout": rollout, "step": step, "trl": trl}


def _line(
    arguments: Namespace, model: str, claim: str, ratio: float | None, *, at_least: float | None, **measured: Any
) -> None:
    sizes = {name: getattr(arguments, name) for name in (*SIZES, *REPEATS, "dtype")}
    given = Namespace(model=model, at_least=at_least, out=arguments.out, **sizes)
    report(given, claim, ratio, **measured, device=card(arguments.device))
    _free()


def _free() -> None:
    """What one part held must not count for the next."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def card(device: torch.device) -> dict[str, Any]:
    """The device that the numbers are of, and its driver."""
    if device.type == "cpu":
        return {"name": "cpu"}
    about = torch.cuda.get_device_properties(device)
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        driver = subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        driver = None
    return {
        "name": about.name,
        "memory_gb": about.total_memory / 1e9,
        "capability": f"{about.major}.{about.minor}",
        "driver": driver,
        "cuda": torch.version.cuda,
    }


def parser() -> ArgumentParser:
    made = ArgumentParser(description=__doc__)
    for name, size in (SIZES | REPEATS).items():
        made.add_argument(f"--{name.replace('_', '-')}", type=int, default=size, help=f"default {size}")
    made.add_argument("--models", default="0.5b", help=f"of {', '.join(SHAPES)}, by commas; default 0.5b")
    made.add_argument("--parts", default=",".join(PARTS), help=f"of {', '.join(PARTS)}, by commas; default all")
    made.add_argument("--dtype", default="bfloat16", choices=DTYPES, help="of rollout and step; default bfloat16")
    made.add_argument("--seconds", type=float, default=540.0, help="no part is begun after so long; default 540")
    made.add_argument("--out", type=Path, help="append the lines to this file as well")
    made.add_argument("--tiny", action="store_true", help="a tiny model on whatever is there: does the script run?")
    return made


def main() -> None:
    made = parser()
    arguments = made.parse_args()
    for option, known in (("models", SHAPES), ("parts", PARTS)):
        if unknown := set(getattr(arguments, option).split(",")) - set(known):
            made.error(f"--{option} {', '.join(sorted(unknown))}: unknown; choose of {', '.join(known)}")
    arguments.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if arguments.tiny:
        vars(arguments).update(TINY, models="tiny")
    elif arguments.device.type == "cpu":
        sys.exit("error: torch sees no GPU here; --tiny tries the script on a CPU")
    start = time.perf_counter()
    for model in arguments.models.split(","):
        for part in arguments.parts.split(","):
            if time.perf_counter() - start > arguments.seconds:
                print(f"# {part} of {model} was not begun: --seconds {arguments.seconds:g} are over", file=sys.stderr)
                continue
            PARTS[part](arguments, model)


if __name__ == "__main__":
    main()
