"""A task of the user's own, from a Python file."""

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, Literal

from paring.settings import settings
from paring.tasks.base import Task
from paring.types import Problem, Score, Split


@settings
class Custom:
    """`path = "my.py:MyTask"`: a class without arguments that has `problems(split)` and `score(problem, text)`.

    The file is run, as any program of yours is: give only files that you trust. Its `score` must return a Score
    whose reward is a finite number, whatever the text."""

    name: Literal["custom"] = "custom"
    path: str

    def problems(self, split: Split) -> Sequence[Problem]:
        """Raises ValueError where the file or the class cannot be used."""
        return _load(self.path).problems(split)

    def score(self, problem: Problem, text: str) -> Score:
        return _load(self.path).score(problem, text)


@lru_cache(maxsize=8)
def _load(path: str) -> Task:
    file, colon, name = path.rpartition(":")
    source = Path(file).expanduser()
    if not colon or source.suffix != ".py":
        raise ValueError(f"task.path = {path!r}: give a Python file and a class in it, such as my.py:MyTask")
    if not source.is_file():
        raise ValueError(f"task.path = {path!r}: there is no file {source}")
    found = _run(source).get(name)
    if not isinstance(found, type) or not {"problems", "score"} <= set(dir(found)):
        wanted = "problems(split) and score(problem, text)"
        raise ValueError(f"task.path = {path!r}: {source} has no class {name} with {wanted}")
    return found()


def _run(source: Path) -> dict[str, Any]:
    """The names that a file defines."""
    spec = spec_from_file_location(source.stem, source)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return vars(module)
