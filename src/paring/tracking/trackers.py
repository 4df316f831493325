"""The trackers: each takes the figures of a run to one library, on this machine unless a variable says otherwise."""

import os
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Protocol, get_args

from paring.runtime.glossary import is_number
from paring.runtime.text import visible
from paring.types import Json, JsonObject

TrackerName = Literal["trackio", "tensorboard", "wandb", "mlflow"]
PROJECT = "paring"
_LONGEST_TEXT = 2000


class Tracker(Protocol):
    """What a tracker does. It is opened, called and closed in one thread, which is not the run's."""

    def figures(self, step: int, values: Mapping[str, float]) -> None: ...

    def answers(self, step: int, text: str) -> None: ...

    def close(self) -> None: ...


def check_trackers(names: Sequence[str]) -> None:
    """Raises ModuleNotFoundError where a library is not installed, with the command that installs it."""
    for name in names:
        if find_spec(name) is None:
            raise ModuleNotFoundError(
                f"track = {name!r}: {name} is not installed: pip install 'paring[{name}]', or leave it out of track"
            )


def open_tracker(name: TrackerName, folder: Path, config: JsonObject) -> Tracker:
    """A tracker for the run in `folder`, whose settings are `config`. Raises whatever its library does."""
    kinds = {"trackio": _Trackio, "tensorboard": _TensorBoard, "wandb": _Wandb, "mlflow": _Mlflow}
    assert set(kinds) == set(get_args(TrackerName))
    return kinds[name](folder, config)


def figures_of(metrics: Mapping[str, Json], prefix: str = "") -> dict[str, float]:
    """The numbers of a step by name, those of a group as group/name; what is no finite number is left out."""
    found: dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            found |= figures_of(value, f"{prefix}{name}/")
        elif not isinstance(value, bool) and is_number(value):
            found[f"{prefix}{name}"] = float(value)
    return found


def answers_text(rows: Sequence[JsonObject]) -> str:
    """Some answers of a step as text, with their rewards. Nothing of a model's text is a command to a terminal."""
    blocks = []
    for row in rows:
        prompt = row.get("prompt")
        last = prompt[-1] if isinstance(prompt, Sequence) and prompt else {}
        question = last.get("content", "") if isinstance(last, Mapping) else ""
        answer = visible(str(row.get("completion", "")), _LONGEST_TEXT)
        blocks.append(f"reward {row.get('reward')}\n{visible(str(question), _LONGEST_TEXT)}\n-> {answer}")
    return "\n\n".join(blocks)


class _TensorBoard:
    """Event files in the run's folder, by torch's own writer."""

    def __init__(self, folder: Path, config: JsonObject) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"))
        self._writer.add_text("config", "\n".join(f"    {name} = {value!r}" for name, value in config.items()), 0)

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def answers(self, step: int, text: str) -> None:
        self._writer.add_text("answers", "\n".join(f"    {line}" for line in text.split("\n")), step)

    def close(self) -> None:
        self._writer.close()


class _Wandb:
    """Weights & Biases: files in the run's folder, sent nowhere unless WANDB_MODE says online."""

    def __init__(self, folder: Path, config: JsonObject) -> None:
        wandb = import_module("wandb")
        mode = "online" if os.environ.get("WANDB_MODE") == "online" else "offline"
        quiet = wandb.Settings(silent=True, console="off")
        project = os.environ.get("WANDB_PROJECT", PROJECT)
        self._run = wandb.init(
            project=project, name=folder.name, dir=str(folder), config=dict(config), mode=mode, settings=quiet
        )

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def answers(self, step: int, text: str) -> None:
        table = import_module("wandb").Table
        self._run.log({"answers": table(columns=["step", "answers"], data=[[step, text]])}, step=step)

    def close(self) -> None:
        self._run.finish()


class _Trackio:
    """Trackio: a data base on this machine (TRACKIO_DIR)."""

    def __init__(self, folder: Path, config: JsonObject) -> None:
        quiet = {"embed": False, "auto_log_cpu": False, "auto_log_gpu": False}
        self._run = import_module("trackio").init(project=PROJECT, name=folder.name, config=dict(config), **quiet)

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def answers(self, step: int, text: str) -> None:
        self._run.log({"answers": text}, step=step)

    def close(self) -> None:
        self._run.finish()


class _Mlflow:
    """MLflow: its file store in the run's folder, or where MLFLOW_TRACKING_URI says."""

    def __init__(self, folder: Path, config: JsonObject) -> None:
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # from version 3 on it asks for that
        place = os.environ.get("MLFLOW_TRACKING_URI") or (folder / "mlruns").resolve().as_uri()
        self._client = import_module("mlflow").MlflowClient(tracking_uri=place)
        known = self._client.get_experiment_by_name(PROJECT)
        experiment = known.experiment_id if known else self._client.create_experiment(PROJECT)
        self._run = self._client.create_run(experiment, run_name=folder.name).info.run_id
        for name, value in config.items():
            self._client.log_param(self._run, name, value)

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        metric, now = import_module("mlflow.entities").Metric, int(1000 * time.time())  # in one call: each is a file
        self._client.log_batch(self._run, metrics=[metric(name, value, now, step) for name, value in values.items()])

    def answers(self, step: int, text: str) -> None:
        self._client.log_text(self._run, text, f"answers/step-{step}.txt")

    def close(self) -> None:
        self._client.set_terminated(self._run)
