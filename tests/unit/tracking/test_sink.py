"""A tracker beside a run: everything arrives, and nothing that it does stops or slows the run."""

import threading
import time

import pytest

from paring import train
from paring.settings.complaints import RecipeError
from paring.tracking import listeners
from paring.tracking.sink import Sink
from paring.tracking.trackers import answers_text, check_trackers, figures_of


class Recorded:
    def __init__(self, error=None, gate=None):
        self.steps, self.texts, self.closed, self.error, self.gate = [], [], False, error, gate

    def figures(self, step, values):
        if self.gate:
            self.gate.wait(10)
        if self.error and step == 2:
            raise self.error
        self.steps.append((step, dict(values)))

    def answers(self, step, text):
        self.texts.append((step, text))

    def close(self):
        self.closed = True


def test_numbers_are_flat_and_finite():
    metrics = {"step": 3, "reward": 0.5, "kl": float("nan"), "reward_parts": {"format": 1}, "notes": ["a"], "on": True}
    assert figures_of(metrics) == {"step": 3.0, "reward": 0.5, "reward_parts/format": 1.0}


def test_all_steps_answers_and_final_figures_arrive_in_order():
    tracker = Recorded()
    sink = Sink("one", lambda: tracker)
    row = {"prompt": [{"role": "user", "content": "1+1="}], "completion": "2\x1b", "reward": 1.0}
    sink.step({"step": 1, "reward": 0.5}, [row] * 9)
    sink.step({"step": 2, "reward": 0.7})
    assert sink.close({"after": {"accuracy": 0.9}}, 2) is None
    assert [step for step, _ in tracker.steps] == [1, 2, 2]
    assert tracker.steps[-1][1] == {"final/after/accuracy": 0.9} and tracker.closed
    [(step, text)] = tracker.texts
    assert step == 1 and text == answers_text([row] * 4) and "\x1b" not in text


def test_failures_are_counted_and_said_once():
    tracker = Recorded(error=ConnectionError("no\x1b network"))
    sink = Sink("one", lambda: tracker)
    for step in (1, 2, 3):
        sink.step({"step": step})
    said = sink.close({}, 3)
    assert (
        said == r"one: 1 of 3 entries were not tracked (ConnectionError: no\x1b network); the run's own record is whole"
    )
    assert [step for step, _ in tracker.steps] == [1, 3] and tracker.closed


def test_a_tracker_that_cannot_be_opened_loses_all():
    def opening():
        raise OSError("no disk")

    sink = Sink("one", opening)
    sink.step({"step": 1})
    assert sink.close({}, 1) == "one: 1 of 1 entries were not tracked (OSError: no disk); the run's own record is whole"


def test_a_slow_tracker_does_not_slow_the_run():
    gate = threading.Event()
    sink = Sink("one", lambda: Recorded(gate=gate), waiting=2)
    start = time.monotonic()
    for step in range(1, 101):
        sink.step({"step": step})
    assert time.monotonic() - start < 1.0
    assert "one did not end within 0.1 s" in (sink.close({}, 100, patience=0.1) or "")
    gate.set()


def test_a_run_is_the_same_with_a_tracker_that_fails(small_run, finished_run, tmp_path, monkeypatch, capsys):
    def broken(name, folder, config):
        assert config["rollout.group_size"] == 4
        raise OSError("no disk")

    monkeypatch.setattr(listeners, "open_tracker", broken)
    monkeypatch.setattr("paring.training.method.check_trackers", lambda names: None)
    seen = []
    train(small_run({"track": ["wandb"]}), tmp_path / "run", on_step=lambda metrics: seen.append(metrics["step"]))
    assert seen == [1, 2, 3, 4]
    assert "wandb: 9 of 9 entries were not tracked (OSError: no disk)" in capsys.readouterr().out
    file = "adapter/adapter_model.safetensors"
    assert (tmp_path / "run" / file).read_bytes() == (finished_run / file).read_bytes()


def test_what_on_step_raises_ends_the_run(small_run, tmp_path):
    def fail(_):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        train(small_run(), tmp_path / "run", on_step=fail)
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 1


def test_an_unknown_tracker_and_one_that_is_not_installed(small_run, monkeypatch):
    with pytest.raises(
        RecipeError, match=r"track\[0\] = 'neptune': must be 'trackio', 'tensorboard', 'wandb' or 'mlflow'"
    ):
        small_run({"track": ["neptune"]})
    monkeypatch.setattr("paring.tracking.trackers.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"wandb is not installed: pip install 'paring\[wandb\]'"):
        check_trackers(["wandb"])
