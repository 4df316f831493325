"""The engine that samples by servers: each version of the policy is published, proved, and asked for by its name."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from paring.policy.model import Policy
from paring.rollout.engine import EngineFailed, Reproduces, Sampling
from paring.rollout.served import routes
from paring.rollout.served.canary import TOKENS, Continuation, canary_prompt, canary_question, check_gap, gap, scored
from paring.rollout.served.fleet import TRIES, Asking, Member, ServerTally
from paring.rollout.served.forgetting import LeavingVersions
from paring.rollout.served.meeting import NOBODY_ELSE, Meeting
from paring.rollout.served.published import Shelf, Version
from paring.rollout.served.published_policy import PublishedPolicy
from paring.runtime.client import Malformed, Refused, ServerFault, Stopped
from paring.runtime.interruption import finishing
from paring.types import Group, Json, JsonObject, Key, Problem

Q = TypeVar("Q")
A = TypeVar("A")


@dataclass
class ServedEngine:
    """Samples from `policy` as it is at each call, by the servers of `members`, which see the folder of `shelf`.

    A version of the adapters is loaded under a name made of its content, and proved: how a server continues a test
    prompt is scored by the policy. Each server repeats the proof after each call, before its answers are used.
    `tolerance`, in nats, and `patience`, in seconds, are of Rollout; `keep` versions stay loaded.

    Where several processes train together, `meeting` is theirs: all of them publish and close, which the first does in
    fact, and each asks servers for the answers that it wants."""

    policy: Policy
    members: Sequence[Member]
    shelf: Shelf
    tolerance: float
    patience: float
    keep: int = 2
    tally: ServerTally = field(default_factory=ServerTally)
    meeting: Meeting = NOBODY_ELSE

    def __post_init__(self) -> None:
        self.context = min(self.policy.context, *(member.context for member in self.members))
        self.vocabulary = len(self.policy.head.weight_VD)
        self.canary = canary_prompt(self.vocabulary, self.context)
        self._versions: dict[str, Version] = {}
        self._leaving = LeavingVersions(self.members, self.shelf)
        self.lock, self._folders = threading.RLock(), threading.Lock()
        self._is_closed = False

    @property
    def reproduces(self) -> Reproduces:
        return "tokens"

    def publish(self) -> PublishedPolicy:
        """See Engine; it samples also while another thread trains. Raises EngineFailed, and NotFinite."""
        version = self.version()
        return PublishedPolicy(self.policy, self.context, version, partial(self.answers, version), self.lock)

    def sample(self, problems: Sequence[Problem], group_size: int, sampling: Sampling, key: Key) -> list[Group]:
        """See Engine."""
        return self.publish().sample(problems, group_size, sampling, key) if problems else []

    def version(self, rank: int = 0) -> Version:
        """The adapters of this moment, loaded and proved by one server at least. `rank`: see Shelf.write."""
        start = time.perf_counter()
        with self.lock:
            name = self.shelf.name_of(self.policy, rank) if self.policy.adapters else ""
            version = self._versions.pop(name, None)
            if version is None:
                version = self.meeting.together(lambda: self._new(name, rank))
            self._versions[name] = version  # the newest stands last
            self._leaving.comes_back(name)
            if version.expected is None:
                version.expected = self._expected(version)
            self._retire()
        self.tally.publish_seconds += time.perf_counter() - start
        return version

    def _new(self, name: str, rank: int) -> Version:
        if name and self.meeting.is_first:
            return self.shelf.write(self.policy, rank)
        return Version(name, seen=self.shelf.seen_by_servers(name))

    def _expected(self, version: Version) -> Continuation:
        """What the policy says of a server's reply to the canary. The processes compute it together, as the base may
        be divided among them."""
        given: list[Member] = []

        def replied() -> Json:
            [(reply, member)] = self._round([version], lambda one, _, stop: self._load(version, one, stop))
            given.append(member)
            return reply.as_plain()

        reply = Continuation.from_plain(self.meeting.from_first(replied))
        with finishing():
            expected = scored(self.policy, self.canary, reply)

        def prove() -> None:
            for member in given:
                self._check(member, reply, expected)
                member.proved.add(version.name)

        self.meeting.together(prove)
        return expected

    def answers(
        self, version: Version, questions: Sequence[JsonObject], count: int, end: Callable[[Continuation], Continuation]
    ) -> list[list[Continuation]]:
        """`count` answers to each request for completions, checked by `end`. Those of a server that is away before it
        has repeated the proof are asked for again. Raises EngineFailed."""

        def ask(member: Member, question: JsonObject, stop: threading.Event) -> list[Continuation]:
            self._ensure(version, member, stop)
            found = self._completions(version, member, question, count, stop)
            return [end(reply) for reply in found]

        with self.lock:
            if self._is_closed:
                raise EngineFailed("the servers have been let go")
            self._versions.setdefault(version.name, version)
            self._leaving.comes_back(version.name)
        given: dict[int, list[Continuation]] = {}
        for _ in range(TRIES):
            missing = [place for place in range(len(questions)) if place not in given]
            got = self._round([questions[place] for place in missing], ask)
            at_work = [member for member in self.members if any(member is one for _, one in got)]
            proofs = self._round(at_work, lambda _, one, stop: self._is_proved(version, one, stop))
            proved = [member for member, (is_proved, _) in zip(at_work, proofs, strict=True) if is_proved]
            for place, (replies, member) in zip(missing, got, strict=True):
                if any(member is one for one in proved):
                    given[place] = replies
            if len(given) == len(questions):
                return [given[place] for place in range(len(questions))]
        raise EngineFailed(f"{TRIES} times, servers have answered and were away before they could be proved")

    def prove_all(self, rank: int) -> None:
        """Let every server load the adapters of this moment, padded to this rank, and prove it. Raises EngineFailed."""
        version = self.version(rank)

        def prove() -> None:
            self._round(self.members, lambda _, one, stop: self._ensure(version, one, stop))

        self.meeting.from_first(prove)

    def close(self) -> None:
        """Let servers forget what was published, and end those that were started here."""
        with self.lock:
            self._is_closed = True
        self.withdraw()
        for child in filter(None, (member.child for member in self.members)):
            child.stop()

    def sweep(self) -> None:
        """Let servers forget what a killed process has published here, and remove it. The run's folder is locked."""
        if not self.meeting.is_first:
            return
        self.shelf.remove_staging()
        self._leaving.leave_all([name for name in self.shelf.names() if name not in self._versions])

    def withdraw(self) -> None:
        """Let servers forget all that was published, and remove it: also where one does not say in time that it has."""
        with self.lock:
            names = self._withdrawn([name for name in self._versions if name])
            if self.meeting.is_first:
                self._leaving.leave_all(names)
                self.shelf.clear_away()

    def _round(
        self, questions: Sequence[Q], ask: Callable[[Member, Q, threading.Event], A]
    ) -> Sequence[tuple[A, Member]]:
        return Asking(self.members, questions, ask, patience=self.patience, tally=self.tally).answers()

    def _completions(
        self,
        version: Version,
        member: Member,
        question: JsonObject,
        count: int,
        stop: threading.Event,
    ) -> list[Continuation]:
        named = {**question, "model": version.name or member.base}
        how = {"vocabulary": self.vocabulary, "seconds": self.patience, "stop": stop}
        try:
            return routes.completions(member.server, named, count=count, **how)
        except Refused as refusal:
            if refusal.status == 404:  # somebody has unloaded it; the next try loads it again
                member.proved.discard(version.name)
            raise

    def _load(self, version: Version, member: Member, stop: threading.Event) -> Continuation:
        """What a server that has just been given this version replies to the canary."""
        if version.name:
            with self._folders:
                if version.name not in self._versions:
                    raise Stopped  # it was forgotten while this waited for the server
                version.restore()
            routes.load(member.server, version.name, version.seen, seconds=self.patience, stop=stop)
        return self._reply(version, member, stop)

    def _reply(self, version: Version, member: Member, stop: threading.Event) -> Continuation:
        [reply] = self._completions(version, member, canary_question(self.canary), 1, stop)
        if len(reply.tokens) != TOKENS:
            raise Malformed(f"{len(reply.tokens)} tokens in place of {TOKENS}")
        return reply

    def _ensure(self, version: Version, member: Member, stop: threading.Event) -> None:
        """A server has this version, and has been proved since it was given it."""
        with member.lock:
            if version.name not in member.proved:
                reply = self._load(version, member, stop)
                self._check(member, reply, version.expected)
                member.proved.add(version.name)

    def _is_proved(self, version: Version, member: Member, stop: threading.Event) -> bool:
        """Whether a server still has this version; not, where it cannot be asked."""
        try:
            reply = self._reply(version, member, stop)
        except ServerFault:
            return False
        self._check(member, reply, version.expected)
        return True

    def _check(self, member: Member, reply: Continuation, expected: Continuation | None) -> None:
        assert expected is not None
        apart = gap(reply, expected)
        self.tally.largest_gap = max(self.tally.largest_gap, apart)
        check_gap(member.server.url, apart, self.tolerance)

    def _retire(self) -> None:
        """Forget the oldest versions beyond those that are kept, but for those in use."""
        idle = [name for name, version in self._versions.items() if name and not version.users]
        names = self._withdrawn(idle[: max(0, len(self._versions) - self.keep)])
        if self.meeting.is_first:
            self._leaving.leave(names)

    def _withdrawn(self, names: Sequence[str]) -> Sequence[str]:
        """The same names, of which from here on no folder is written again."""
        with self._folders:
            for name in names:
                self._versions.pop(name, None)
        for member in self.members:
            member.proved -= set(names)
        return names
