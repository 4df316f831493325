"""bench/simulate.py: small runs whose times are computed by hand."""

import importlib
import json
import random
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture
def simulate(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("simulate")


def fleet(simulate, *, failures=None, **servers):
    """Servers that fail first at the times given."""
    made = simulate.Fleet(simulate.Servers(**servers), random.Random(0))
    if failures is not None:
        made.failures = list(failures)
    return made


@pytest.mark.parametrize(
    ("servers", "questions", "end"),
    [
        ({"count": 1, "slots": 1}, [5, 5, 5], 15),
        ({"count": 2, "slots": 1}, [5, 5, 5], 10),
        ({"count": 1, "slots": 3}, [5, 7, 6, 1], 7),  # the last one follows the first: 5 + 1
        ({"count": 1, "slots": 1}, [], 0),
    ],
)
def test_servers_take_the_next_question_when_they_are_free(simulate, servers, questions, end):
    assert fleet(simulate, **servers).end_of(questions, 100.0) == 100 + end


def test_what_a_server_had_in_hand_when_it_failed_is_asked_again(simulate):
    alone = fleet(simulate, slots=1, between=1e9, away=3.0, failures=[4.0])
    assert alone.end_of([10.0], 0.0) == 4 + 3 + 10
    beside = fleet(simulate, count=2, slots=1, between=1e9, away=30.0, failures=[4.0, 1e9])
    assert beside.end_of([10.0, 6.0], 0.0) == 6 + 10, "by the other, once it is free"
    idle = fleet(simulate, count=2, slots=1, between=1e9, away=30.0, failures=[4.0, 1e9])
    assert idle.end_of([10.0], 0.0) == 4 + 10, "not before it is lost"
    before = fleet(simulate, slots=1, between=1e9, away=3.0, failures=[4.0])
    assert before.end_of([10.0], 5.0) == 7 + 10, "not while it is away"
    assert before.end_of([10.0], 20.0) == 30, "a failure that is over is over"


@pytest.mark.parametrize(
    ("sampling", "training", "ahead", "seconds"),
    [
        ([10, 10, 10], 10, 0, 60),
        ([10, 10, 10], 10, 1, 10 + 30),
        ([2, 2, 2], 10, 1, 2 + 30),
        ([10, 10, 10], 2, 1, 30 + 2),
        ([2, 18, 2, 18], 10, 0, 80),
        ([2, 18, 2, 18], 10, 1, 58),  # rollouts end at 2, 20, 22, 48: the last is begun at 30, when step 3 begins
        ([2, 18, 2, 18], 10, 2, 50),  # ... at 2, 20, 22, 40: trained from 2, 20, 30, 40
    ],
)
def test_a_rollout_begins_so_many_steps_ahead_and_never_more(simulate, sampling, training, ahead, seconds):
    questions = [[float(one)] for one in sampling]
    made = simulate.course(questions, [float(training)] * len(sampling), ahead, fleet(simulate))
    assert made.seconds == seconds
    assert made.sampling == sum(sampling) and made.training == training * len(sampling)


def test_publishing_holds_up_both(simulate):
    made = simulate.course([[5.0], [5.0]], [10.0, 10.0], 0, fleet(simulate), publish=1.0)
    assert made.rollouts == [(1, 6), (17, 22)] and made.trainings == [(6, 16), (22, 32)]


def test_a_run_s_figures_are_its_distribution(simulate, finished_run, monkeypatch, capsys):
    tokens, trainings = simulate.measured(finished_run)
    assert len(tokens) == len(trainings) == 4 and all(len(step) == 3 for step in tokens)
    command = ["simulate.py", str(finished_run), "--steps", "50", "--ahead", "0", "1", "4", "--slow", "0.1"]
    monkeypatch.setattr(sys, "argv", command)
    simulate.main()
    turn, one, four = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert turn["time_to_in_turn"] == 1 > one["time_to_in_turn"] >= four["time_to_in_turn"]
    assert 0 < one["hidden"] <= four["hidden"] <= 1
