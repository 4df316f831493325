"""A class or a function of the user's own, from a Python file; and the bounds within which it runs."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from inspect import isclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

if TYPE_CHECKING:
    from typing_extensions import TypeIs

T = TypeVar("T")
SLOW_SECONDS = 60.0
"""After so long, and again after as long, it is said what a run waits for."""


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
    """The names that a file defines. Raises ValueError where it cannot be run to its end."""
    # A name of its own: classes, and functions for processes, are looked up in their module by its name.
    name = f"own_{sha256(os.fsencode(source.absolute())).hexdigest()[:8]}_{source.stem}"
    spec = spec_from_file_location(name, source)
    assert spec is not None and spec.loader is not None, source  # a file that ends in .py
    module = sys.modules[name] = module_from_spec(spec)
    try:
        with guarded(str(source)):
            spec.loader.exec_module(module)
    except Exception as error:  # whatever the user's file raises
        del sys.modules[name]
        raise ValueError(f"{source} cannot be run: {type(error).__name__}: {error}") from error
    return vars(module)


@contextmanager
def guarded(what: str) -> Iterator[None]:
    """Code of the user's runs here, as `what`. It can neither end the process nor move it to another folder, a child
    that it forks does not come back as a second run, and where it takes long that is said.

    Raises ValueError where it would end the process."""
    process, place, leave = os.getpid(), _working_folder(), os._exit

    def refused(code: int) -> NoReturn:
        if os.getpid() == process:
            raise ValueError(f"it called os._exit({code}), which would end the run: return or raise instead")
        leave(code)

    os._exit = refused
    done = threading.Event()
    threading.Thread(target=_say_if_slow, args=(what, done), daemon=True).start()
    try:
        yield
    except SystemExit as error:
        if os.getpid() == process:
            words = f"{what} called sys.exit({error.code!r}), which would end the run: return or raise instead"
            raise ValueError(words) from None
        raise
    finally:
        os._exit = leave
        if os.getpid() != process:
            os.write(2, f"{what} forked a process that came back: it is ended here\n".encode())
            leave(1)
        done.set()
        if place is not None and place != _working_folder():
            os.chdir(place)


def _working_folder() -> str | None:
    """None where it has been removed."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None


def _say_if_slow(what: str, done: threading.Event) -> None:
    seconds = 0.0
    while not done.wait(SLOW_SECONDS):
        seconds += SLOW_SECONDS
        print(f"waiting for {what}: {seconds:.0f} s so far", file=sys.stderr, flush=True)
