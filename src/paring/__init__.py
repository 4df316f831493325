"""paring trains language models by reinforcement learning on verifiable rewards, with low-rank adapters.

    import paring

    run = paring.load_run("quickstart", seed=1, rollout={"group_size": 4})
    result = paring.train(run, out="runs/mine")
    evaluation = paring.evaluate("runs/mine", task="arithmetic")

The names in `__all__` are public, and so are `paring.integrations.peft` and the parts that `examples/` import: what
they promise changes only with a line in the changelog. All else may move (docs/python.md).
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paring.maths.objective import Objective
    from paring.reporting.compare import compare
    from paring.reporting.report import report
    from paring.subjects.evaluate import evaluate
    from paring.subjects.export import export
    from paring.tasks.base import Task
    from paring.training.config import load_run
    from paring.training.method import train
    from paring.types import Problem, Reply, Score
    from paring.verifier.verifier import Verifier

__version__ = "0.1.0"
__all__ = [
    "Objective",
    "Problem",
    "Reply",
    "Score",
    "Task",
    "Verifier",
    "__version__",
    "compare",
    "evaluate",
    "export",
    "load_run",
    "report",
    "train",
]

# Where each public name is defined. No room or file of the package may have the name of one: once it is imported, it
# would stand in the place of that name.
_HOMES = {
    "Objective": "paring.maths.objective",
    "Problem": "paring.types",
    "Reply": "paring.types",
    "Score": "paring.types",
    "Task": "paring.tasks.base",
    "Verifier": "paring.verifier.verifier",
    "compare": "paring.reporting.compare",
    "evaluate": "paring.subjects.evaluate",
    "export": "paring.subjects.export",
    "load_run": "paring.training.config",
    "report": "paring.reporting.report",
    "train": "paring.training.method",
}


def __getattr__(name: str) -> object:
    """Import on first use: torch takes seconds, and `paring --help` has no need of it."""
    if name not in _HOMES:
        raise AttributeError(f"paring has no {name!r}; it has {', '.join(__all__)}")
    found = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return found


def __dir__() -> list[str]:
    return __all__
