"""What all tests share: no network, one thread, small runs on the embedded model."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported
# ... and torch: tensors are tiny, and threads, those of servers too, would only wait for each other.
os.environ["OMP_NUM_THREADS"] = "1"

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from paring.training.config import Run

SMALL = {
    "steps": 4,
    "threads": 1,
    "rollout.problems": 3,
    "rollout.group_size": 4,
    "evaluate.limit": 4,
    "save.every": 2,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole runs come first: the last tests are short ones then, and no test process waits long for another."""
    runs = Path(__file__).parent / "run"
    items.sort(key=lambda item: runs not in item.path.parents)


@pytest.fixture(scope="session", autouse=True)
def no_disk() -> Iterator[None]:
    """Nothing waits for the disk: no power is cut here, and a kill loses nothing that was written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session")
def small_run() -> Callable[..., "Run"]:
    """The quickstart in about a second: 4 steps of 3 problems with 4 answers, a checkpoint every 2."""
    from paring import load_run

    def make(changes: dict[str, Any] | None = None) -> "Run":
        return load_run("quickstart", **SMALL | (changes or {}))

    return make


@pytest.fixture(scope="session")
def small_overrides() -> list[str]:
    """The same for the command line."""
    return [f"{key}={value}" for key, value in SMALL.items()]


@pytest.fixture(scope="session")
def finished_run(small_run, tmp_path_factory) -> Path:
    """The folder of a small run that came to its end. To be read only."""
    from paring import train

    folder = tmp_path_factory.mktemp("finished") / "run"
    train(small_run(), folder)
    return folder
