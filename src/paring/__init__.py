"""paring: post-train language models by RGRA on low-rank adapters, with nothing they do not need.

import paring

run = paring.load_run("quickstart", seed=1, rollout={"group_size": 4})
result = paring.train(run, out="runs/mine")
evaluation = paring.evaluate("runs/mine", task="arithmetic")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paring.config import load_run
    from paring.subjects.opening import evaluate
    from paring.training.method import train

__all__ = ["evaluate", "load_run", "train"]

_HOMES = {"load_run": "paring.config", "train": "paring.training.method", "evaluate": "paring.subjects.opening"}


def __getattr__(name: str) -> Any:
    """Import on first use: torch takes seconds, and `paring --help` has no need of it."""
    if name not in _HOMES:
        raise AttributeError(f"paring has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)
