"""Bytes and numbers between the processes of a run: all that is asked of torch.distributed."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import count

import numpy as np
import torch
from torch import Tensor, distributed
from torch.distributed import ProcessGroup as Group
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from paring.runtime.interruption import check_interrupted
from paring.runtime.text import one_line
from paring.settings.complaints import RunBroken, RunFailed

PATIENCE = timedelta(minutes=30)
"""A process waits for the others so long at most, for the slowest share of a rollout too. One that dies is noticed at
once."""
LONGEST_WORDS = 200
LOOK = 0.005
"""Seconds between two looks whether a wait beside training is over."""
_numbers = count()
"""The number of each meeting of this process: of all, since they meet together."""
_stores: list[PrefixStore] = []
"""That of the meeting that is on."""


class ProcessGone(RunBroken):
    """Another process of the run has died, or did not answer in time."""


@contextmanager
def met() -> Iterator[tuple[int, int]]:
    """Meet the processes that torchrun's environment names: the number of this one, and how many there are. Within
    another meeting it is that one. The first process is the first to go, where all of them know of the end: torchrun
    terminates the others once one has failed, and the first has the words.

    Raises ValueError where they do not meet."""
    if distributed.is_initialized():
        yield distributed.get_rank(), distributed.get_world_size()
        return
    with _ended_by_ctrl_c():
        _meet()
    try:
        yield distributed.get_rank(), distributed.get_world_size()
    except SystemExit:
        _let_first_go()
        raise
    else:
        _let_first_go()
    finally:
        _stores.clear()
        distributed.destroy_process_group()


def _meet() -> None:
    # What is said in bytes goes over gloo, on the CPU; the gradients of GPUs go over nccl.
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        store, rank, size = next(rendezvous("env://", timeout=PATIENCE))
        # A restart of torchrun, and a second meeting, find the addresses of the one before in its store.
        place = f"paring/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}/{next(_numbers)}"
        _stores.append(PrefixStore(place, store))
        distributed.init_process_group(backend, timeout=PATIENCE, store=_stores[0], rank=rank, world_size=size)
    except (RuntimeError, ValueError) as error:
        _stores.clear()
        raise ValueError(
            f"WORLD_SIZE = {os.environ['WORLD_SIZE']}, and the processes did not meet "
            f"({one_line(str(error), LONGEST_WORDS)}): start them by torchrun (docs/processes.md)"
        ) from error


@contextmanager
def _ended_by_ctrl_c() -> Iterator[None]:
    """Ctrl-C ends the process here at once, by the system: Python would act on it after the wait within a library."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _let_first_go() -> None:
    """Wait until the first process has come to the end of the meeting, or has gone."""
    with suppress(ProcessGone):
        told(b"")


def board() -> PrefixStore:
    """A board that all processes of the meeting can read, also while they wait for each other."""
    return _stores[0]


def group_beside() -> Group:
    """The same processes once more, for what another thread says at the same time. All call it."""
    group = distributed.new_group(backend="gloo", timeout=PATIENCE)
    assert isinstance(group, Group)
    return group


def told(data: bytes, group: Group | None = None) -> list[bytes]:
    """The bytes of every process, by its number. Raises ProcessGone, as all that follow.

    In a group beside the first one the wait can be given up, after which the group is of no more use. Raises
    Interrupted."""
    sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(distributed.get_world_size())]
    with _noticing():
        _gather(sizes, torch.tensor([len(data)]), group)
        rows = [torch.zeros(max(map(int, sizes)), dtype=torch.uint8) for _ in sizes]
        _gather(rows, _row(data, len(rows[0])), group)
    return [row[: int(size)].numpy().tobytes() for row, size in zip(rows, sizes, strict=True)]


def _gather(rows: list[Tensor], own: Tensor, group: Group | None) -> None:
    if group is None:
        distributed.all_gather(rows, own)
        return
    work = distributed.all_gather(rows, own, group, async_op=True)
    assert work is not None
    while not work.is_completed():
        check_interrupted()
        time.sleep(LOOK)
    work.wait()


def sent_by_first(data: bytes) -> bytes:
    """The bytes of the first process, on all."""
    with _noticing():
        size = torch.tensor([len(data)])
        distributed.broadcast(size, 0)
        row = _row(data, int(size)) if distributed.get_rank() == 0 else torch.zeros(int(size), dtype=torch.uint8)
        distributed.broadcast(row, 0)
    return row.numpy().tobytes()


def add_up_(number_X: Tensor) -> None:
    """Add up the numbers over the processes, in place."""
    with _noticing():
        distributed.all_reduce(number_X)


def _row(data: bytes, length: int) -> Tensor:
    """The bytes as a tensor of this length, with zeros behind them."""
    return torch.from_numpy(np.frombuffer(data.ljust(length, b"\0"), np.uint8).copy())


@contextmanager
def _noticing() -> Iterator[None]:
    """An error of the library, where a process does not answer, in words."""
    try:
        yield
    except RuntimeError as error:
        raise _gone(error) from error


@contextmanager
def noticing_losses() -> Iterator[None]:
    """The same where other code meets the processes, as that of a divided base does. Raises ProcessGone."""
    try:
        yield
    except RuntimeError as error:
        # Errors of gloo have no type of their own; they name the file that they come from.
        if isinstance(error, RunFailed) or not (isinstance(error, distributed.DistError) or "/gloo/" in str(error)):
            raise
        raise _gone(error) from error


def _gone(error: RuntimeError) -> ProcessGone:
    return ProcessGone(
        f"another process of this run has ended, or did not answer for {PATIENCE.seconds // 60} minutes "
        f"({one_line(str(error), LONGEST_WORDS)}). Go on from the newest checkpoint with --resume"
    )
