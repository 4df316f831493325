"""The adapters as they were some steps ago: a copy that is renewed every so many steps."""

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
        """Copy the adapters of this moment for the next step; also after a rank event, which changes their shapes."""
        if self.every > 1:
            self.copied = {name: value.clone() for name, value in state(self.adapters).items()}
            self._next_age = 0

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that a checkpoint must hold after a step; none with `every` = 1."""
        return self.copied | {"age": torch.tensor(self._next_age)} if self.copied else {}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what `tensors` gave."""
        device = next(iter(state(self.adapters).values())).device
        self.copied = {name: value.to(device) for name, value in tensors.items() if name != "age"}
        self._next_age = int(tensors["age"]) if self.copied else 0
