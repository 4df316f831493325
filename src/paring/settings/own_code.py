"""A class or a function of the user's own, from a Python file, which is a module like any other."""

import os
import sys
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from importlib import invalidate_caches
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from inspect import isclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from paring.settings.guard import guarded

if TYPE_CHECKING:
    from typing_extensions import TypeIs

T = TypeVar("T")


def class_in(path: str, *, setting: str, example: str) -> type:
    """The class that `path`, such as `my.py:MyClass`, names. The file is run, once.

    Raises ValueError that names the `setting` where there is no such file, or no such class in it."""
    return _named(path, "class", isclass, setting, example)


def function_in(path: str, *, setting: str, example: str) -> Callable[..., object]:
    """The function, or other callable, that `path`, such as `my.py:reward`, names. As `class_in`."""
    return _named(path, "function", callable, setting, example)


def _named(path: str, thing: str, is_one: "Callable[[object], TypeIs[T]]", setting: str, example: str) -> T:
    file, colon, name = path.rpartition(":")
    source = Path(file).expanduser()
    if not colon or source.suffix != ".py":
        raise ValueError(f"{setting} = {path!r}: give a Python file and a {thing} in it, such as {example}")
    if not source.is_file():
        raise ValueError(f"{setting} = {path!r}: there is no file {source}")
    value = names_of(source).get(name)
    if not is_one(value):
        raise ValueError(f"{setting} = {path!r}: {file} has no {thing} {name}")
    return value


@lru_cache(maxsize=8)
def names_of(source: Path) -> dict[str, object]:
    """The names that a file defines. Files beside it can be imported by it. Raises ValueError where it cannot be run to
    its end."""
    source = source.absolute()
    if str(source.parent) not in sys.path:
        sys.path.append(str(source.parent))  # last, where nothing is hidden by a file of the user's
    name = _module_name(source)
    if name in sys.modules:
        return vars(sys.modules[name])
    spec = spec_from_file_location(name, source)
    assert spec is not None and spec.loader is not None, source  # a file that ends in .py
    module = sys.modules[name] = module_from_spec(spec)
    try:
        with guarded(str(source)):
            spec.loader.exec_module(module)
    except Exception as error:  # whatever the user's file raises
        sys.modules.pop(name, None)
        raise ValueError(f"{source} cannot be run: {type(error).__name__}: {error}") from error
    return vars(module)


def _module_name(source: Path) -> str:
    """The name by which processes that the file begins can import it: its own, unless another module has that. Then
    one by which it is found in this process alone."""
    invalidate_caches()  # the file may be new
    try:
        found = find_spec(source.stem) if source.stem.isidentifier() else None
    except (ImportError, ValueError):
        found = None
    if found is not None and found.origin is not None and Path(found.origin).absolute() == source:
        return source.stem
    return f"own_{sha256(os.fsencode(source)).hexdigest()[:8]}_{source.stem}"
