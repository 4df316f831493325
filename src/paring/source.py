"""A class of the user's own, from a Python file."""

from functools import lru_cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any


def class_in(path: str, *, setting: str, example: str) -> type:
    """The class that `path`, such as `my.py:MyClass`, names. The file is run, once.

    Raises ValueError that names the `setting` where there is no such file, or no such class in it."""
    file, colon, name = path.rpartition(":")
    source = Path(file).expanduser()
    if not colon or source.suffix != ".py":
        raise ValueError(f"{setting} = {path!r}: give a Python file and a class in it, such as {example}")
    if not source.is_file():
        raise ValueError(f"{setting} = {path!r}: there is no file {source}")
    found = names_of(source).get(name)
    if not isinstance(found, type):
        raise ValueError(f"{setting} = {path!r}: {source} has no class {name}")
    return found


@lru_cache(maxsize=8)
def names_of(source: Path) -> dict[str, Any]:
    """The names that a file defines."""
    spec = spec_from_file_location(source.stem, source)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return vars(module)
