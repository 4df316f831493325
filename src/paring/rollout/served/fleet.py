"""Several servers answer many questions: shared out, asked again by the kind of fault, and given up in time."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from paring.rollout.engine import EngineFailed
from paring.runtime.client import Away, Malformed, Refused, Server, ServerFault, Stopped
from paring.runtime.interruption import check_interrupted, waiting

Q = TypeVar("Q")
A = TypeVar("A")
IN_FLIGHT = 64
"""Questions that a server has at once."""
TRIES = 3
"""Times that a question is asked of servers that are well and refuse it, or answer nonsense."""
PAUSE, LONGEST_PAUSE = 0.25, 4.0
"""Seconds before a question is asked again; each time twice as many."""
LATE, TIMES_LONGEST = 10.0, 3.0
"""A question is asked of an idle server too, where it has waited for so many seconds, and so many times as long as the
slowest that was answered."""
LOOK = 0.2


class Child(Protocol):
    """What started a server, and can again."""

    def revive(self) -> None:
        """Start it again where its process has ended. Raises EngineFailed where that is of no use."""

    def stop(self) -> None:
        """End it."""


@dataclass
class Member:
    """A server of the fleet: the name of its base, its context in tokens, and the versions that it has, proved."""

    server: Server
    base: str = ""
    context: int = 0
    proved: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    child: Child | None = None


@dataclass
class ServerTally:
    """What the journal says of servers: questions asked once more, seconds of publishing, the largest gap in nats."""

    repeated: int = 0
    publish_seconds: float = 0.0
    largest_gap: float = 0.0

    def taken(self) -> dict[str, float]:
        """By the names of the glossary, since the last call: a rollout under way goes on counting."""
        seconds, again = {"seconds_publish": self.publish_seconds}, {"asked_again": float(self.repeated)}
        measures = seconds | {"canary_gap": self.largest_gap} | again
        self.repeated, self.publish_seconds, self.largest_gap = 0, 0.0, 0.0
        return measures


class Asking(Generic[Q, A]):
    """One set of questions, each asked by `ask(member, question, stop)`, which raises ServerFault where it fails.

    Whichever server answers, the answer is the same; so a question of a server that is away goes to another."""

    def __init__(
        self,
        members: Sequence[Member],
        questions: Sequence[Q],
        ask: Callable[[Member, Q, threading.Event], A],
        *,
        patience: float,
        tally: ServerTally,
    ) -> None:
        self._members, self._questions, self._ask, self._patience = members, questions, ask, patience
        self._tally = tally
        self._todo = deque(range(len(questions)))
        self._asked: dict[int, list[tuple[float, Member]]] = {}
        self._answers: dict[int, tuple[A, Member]] = {}
        self._tries = [0] * len(questions)
        self._longest = 0.0
        self._well = {id(member): time.monotonic() for member in members}
        self._lost: dict[int, str] = {}
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._stop = threading.Event()

    def answers(self) -> list[tuple[A, Member]]:
        """The answer to each question, in their order, and who gave it.

        Raises EngineFailed where no server is left or one refuses for good, whatever else `ask` raises, and Interrupted
        at once where this process is to end."""
        if not self._questions:
            return []
        count = min(IN_FLIGHT, len(self._questions))
        with waiting():
            try:
                for member in self._members:
                    for _ in range(count):
                        threading.Thread(target=self._work, args=(member,), daemon=True).start()
                with self._changed:
                    while not self._is_over():
                        self._changed.wait(LOOK)
                        check_interrupted()
            finally:
                self._stop.set()
        if self._error is not None:
            raise self._error
        return [self._answers[place] for place in range(len(self._questions))]

    def _is_over(self) -> bool:
        if self._error is None and len(self._lost) == len(self._members):
            words = "; ".join(self._lost.values())
            self._error = EngineFailed(f"no server is left: {words}. rollout.patience = {self._patience:g} seconds")
        return self._error is not None or len(self._answers) == len(self._questions)

    def _work(self, member: Member) -> None:
        """Answer questions by one server, until none is left."""
        pause = PAUSE
        while (place := self._next(member)) is not None:
            start = time.monotonic()
            try:
                answer = self._ask(member, self._questions[place], self._stop)
            except Stopped:
                return
            except ServerFault as fault:
                try:
                    self._put_back(place, member, fault)
                except EngineFailed as error:
                    self._end(error)
                    return
                self._stop.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            # Whatever it is, it is raised where the answers are waited for.
            except BaseException as error:
                self._end(error)
                return
            else:
                pause = PAUSE
                with self._changed:
                    self._answers.setdefault(place, (answer, member))
                    self._longest = max(self._longest, time.monotonic() - start)
                    self._well[id(member)] = time.monotonic()
                    self._lost.pop(id(member), None)
                    self._changed.notify_all()

    def _next(self, member: Member) -> int | None:
        """The next question for this server; None where there will be none."""
        with self._changed:
            while not self._stop.is_set() and len(self._answers) < len(self._questions):
                place = self._todo.popleft() if self._todo else self._late(member)
                if place is not None and place not in self._answers:
                    self._asked.setdefault(place, []).append((time.monotonic(), member))
                    return place
                self._changed.wait(LOOK)
        return None

    def _late(self, member: Member) -> int | None:
        """A question that another server has had for too long."""
        late = time.monotonic() - max(LATE, TIMES_LONGEST * self._longest)
        for place, asked in self._asked.items():
            if place not in self._answers and len(asked) == 1 and asked[0][1] is not member and asked[0][0] < late:
                self._tally.repeated += 1
                return place
        return None

    def _put_back(self, place: int, member: Member, fault: ServerFault) -> None:
        """Ask again, by the kind of fault. Raises EngineFailed where that is of no use."""
        url = member.server.url
        if isinstance(fault, Away) and member.child is not None:
            member.child.revive()
        with self._changed:
            self._tally.repeated += 1
            self._asked.pop(place, None)
            self._todo.append(place)
            if isinstance(fault, Away):
                if time.monotonic() - self._well[id(member)] >= self._patience:
                    self._lost[id(member)] = f"{url}: {fault}"
            else:
                self._tries[place] += 1
                final = isinstance(fault, Refused) and fault.status not in (404, 500)
                if final or self._tries[place] >= TRIES:
                    what = "refuses" if isinstance(fault, Refused) else "answers what is no answer of vLLM's"
                    assert isinstance(fault, Refused | Malformed)
                    raise EngineFailed(f"{url} {what}: {fault}")
            self._changed.notify_all()

    def _end(self, error: BaseException) -> None:
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()
