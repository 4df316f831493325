"""An engine that samples with the adapters of some steps ago: of its last refresh, or of a fixed number of steps."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from paring.adapters.attach import Adapters
from paring.adapters.earlier import EarlierAdapters, PastAdapters
from paring.rollout.engine import Engine, Sampling
from paring.rollout.served.published_policy import PublishedPolicy
from paring.rollout.served.served_engine import ServedEngine
from paring.types import Group, Key, Problem


class LaggedEngine:
    """Samples with the adapters as they were `age` steps ago. A step is all calls with the same `key.step`.

    every, ahead    of Rollout (`sync_every` and `ahead`); with 1 and 0 the policy samples itself"""

    def __init__(self, engine: Engine, adapters: Adapters, every: int = 1, ahead: int = 0) -> None:
        self.engine = engine
        self.earlier = PastAdapters(adapters, ahead) if ahead else EarlierAdapters(adapters, every)
        self.name = "samplers" if ahead else "sampler"
        """That of the copies in a checkpoint."""

    @property
    def age(self) -> int:
        """How many steps old the policy that samples is, in the step that began last."""
        return self.earlier.age

    @property
    def older(self) -> Callable[[], AbstractContextManager[None]] | None:
        """See EarlierAdapters."""
        return self.earlier.older

    def of_step(self, step: int) -> "LaggedEngine | PublishedPolicy":
        """What samples the answers of step `step`. Each process of a run calls it, since servers are given the policy
        by all of them together."""
        self.earlier.begin(step)
        if not isinstance(self.engine, ServedEngine):
            return self
        with self._as_it_was():
            return self.engine.publish()

    def _as_it_was(self) -> AbstractContextManager[None]:
        return self.older() if self.older else nullcontext()

    def sample(self, problems: Sequence[Problem], group_size: int, sampling: Sampling, key: Key) -> list[Group]:
        """See Engine."""
        self.earlier.begin(key.step)
        with self._as_it_was():
            return self.engine.sample(problems, group_size, sampling, key)

    @contextmanager
    def steady(self) -> Iterator[None]:
        """If what is done here does not come to its end, the engine is again as it was before."""
        before = self.earlier.tensors()
        try:
            yield
        except BaseException:
            self.earlier.load_tensors(before)
            raise
