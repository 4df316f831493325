"""An engine that refreshes its copy of the adapters every so many steps, and so samples from an older policy."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor

from paring.adapters.attach import Adapters, exchanged, state
from paring.rollout.engine import Engine, Sampling
from paring.types import Group, Key, Problem


class LaggedEngine:
    """Samples with the adapters as they were when it was last refreshed, `age` steps ago.

    A step is all calls with the same `key.step`; at a new one the engine is refreshed if it has served `every` steps.
    With `every` = 1 the policy samples itself and nothing is copied."""

    def __init__(self, engine: Engine, adapters: Adapters, every: int) -> None:
        self.engine, self.adapters, self.every = engine, adapters, every
        self.age = 0
        """Steps since the refresh, in the step that was sampled last."""
        self.copied: dict[str, Tensor] = {}
        self._step: int | None = None
        self._next_age = 0

    def sample(self, problems: Sequence[Problem], group_size: int, sampling: Sampling, key: Key) -> list[Group]:
        """See Engine."""
        if self.every > 1 and key.step != self._step:
            if not self.copied or self._next_age == self.every:
                self.refresh()
            self._step, self.age, self._next_age = key.step, self._next_age, self._next_age + 1
        with self.older() if self.older else nullcontext():
            return self.engine.sample(problems, group_size, sampling, key)

    @contextmanager
    def steady(self) -> Iterator[None]:
        """If what is done here does not come to its end, the engine is again as it was before."""
        before = self.tensors()
        try:
            yield
        except BaseException:
            self.load_tensors(before)
            raise

    @property
    def older(self) -> Callable[[], AbstractContextManager[None]] | None:
        """`with engine.older():` gives the policy back that sampled; None where it is the policy itself."""
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
