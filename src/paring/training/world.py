"""The processes that train one model together, as torchrun starts them: what each does, and what they agree on.

Each holds the whole adapters and takes every step of the optimiser. A process alone is a world of one, whose every
answer is its own: nothing is sent, and no byte of a run changes."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import reduce
from hashlib import sha256
from operator import add
from typing import TypeVar

import numpy as np
import torch
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor
from torch.nn import Parameter

from paring.runtime.interruption import Interrupted, waiting
from paring.settings.complaints import NotFinite, RunBroken, RunFailed
from paring.training import wire
from paring.types import Json

MENDABLE = (ValueError, ModuleNotFoundError, FileNotFoundError)
"""Errors that a user can mend before the run begins."""
OUTSIDE = (OSError, RunBroken)
"""... and those after which it goes on."""
IN_WORDS = (*MENDABLE, OSError, RunFailed)
KINDS = ("interrupted", "not finite", "failed", "broken", "mendable")
"""Kinds of what a process raises in words: where several do, the first of these counts."""

T = TypeVar("T")
Item = TypeVar("Item")


@dataclass(frozen=True)
class World:
    """The processes of a run: the number of this one, from 0, and how many there are.

    All its methods but `is_first`, `mine` and `waiting` are meetings: every process calls them, in the same order, and
    none within another. They raise wire.ProcessGone where one does not come."""

    rank: int = 0
    size: int = 1
    _beside: wire.Group | None = field(default=None, repr=False, compare=False)
    _gives_up: list[bool] = field(default_factory=list, repr=False, compare=False)

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator["World"]:
        """The world that torchrun's environment names, of one where it names none. Within another it is the same.

        The failure of a run is told by the first process alone: the others end. Raises ValueError where the processes
        do not meet."""
        if os.environ.get("WORLD_SIZE", "1") == "1":
            yield cls()
            return
        with wire.met() as (rank, size):
            try:
                with wire.noticing_losses():
                    yield cls(rank, size)
            except RunFailed:
                if rank == 0:
                    raise
                sys.exit(1)

    def beside(self) -> "World":
        """The same processes with meetings of their own, `shared` and `together`, for another thread of each. Once a
        thread has given up a wait there, none of them meets there again."""
        return self if self.size == 1 else World(self.rank, self.size, wire.group_beside())

    @property
    def is_first(self) -> bool:
        """Whether this process holds the run's folder, its lock, its journal and its screen."""
        return self.rank == 0

    def mine(self, places: Iterable[int]) -> list[int]:
        """Those of the places that are this process's: place i belongs to process i mod `size`."""
        return [place for place in places if place % self.size == self.rank]

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """As `interruption.waiting`. Among several processes it holds for what is `shared` within: an interruption of
        one gives it up on all of them."""
        if self.size == 1:
            with waiting():
                yield
            return
        self._gives_up.append(True)
        try:
            yield
        finally:
            self._gives_up.pop()

    def shared(
        self,
        items: Sequence[Item],
        make: Callable[[Sequence[Item]], Sequence[T]],
        *,
        plain: Callable[[T], Json],
        read: Callable[[Item, Json], T],
    ) -> list[T]:
        """The result of `make` for each item, in order, where each process makes its own part. Raises as `together`.

        plain, read   to JSON and back, for what another process has made; what this one has made stays as it is"""
        if self.size == 1:
            return list(make(items))
        own = [items[place] for place in self.mine(range(len(items)))]
        made, told = self._meet(lambda: make(own), lambda parts: [plain(part) for part in parts])
        columns: list[Sequence[T]] = []
        for rank, rows in enumerate(told):
            assert isinstance(rows, list), rows
            pairs = zip(items[rank :: self.size], rows, strict=True)
            columns.append(made if rank == self.rank else [read(*pair) for pair in pairs])
        return [columns[place % self.size][place // self.size] for place in range(len(items))]

    def by_first(
        self,
        items: Sequence[Item],
        make: Callable[[Sequence[Item]], Sequence[T]],
        *,
        plain: Callable[[T], Json],
        read: Callable[[Item, Json], T],
    ) -> list[T]:
        """As `shared`, where the first process makes all of it and the others wait."""
        if self.size == 1:
            return list(make(items))
        made, _ = self._meet(lambda: make(items) if self.is_first else (), lambda _: None)
        told = wire.sent_by_first(json.dumps([plain(one) for one in made]).encode())
        if self.is_first:
            return list(made)
        return [read(item, one) for item, one in zip(items, json.loads(told), strict=True)]

    def together(self, make: Callable[[], T]) -> T:
        """The result of `make` here, once all processes have made theirs.

        Where one of them raises an error in words, gives up a wait, or NotFinite, all do: the last two everywhere; an
        error on the first process, with the number of the one that raised it, and the others end."""
        return make() if self.size == 1 else self._meet(make, lambda _: None)[0]

    def from_first(self, make: Callable[[], Json]) -> Json:
        """The result of `make` on the first process, where alone it is called. Raises as `together`."""
        if self.size == 1:
            return make()
        return self._meet(lambda: make() if self.is_first else None, lambda made: made)[1][0]

    def tensors_from_first(self, named: dict[str, Tensor]) -> dict[str, Tensor]:
        """The first process's tensors by name, on the CPU."""
        if self.size == 1:
            return named
        return tensors_from_bytes(wire.sent_by_first(tensors_to_bytes(named) if self.is_first else b""))

    def sum(self, *numbers: float) -> list[float]:
        """Each number added up over the processes, in their order: the sums are the same on all."""
        if self.size == 1:
            return list(numbers)
        told = [json.loads(data) for data in wire.told(json.dumps(numbers).encode())]
        return [reduce(add, column) for column in zip(*told, strict=True)]

    def joined(self, number_X: Tensor) -> Tensor:
        """The numbers of all processes, one after the other, on the CPU."""
        if self.size == 1:
            return number_X
        numbers = number_X.cpu().numpy()
        return torch.from_numpy(np.frombuffer(b"".join(wire.told(numbers.tobytes())), numbers.dtype).copy())

    def places(self, count: int) -> tuple[int, int]:
        """Where this process's part begins in what is `joined`, if it has so many numbers; and how many there are."""
        if self.size == 1:
            return 0, count
        counts = [int(data) for data in wire.told(str(count).encode())]
        return sum(counts[: self.rank]), sum(counts)

    def most(self, count: int) -> int:
        """The largest of the processes' counts."""
        return count if self.size == 1 else max(int(data) for data in wire.told(str(count).encode()))

    def any(self, here: bool) -> bool:
        """Whether it is so on one process at least."""
        return self.first_of("yes" if here else None) is not None

    def all(self, make: Callable[[], bool]) -> bool:
        """Whether `make` says so on every process. Raises as `together`."""
        return make() if self.size == 1 else all(self._meet(make, bool)[1])

    def first_of(self, word: str | None) -> str | None:
        """The word of the first process that has one."""
        if self.size == 1:
            return word
        return next((data.decode() for data in wire.told((word or "").encode()) if data), None)

    def agree(self, what: str, value: Callable[[], bytes]) -> None:
        """Raises RunFailed where `value` is not the same on all processes."""
        if self.size > 1 and len(set(wire.told(sha256(value()).digest()))) > 1:
            raise RunFailed(
                f"{what} differ between the {self.size} processes, which would train different models: give all of "
                "them the same versions and files, and no reward or objective with chance of its own"
            )

    def sum_gradients(self, parameters: Iterable[Parameter]) -> None:
        """Add up the gradients over the processes in place, all at once in fp32."""
        if self.size == 1:
            return
        gradients = [one.grad for one in parameters if one.grad is not None]
        flat = torch.cat([gradient.reshape(-1).float() for gradient in gradients])
        wire.add_up_(flat)
        for gradient, part in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def _meet(self, make: Callable[[], T], plain: Callable[[T], Json]) -> tuple[T, list[Json]]:
        """The result of `make` here, and what it gave on each process as JSON. Raises as `together`."""
        made: list[T] = []
        own: BaseException | None = None
        try:
            with waiting() if self._gives_up else nullcontext():
                made.append(make())
        except (Interrupted, *IN_WORDS) as error:
            own = error
        said = {"made": plain(made[0])} if own is None else {"error": [_kind(own), str(own)]}
        told = [json.loads(data) for data in wire.told(json.dumps(said).encode(), self._beside)]
        errors = [(rank, *one["error"]) for rank, one in enumerate(told) if "error" in one]
        if not errors:
            return made[0], [one["made"] for one in told]
        rank, kind, words = min(errors, key=lambda error: KINDS.index(error[1]))
        if kind == "interrupted":
            raise Interrupted(words)
        if kind == "not finite":
            raise NotFinite(words)
        if not self.is_first:
            sys.exit(2 if kind == "mendable" else 1)
        if own is not None:
            raise own
        mends = {"mendable": ValueError, "broken": RunBroken}
        raise mends.get(kind, RunFailed)(f"process {rank} of {self.size}: {words}")


ALONE = World()
"""The world of a process alone."""


def _kind(error: BaseException) -> str:
    """One of KINDS."""
    kinds = (Interrupted, "interrupted"), (NotFinite, "not finite"), (MENDABLE, "mendable"), (OUTSIDE, "broken")
    return next((kind for errors, kind in kinds if isinstance(error, errors)), "failed")
