"""The processes of a run as servers see them: the first one publishes for all, and all know what it did."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from paring.types import Json

T = TypeVar("T")


class Meeting(Protocol):
    """What a served engine needs of the processes that train together; all call its methods, in the same order."""

    @property
    def is_first(self) -> bool:
        """Whether this process publishes, and has servers forget."""
        ...

    def from_first(self, make: Callable[[], Json]) -> Json:
        """The result of `make` on the first process, where alone it is called."""
        ...

    def together(self, make: Callable[[], T]) -> T:
        """The result of `make` here, once all processes have made theirs. An error of one ends all."""
        ...


class NobodyElse:
    """A process alone."""

    is_first = True

    def from_first(self, make: Callable[[], Json]) -> Json:
        return make()

    def together(self, make: Callable[[], T]) -> T:
        return make()


NOBODY_ELSE = NobodyElse()
