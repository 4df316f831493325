"""The adapters as they were some steps ago: a copy that is renewed from time to time, or one of each step."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial

import torch
from torch import Tensor

from paring.adapters.attach import Adapters, exchanged, state


class EarlierAdapters:
    """A copy of the adapters, `age` steps old, renewed once it has served `every` steps.

    With `every` = 1 it is the adapters themselves, and nothing is copied."""

    def __init__(self, adapters: Adapters, every: int) -> None:
        self.adapters, self.every = adapters, every
        self.age = 0
        """Steps since the renewal, in the step that began last."""
        self.copied: dict[str, Tensor] = {}
        self._step: int | None = None
        self._next_age = 0

    def begin(self, step: int) -> None:
        """Step `step` begins; for one that has begun nothing is done."""
        if self.every > 1 and step != self._step:
            if not self.copied or self._next_age == self.every:
                self.refresh()
            self._step, self.age, self._next_age = step, self._next_age, self._next_age + 1

    @property
    def older(self) -> Callable[[], AbstractContextManager[None]] | None:
        """`with earlier.older():` gives the adapters back as they were; None where they are as they were."""
        return partial(exchanged, self.adapters, self.copied) if self.age else None

    def refresh(self) -> None:
        """A rank event has changed the adapters' shapes: copy those of this moment for the next step."""
        if self.every > 1:
            self.copied = _copy(self.adapters)
            self._next_age = 0

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that a checkpoint must hold after a step; none with `every` = 1."""
        return self.copied | {"age": torch.tensor(self._next_age)} if self.copied else {}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what `tensors` gave."""
        device = next(iter(state(self.adapters).values())).device
        self.copied = {name: value.to(device) for name, value in tensors.items() if name != "age"}
        self._next_age = int(tensors["age"]) if self.copied else 0


class PastAdapters(EarlierAdapters):
    """Copies of the adapters of each of the last `back` steps. In step n, from 1, they are those before step n - back,
    or the oldest that there are; a rank event between changes nothing of them."""

    def __init__(self, adapters: Adapters, back: int) -> None:
        super().__init__(adapters, every=1)
        self.back = back
        self.kept: list[dict[str, Tensor]] = []
        """The adapters as they were at the beginning of the last steps, the oldest first."""

    def begin(self, step: int) -> None:
        """See EarlierAdapters."""
        if step != self._step:
            self.kept = [*self.kept[-self.back :], _copy(self.adapters)]
            self._step, self.copied, self.age = step, self.kept[0], len(self.kept) - 1

    def of_step(self, step: int) -> dict[str, Tensor]:
        """The copy that step `step` uses, of the step that began last or one of the `back` after it."""
        assert self._step is not None, "no step has begun"
        return self.kept[max(0, step - self._step + self.age - self.back)]

    def refresh(self) -> None:
        """Copies keep the shapes that they have."""

    def tensors(self) -> dict[str, Tensor]:
        """See EarlierAdapters: the copies that later steps use."""
        kept = self.kept[-self.back :]
        return {f"{place}/{name}": value for place, copy in enumerate(kept) for name, value in copy.items()}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """See EarlierAdapters."""
        device = next(iter(state(self.adapters).values())).device
        copies: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            place, _, rest = name.partition("/")
            copies.setdefault(int(place), {})[rest] = value.to(device)
        self.kept, self._step = [copies[place] for place in sorted(copies)], None


def _copy(adapters: Adapters) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in state(adapters).items()}
