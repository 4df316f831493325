"""A signal that comes to one process of a run reaches all of them, though they wait for each other."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from paring.runtime.interruption import Interruption
from paring.training import wire
from paring.training.world import World

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import PrefixStore

LOOK = 0.25
"""Seconds between two looks."""
END_SECONDS = 1.0
KEY = "signal"


@contextmanager
def heard_by_all(world: World, interruption: Interruption) -> Iterator[None]:
    """Within it each process passes on the first signal by which it is to end, and acts on that of another."""
    if world.size == 1:
        yield
        return
    done = threading.Event()
    thread = threading.Thread(target=_pass_on, args=(wire.board(), interruption, done), name="alarm", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(END_SECONDS)


def _pass_on(board: "PrefixStore", interruption: Interruption, done: threading.Event) -> None:
    try:
        while not done.wait(LOOK):
            if (name := interruption.heard) is not None:
                board.set(KEY, name)
                return
            if board.check([KEY]):
                interruption.hear_of(board.get(KEY).decode())
                return
    except RuntimeError:  # the process that keeps the board has gone, which a meeting will notice
        return


def is_to_end(world: World, interruption: Interruption) -> bool:
    """Whether a signal has come to one of the processes: all of them then end here. One that comes during this meeting
    counts in the next."""
    word = world.first_of(interruption.requested)
    interruption.requested = interruption.requested or word
    return word is not None
