"""An engine whose policy stays as it was when it was published."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from paring.adapters.attach import Adapters, exchanged
from paring.rollout.engine import Engine, Reproduces, Sampling
from paring.types import Group, Key, Problem


@dataclass(frozen=True)
class Snapshot:
    """Samples by `engine`, with `tensors` in the place of what the adapters have come to hold."""

    engine: Engine
    adapters: Adapters
    tensors: Mapping[str, Tensor]

    @property
    def reproduces(self) -> Reproduces:
        return self.engine.reproduces

    def publish(self) -> "Snapshot":
        """See Engine."""
        return self

    def sample(self, problems: Sequence[Problem], group_size: int, sampling: Sampling, key: Key) -> list[Group]:
        """See Engine."""
        with exchanged(self.adapters, self.tensors):
            return self.engine.sample(problems, group_size, sampling, key)
