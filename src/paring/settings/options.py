"""Errors over options, each with two names: a setting in Python, a flag on the command line."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Naming:
    """How an option is written: `max_new_tokens` in Python, `--max-new-tokens` on the command line."""

    as_flags: bool

    def __call__(self, name: str) -> str:
        return f"--{name.replace('_', '-')}" if self.as_flags else name

    def given(self, name: str, value: object) -> str:
        """The option with a value."""
        return f"{self(name)} {value}" if self.as_flags else f"{name} = {value!r}"


class OptionError(ValueError):
    """An option that cannot be had as it is, in words that are a function of how options are written."""

    def __init__(self, words: Callable[[Naming], str]) -> None:
        super().__init__(words(Naming(as_flags=False)))
        self.with_flags = words(Naming(as_flags=True))
        """The same for the command line."""


class OptionMissing(OptionError, FileNotFoundError):
    """The same where a file or folder is missing."""
