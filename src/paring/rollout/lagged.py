"""An engine that refreshes its copy of the adapters every so many steps, and so samples from an older policy."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

from paring.adapters.attach import Adapters
from paring.adapters.earlier import EarlierAdapters
from paring.rollout.engine import Engine, Sampling
from paring.types import Group, Key, Problem


class LaggedEngine(EarlierAdapters):
    """Samples with the adapters as they were when it was last refreshed, `age` steps ago. A step is all calls with the
    same `key.step`. With `every` = 1 the policy samples itself."""

    def __init__(self, engine: Engine, adapters: Adapters, every: int) -> None:
        super().__init__(adapters, every)
        self.engine = engine

    def sample(self, problems: Sequence[Problem], group_size: int, sampling: Sampling, key: Key) -> list[Group]:
        """See Engine."""
        self.begin(key.step)
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
