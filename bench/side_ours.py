"""paring's side of the RL step: the step of `paring train`, started by rl_step.py, memory.py and plan.py."""

from contextlib import redirect_stdout
from copy import copy
from sys import stderr

from paring import load_run
from paring.adapters.attach import parameters_by_name
from paring.runtime.machine import peak_memory_gb
from paring.training.config import Run
from paring.training.optim import Optimiser
from paring.training.rl import rl_step
from paring.training.setup import prepare
from questions import steps_of_questions
from sides import LEARNING_RATE, SEED, Work, answer, wait_for_command


def run_of(work: Work) -> Run:
    task, _ = steps_of_questions(work.data, work.problems, work.steps, seed=SEED, without_signal=work.without_signal)
    recipe = load_run(
        "gsm8k-rgra",
        seed=SEED,
        steps=work.steps,
        model={"path": work.model, "device": "cpu", "dtype": work.dtype},
        rollout={"problems": work.problems, "group_size": work.group, "max_new_tokens": work.new_tokens},
        objective={"kl_coef": work.kl},
        adapter={"rank": work.rank, "alpha": float(work.rank)},
        optimiser={"lr": LEARNING_RATE, "warmup": 0, "tokens_per_pass": work.tokens_per_pass},
        evaluate={"every": 0, "limit": 1},
    )
    assert isinstance(recipe, Run)
    run = copy(recipe)
    # Not by `replace`: it would check the task against those that a recipe can name.
    object.__setattr__(run, "task", task)
    return run


def main() -> None:
    work = Work.given()
    run = run_of(work)
    setup = prepare(run)
    optimiser = Optimiser(parameters_by_name(setup.policy.adapters), run.optimiser)
    answer(ready=True)
    for number in range(1, work.steps + 1):
        wait_for_command()
        step = rl_step(run, setup, optimiser, number)
        length = step.metrics["length"]
        assert isinstance(length, float)
        phases = {name.removeprefix("seconds_"): spent for name, spent in step.metrics.items() if "seconds_" in name}
        answer(
            seconds=step.seconds,
            tokens=round(length * work.problems * work.group),
            peak_gb=peak_memory_gb(),
            phases=phases,
        )


if __name__ == "__main__":
    with redirect_stdout(stderr):
        main()
