"""A long run does not grow in memory."""

import re
from pathlib import Path

import pytest

from paring.adapters.attach import parameters_by_name
from paring.runtime.memory import give_back_freed_memory
from paring.training.config import load_run
from paring.training.optim import Optimiser
from paring.training.rl import rl_step
from paring.training.setup import prepare

STATUS = Path("/proc/self/status")


def resident_mb() -> float:
    return int(re.search(r"VmRSS:\s+(\d+) kB", STATUS.read_text())[1]) / 1000


@pytest.mark.skipif(not STATUS.exists(), reason="reads /proc")
def test_a_long_run_does_not_grow():
    """Steps differ in the lengths of prompts and answers, so the first ones still find their room."""
    run = load_run("quickstart", steps=200, threads=1, objective={"kl_coef": 0.01}, rollout={"problems": 4})
    setup = prepare(run)
    optimiser = Optimiser(parameters_by_name(setup.policy.adapters), run.optimiser)
    held = []
    for number in range(1, 61):
        rl_step(run, setup, optimiser, number)
        if number % 20 == 0:
            give_back_freed_memory()  # what is held counts, not what the last step has left behind
            held.append(resident_mb())
    assert held[2] - held[1] < 5, held
