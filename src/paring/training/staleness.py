"""The policy that samples, where it is refreshed only every so many steps: an older one than the policy trained."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from paring.adapters.attach import Adapters, exchanged, state


class SamplingPolicy:
    """The adapters as they were when the sampler was last refreshed, and how many steps ago that was.

    With `every` = 1 the policy samples itself and nothing is remembered."""

    def __init__(self, adapters: Adapters, every: int) -> None:
        self.adapters, self.every = adapters, every
        self.age = 0
        self.held: dict[str, Tensor] = {}

    @property
    def is_stale(self) -> bool:
        """Whether the policy has moved on since."""
        return self.age > 0

    def begin_step(self) -> None:
        """Before a rollout: refresh the sampler where its time has come."""
        if self.every > 1 and (not self.held or self.age == self.every):
            self.refresh()

    def refresh(self) -> None:
        """The sampler becomes the policy of this moment; also after a rank event, which gives tensors new shapes."""
        self.age = 0
        self.held = {name: value.clone() for name, value in state(self.adapters).items()} if self.every > 1 else {}

    def end_step(self) -> None:
        """After the updates of a step."""
        if self.every > 1:
            self.age += 1

    @contextmanager
    def as_it_was(self) -> Iterator[None]:
        """Within it the policy is the one that samples."""
        if not self.is_stale:
            yield
            return
        with exchanged(self.adapters, self.held):
            yield

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint must hold; nothing with `every` = 1."""
        return self.held | {"age": torch.tensor(self.age)} if self.held else {}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what `tensors` gave."""
        device = next(iter(state(self.adapters).values())).device
        self.held = {name: value.to(device) for name, value in tensors.items() if name != "age"}
        self.age = int(tensors["age"]) if self.held else 0
