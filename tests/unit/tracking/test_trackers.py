"""The trackers with their own libraries, where these are installed: what they hold is read back."""

import pytest

from paring.tracking.sink import Sink
from paring.tracking.trackers import open_tracker

ROW = {"prompt": [{"role": "user", "content": "1+1="}], "completion": "2", "reward": 1.0}


def tracked(name, folder):
    folder.mkdir(exist_ok=True)
    sink = Sink(name, lambda: open_tracker(name, folder, {"seed": 3, "objective.kind": "rgra"}))
    sink.step({"step": 1, "reward": 0.25, "reward_parts": {"format": 0.1}}, [ROW])
    sink.step({"step": 2, "reward": 0.5})
    assert sink.close({"after": {"accuracy": 0.9}}, 2, patience=120) is None


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tracked("tensorboard", tmp_path / "run")
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert [(one.step, one.value) for one in events.Scalars("reward")] == [(1, 0.25), (2, 0.5)]
    assert events.Scalars("final/after/accuracy")[0].value == pytest.approx(0.9)
    assert "answers/text_summary" in events.Tags()["tensors"]


def test_wandb_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    tracked("wandb", tmp_path / "run")
    [kept] = (tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb")
    assert kept.stat().st_size > 0


def test_mlflow(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracked("mlflow", tmp_path / "run")
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=(tmp_path / "run" / "mlruns").as_uri())
    experiment = client.get_experiment_by_name("paring")
    assert experiment is not None
    [run] = client.search_runs([experiment.experiment_id])
    assert run.data.params["objective.kind"] == "rgra" and run.info.status == "FINISHED"
    history = client.get_metric_history(run.info.run_id, "reward")
    assert [(one.step, one.value) for one in history] == [(1, 0.25), (2, 0.5)]


def test_trackio(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))  # it is read once, at import
    pytest.importorskip("trackio")
    tracked("trackio", tmp_path / "run")
    assert [file for file in tmp_path.rglob("*.db") if file.stat().st_size > 0]
