"""The shared parts of commands: options, errors in words, overrides."""

import sys
from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand

from paring.runtime.text import one_line, visible
from paring.settings.complaints import DataError, RunFailed
from paring.settings.options import OptionError

if TYPE_CHECKING:
    from paring.types import Json as PlainValue

T = TypeVar("T")
Overrides = Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Such as steps=50.")]
TaskSettings = Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Such as data=my.jsonl.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Checkpoint = Annotated[
    str | None, typer.Option(help="A run's checkpoint: best (save.best), or a step; by default its end.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def in_words(command: Callable[..., None]) -> Callable[..., None]:
    """The command with one more option, --debug: without it an error that the user can mend is one message and exit
    code 2, or 3 where rows of data are to be mended; a run that failed is one and exit code 1. With it, a traceback."""

    @wraps(command)
    def run(*, debug: bool, **options: object) -> None:
        try:
            command(**options)
        except BrokenPipeError:
            raise  # the reader has seen enough (paring samples | head): typer ends quietly
        except (ValueError, ModuleNotFoundError, OSError, RunFailed) as error:
            if debug:
                raise
            words = error.with_flags if isinstance(error, OptionError) else str(error)
            print(f"error: {visible(words)}", file=sys.stderr)
            mendable = isinstance(error, ValueError | FileNotFoundError | ModuleNotFoundError)
            raise typer.Exit(3 if isinstance(error, DataError) else 2 if mendable else 1) from None
        except Exception as error:
            if debug or not _is_out_of_memory(error):
                raise
            print(f"error: {_out_of_memory(error)}", file=sys.stderr)
            raise typer.Exit(1) from None

    # typer reads the options of a command from its signature.
    given = signature(command)
    debug = Parameter("debug", Parameter.KEYWORD_ONLY, default=False, annotation=Debug)
    vars(run)["__signature__"] = given.replace(parameters=[*given.parameters.values(), debug])
    return run


class TakesSettings(TyperCommand):
    """A command that takes settings as KEY=VALUE. One written as an option is answered with how it is written."""

    # The class of contexts that the base names is click's, or typer's own copy of it, by typer's version.
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        known = {"--help"} | {option for one in self.params for option in (*one.opts, *one.secondary_opts)}
        for place, given in enumerate(args):
            name, _, value = given.partition("=")
            if name == "--":
                break
            if name.startswith("--") and name not in known:
                value = value or next(iter(args[place + 1 : place + 2]), "VALUE")
                raise typer.BadParameter(_not_an_option(name, value, sorted(known)), ctx=ctx)
        return super().parse_args(ctx, args)


def _not_an_option(option: str, value: str, known: list[str]) -> str:
    """The error for an option that a command lacks. It names the nearest option, or the setting of that name."""
    from difflib import get_close_matches

    if near := get_close_matches(option, known, n=1, cutoff=0.75):
        return f"{option}: no such option; did you mean {near[0]}?"
    from paring.settings.complaints import key_hint, valid_keys
    from paring.training.config import METHODS

    name = option.removeprefix("--").replace("-", "_")
    hint = ""
    for keys in map(valid_keys, METHODS.values()):
        found = name if name in keys else key_hint(name, keys)
        if found in keys:
            return f"{option}: settings are written KEY=VALUE, without dashes: {found}={value}"
        if not found.startswith("known here"):
            meant, _, note = found.removeprefix("did you mean ").partition("?")
            hint = hint or (f"{meant}={value}{note}" if meant in keys else found)
    return f"{option}: settings are written KEY=VALUE, without dashes: " + (hint or "see paring recipes --keys")


def one_of(option: str, value: str | None, choices: tuple[T, ...]) -> T | None:
    """The value, which must be one of the choices where it is given. Raises ValueError."""
    if value is not None and value not in choices:
        raise ValueError(f"{option} {value}: unknown; choices: {', '.join(map(str, choices))}")
    return next((choice for choice in choices if choice == value), None)


def parsed(overrides: list[str] | None) -> "dict[str, PlainValue]":
    from paring.settings.recipes import parse_override

    return dict(parse_override(text) for text in overrides or [])


def _is_out_of_memory(error: Exception) -> bool:
    """Also torch's, on a GPU and on a CPU, which are looked for by their names and words: torch takes seconds."""
    words = str(error)
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and ("not enough memory" in words or "can't allocate memory" in words))
    )


def _out_of_memory(error: Exception) -> str:
    return (
        f"out of memory ({one_line(str(error), 200) or 'main memory'}).  paring plan RECIPE  estimates by part what a "
        "run needs, and says what to lower: first rollout.problems, rollout.max_new_tokens and "
        "optimiser.tokens_per_pass. A run that has begun goes on from its newest checkpoint with --resume"
    )
