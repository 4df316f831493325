"""The rollout of each step: sampled when the step begins, or by servers while the steps before it train."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue

from paring.adapters.attach import exchanged
from paring.adapters.earlier import PastAdapters
from paring.rollout.engine import Engine
from paring.rollout.served.served_engine import ServedEngine
from paring.runtime.interruption import Interrupted, check_interrupted, given_up_by
from paring.runtime.machine import Stopwatch
from paring.training.collecting import Collected, collect
from paring.training.config import Run
from paring.training.setup import Setup
from paring.training.world import ALONE, IN_WORDS, World
from paring.types import Key

LOOK = 0.2
"""Seconds between two looks whether a wait is to end."""
END_SECONDS = 1.0
"""A rollout that is given up may take so long to let go of what it holds, such as a reward that is computed."""


@dataclass(frozen=True)
class Order:
    """A rollout to be made by `engine`, and its seconds by phase once it is."""

    key: Key
    engine: Engine
    made: "Future[Collected]" = field(default_factory=Future)
    watch: Stopwatch = field(default_factory=Stopwatch)


class Pipeline:
    """The rollouts of a run, one after the other.

    With `rollout.ahead` = N, step n learns answers of the policy before step n - N, or before step 1. This process
    samples them when the step begins. Servers sample them, and the task scores them, while the N steps before it train:
    a thread takes one rollout after the other. Which answers a step gets does not depend on who is faster."""

    def __init__(self, setup: Setup, run: Run, world: World = ALONE) -> None:
        self.setup, self.run, self.world = setup, run, world
        self._beside = ALONE
        self._orders: dict[int, Order] = {}
        self._queue: SimpleQueue[Order | None] = SimpleQueue()
        self._stop = threading.Event()
        self._ahead: tuple[PastAdapters, ServedEngine] | None = None

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Within it servers make rollouts ahead; afterwards none is made, and those under way are given up."""
        copies, engine = self.setup.sampler.earlier, self.setup.engine
        if not isinstance(copies, PastAdapters) or not isinstance(engine, ServedEngine):
            yield
            return
        self._beside = self.world.beside()
        thread = threading.Thread(target=self._work, name="rollouts", daemon=True)
        thread.start()
        self._ahead = copies, engine
        try:
            yield
        finally:
            self._ahead = None
            self._stop.set()
            self._queue.put(None)
            thread.join(END_SECONDS)

    def collected(self, step: int, watch: Stopwatch) -> Collected:
        """The rollout of the next step; `watch` takes its seconds, and those for which training waits. Where it does
        not come to its end, the sampler is as it was before. Raises as `collect`."""
        with self.setup.sampler.steady():
            if self._ahead is None:
                with self.world.waiting():
                    return collect(self.setup, self.run.rollout, Key(self.run.seed, step), watch, self.world)
            copies, engine = self._ahead
            copies.begin(step)
            with watch("wait"):
                self._order_up_to(min(step + copies.back, self.run.steps), step, copies, engine)
                order = self._orders.pop(step)
                with self.world.waiting():
                    while not self.world.all(lambda: _is_made(order)):
                        pass
            watch.seconds |= order.watch.seconds
            return order.made.result()

    def _order_up_to(self, last: int, step: int, copies: PastAdapters, engine: ServedEngine) -> None:
        """Publish the policy of each step up to `last` whose rollout is not under way, and begin that."""
        for number in range(max([step - 1, *self._orders]) + 1, last + 1):
            with self.world.waiting(), exchanged(copies.adapters, copies.of_step(number)):
                published = engine.publish()
            self._orders[number] = Order(Key(self.run.seed, number), published)
            self._queue.put(self._orders[number])

    def _work(self) -> None:
        with given_up_by(self._stop):
            while (order := self._queue.get()) is not None and not self._stop.is_set():
                try:
                    place = order.key, order.watch, self._beside
                    made = collect(self.setup, self.run.rollout, *place, engine=order.engine)
                except BaseException as error:  # raised where the rollout is waited for
                    order.made.set_exception(error)
                else:
                    order.made.set_result(made)


def _is_made(order: Order) -> bool:
    """Whether a rollout has come to its end within this look, well or with an error that all processes have. Raises
    any other error, of which the other processes do not know, and Interrupted."""
    check_interrupted()
    if not wait([order.made], LOOK).done:
        return False
    error = order.made.exception()
    if error is not None and not isinstance(error, (Interrupted, SystemExit, *IN_WORDS)):
        raise error
    return True
