"""A run that really collapses: noticed at one step whatever happens in between, said, and ended where that is asked."""

import json
import signal
from dataclasses import asdict

import pytest

from paring import train
from paring.runtime.journal import read_rows

HUGE = {"optimiser.lr": 0.3, "optimiser.warmup": 0, "steps": 16, "rollout.problems": 4, "collapse.steps": 3}


@pytest.fixture(scope="module")
def collapsed(small_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("collapsed") / "run"
    train(small_run(HUGE), folder)
    return folder


def test_the_event_is_in_the_journal_once_and_in_the_result(collapsed):
    rows = list(read_rows(collapsed / "metrics.jsonl"))
    [event] = [row for row in rows if "collapse" in row]
    found = event["collapse"]
    assert json.loads((collapsed / "result.json").read_text())["collapse"] == found
    assert (found["kind"], found["since"]) == ("reward", event["step"] - 2)
    early = sum(row["reward"] for row in rows[:3]) / 3
    assert all(row["reward"] < 0.5 * early for row in rows[found["since"] - 1 : event["step"]])
    assert rows[found["since"] - 2]["reward"] >= 0.5 * early or found["since"] == 4
    assert "Likely cause: " in found["words"] and "lower optimiser.lr (0.3)" in found["words"]
    assert len(rows) == 16


@pytest.fixture(scope="module")
def stopped(small_run, tmp_path_factory):
    """The result of a run that is to stop where it collapses."""
    return train(small_run(HUGE | {"collapse.stop": True}), tmp_path_factory.mktemp("stopped") / "run")


def test_a_run_that_is_to_stop_ends_there_and_is_measured(collapsed, stopped):
    [event] = [row for row in read_rows(collapsed / "metrics.jsonl") if "collapse" in row]
    assert (stopped.values.steps, asdict(stopped.values.collapse)) == (event["step"], event["collapse"])
    assert stopped.values.after["problems"] == 4


@pytest.mark.parametrize("stop", ["true", "false"])
def test_killed_and_resumed_it_is_noticed_at_the_same_step(
    paring_child, small_overrides, collapsed, stopped, tmp_path, stop
):
    recipe = ["train", "quickstart", *small_overrides, *(f"{key}={value}" for key, value in HUGE.items())]
    recipe.append(f"collapse.stop={stop}")
    whole, killed = stopped.folder if stop == "true" else collapsed, tmp_path / "killed"
    # After the checkpoint of step 4, with two steps below the share already counted.
    assert paring_child(*recipe, "--out", killed, at="paring.training.rl:rl_step", call=6).code == -signal.SIGKILL
    assert paring_child("train", "--resume", killed).code == 0
    events = [
        [(row["step"], row["collapse"]) for row in read_rows(folder / "metrics.jsonl") if "collapse" in row]
        for folder in (whole, killed)
    ]
    assert events[0] == events[1] and len(events[0]) == 1
    same = ("adapter/adapter_model.safetensors", "samples.jsonl", "items.jsonl")
    assert all((whole / name).read_bytes() == (killed / name).read_bytes() for name in same)
