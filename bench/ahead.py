"""How much of the shorter phase, sampling or training, `rollout.ahead` = 1 hides, with a server on another core."""

import os
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from measuring import options, report
from paring import load_run
from paring.adapters.attach import load_state, parameters_by_name, state
from paring.rollout.lagged import LaggedEngine
from paring.training.config import Run
from paring.training.optim import Optimiser
from paring.training.pipeline import Pipeline
from paring.training.rl import rl_step
from paring.training.setup import Setup, prepare
from questions import steps_of_questions

SEED = 0
FIRST = 3
"""The first step that counts: by then the pipeline is full. As many more are never made, so that it stays so."""
CORES = {"trainer": 0, "server": 1}


def main() -> None:
    sizes = {"problems": 4, "group": 4, "new_tokens": 32, "rank": 16, "steps": 6}
    parser = options(__doc__, "model", "data", at_least=0.8, **sizes)
    parser.add_argument("--server", help="the address of a server, pinned by you; without it the reference server")
    arguments = parser.parse_args()
    with served(arguments) as url, TemporaryDirectory() as folder:
        pin("trainer")
        run = run_of(arguments, url)
        setup = prepare(run, folder=Path(folder))
        with setup.at_work():
            first = {name: value.clone() for name, value in state(setup.policy.adapters).items()}
            both = {ahead: steps_of(run, setup, first, ahead, arguments.steps) for ahead in (0, 1)}
    turns, overlapped = both[0], both[1]
    sampling = sum(row["seconds_rollout"] + row["seconds_score"] for row in turns)
    whole, hidden = (sum(row["seconds"] for row in rows) for rows in (turns, overlapped))
    training = whole - sampling
    shorter = min(sampling, training)
    report(
        arguments,
        "asynchronous rollouts: the share of the shorter phase that ahead = 1 hides",
        (whole - hidden) / shorter,
        server="the reference server" if arguments.server is None else "given",
        seconds_a_step={"in turn": whole / len(turns), "ahead": hidden / len(overlapped)},
        seconds_sampling=sampling / len(turns),
        seconds_training=training / len(turns),
        seconds_waited=sum(row["seconds_wait"] for row in overlapped) / len(overlapped),
        seconds_publish=mean(overlapped, "seconds_publish"),
        lengths={"in turn": mean(turns, "length"), "ahead": mean(overlapped, "length")},
        canary_gap=max(row["canary_gap"] for row in overlapped),
    )


def steps_of(run: Run, setup: Setup, first: dict[str, torch.Tensor], ahead: int, steps: int) -> list[dict]:
    """The metrics of `steps` steps, from the same adapters, with their rollouts one step ahead or not."""
    load_state(setup.policy.adapters, first)
    run = replace_in(run, rollout=replace(run.rollout, ahead=ahead))
    setup = replace(setup, sampler=LaggedEngine(setup.engine, setup.policy.adapters, ahead=ahead))
    optimiser, rollouts = Optimiser(parameters_by_name(setup.policy.adapters), run.optimiser), Pipeline(setup, run)
    with rollouts.at_work():
        rows = [
            dict(step.metrics) | {"seconds": step.seconds}
            for number in range(1, FIRST + steps)
            for step in [rl_step(run, setup, optimiser, number, rollouts=rollouts)]
        ]
    return rows[FIRST - 1 :]


def run_of(arguments: Namespace, url: str) -> Run:
    steps = FIRST + arguments.steps + FIRST
    task, _ = steps_of_questions(arguments.data, arguments.problems, steps, seed=SEED, without_signal=0.0)
    sizes = {"problems": arguments.problems, "group_size": arguments.group, "max_new_tokens": arguments.new_tokens}
    weights = {"truncate_ratio": 2.0, "old_logprobs": "sampler"}  # RGRA then takes no pass more for older answers
    recipe = load_run(
        "gsm8k-rgra",
        seed=SEED,
        steps=steps,
        threads=1,
        model={"path": arguments.model, "device": "cpu", "dtype": "float32"},
        rollout=sizes | weights | {"engine": "served", "servers": (url,)},
        objective={"kl_coef": 0.0},
        adapter={"rank": arguments.rank, "alpha": float(arguments.rank)},
        optimiser={"lr": 1e-6, "warmup": 0},
        evaluate={"every": 0, "limit": 1},
    )
    assert isinstance(recipe, Run)
    return replace_in(recipe, task=task)


def replace_in(run: Run, **changes: object) -> Run:
    """Not by `replace`: it would check the task against those that a recipe can name."""
    run = copy(run)
    for name, value in changes.items():
        object.__setattr__(run, name, value)
    return run


def mean(rows: list[dict], name: str) -> float:
    return sum(row[name] for row in rows) / len(rows)


def pin(side: str) -> None:
    """This process and its children run on one core. Elsewhere than on Linux cores cannot be chosen."""
    if sys.platform == "linux":
        os.sched_setaffinity(0, {CORES[side]})


@contextmanager
def served(arguments: Namespace) -> Iterator[str]:
    """The address of a server at work on a core of its own."""
    if arguments.server is not None:
        yield arguments.server
        return
    command = [sys.executable, "-m", "paring.rollout.served.reference_server", "--model", arguments.model]
    command += ["--max-lora-rank", str(arguments.rank)]
    pin("server")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


if __name__ == "__main__":
    main()
