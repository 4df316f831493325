"""A class or a function of the user's own, from a Python file."""

from collections.abc import Callable
from functools import lru_cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path


def class_in(path: str, *, setting: str, example: str) -> type:
    """The class that `path`, such as `my.py:MyClass`, names. The file is run, once.

    Raises ValueError that names the `setting` where there is no such file, or no such class in it."""
    value = _named(path, setting, f"a class in it, such as {example}")
    if not isinstance(value, type):
        raise _missing(path, setting, "class")
    return value


def function_in(path: str, *, setting: str, example: str) -> Callable[..., object]:
    """The function, or other callable, that `path`, such as `my.py:reward`, names. As `class_in`."""
    value = _named(path, setting, f"a function in it, such as {example}")
    if not callable(value):
        raise _missing(path, setting, "function")
    return value


def _named(path: str, setting: str, advice: str) -> object:
    file, colon, name = path.rpartition(":")
    source = Path(file).expanduser()
    if not colon or source.suffix != ".py":
        raise ValueError(f"{setting} = {path!r}: give a Python file and {advice}")
    if not source.is_file():
        raise ValueError(f"{setting} = {path!r}: there is no file {source}")
    return names_of(source).get(name)


def _missing(path: str, setting: str, thing: str) -> ValueError:
    file, _, name = path.rpartition(":")
    return ValueError(f"{setting} = {path!r}: {file} has no {thing} {name}")


@lru_cache(maxsize=8)
def names_of(source: Path) -> dict[str, object]:
    """The names that a file defines. Raises ValueError where it cannot be run to its end."""
    spec = spec_from_file_location(source.stem, source)
    assert spec is not None and spec.loader is not None, source  # a file that ends in .py
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the user's file raises
        raise ValueError(f"{source} cannot be run: {type(error).__name__}: {error}") from error
    return vars(module)
