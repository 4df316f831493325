"""A run with servers, simulated from what a run has measured: `ahead`, answers that take long, servers that fail."""

import heapq
import json
import random
from argparse import ArgumentParser
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean


@dataclass(frozen=True)
class Servers:
    """`count` servers that answer `slots` questions at once each, in seconds.

    A server fails after `between` seconds on average, by an exponential distribution, and is away for `away`; what it
    had in hand is asked once more. None fails where `between` is infinite."""

    count: int = 1
    slots: int = 64
    between: float = float("inf")
    away: float = 0.0


@dataclass
class Fleet:
    """The servers at work, from second 0 on: when each of them fails next."""

    servers: Servers
    chance: random.Random
    failures: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.failures = [self._next(0.0) for _ in range(self.servers.count)]

    def end_of(self, questions: Sequence[float], start: float) -> float:
        """When all questions are answered that are asked at `start`, each of so many seconds: a server takes the next
        one as soon as it has a slot."""
        todo = deque((start, seconds) for seconds in questions)
        free = [(start, server) for server in range(self.servers.count) for _ in range(self.servers.slots)]
        lost: list[tuple[float, float]] = []
        """When questions are lost by a failure, and their seconds."""
        end = start
        while todo or lost:
            if lost and (not todo or lost[0][0] <= free[0][0]):
                todo.append(heapq.heappop(lost))
                continue
            now, server = heapq.heappop(free)
            while self.failures[server] + self.servers.away <= now:
                self.failures[server] = self._next(self.failures[server] + self.servers.away)
            if self.failures[server] <= now:
                heapq.heappush(free, (self.failures[server] + self.servers.away, server))
                continue
            asked, seconds = todo.popleft()
            now = max(now, asked)
            if now + seconds > self.failures[server]:
                heapq.heappush(lost, (self.failures[server], seconds))
                heapq.heappush(free, (self.failures[server] + self.servers.away, server))
            else:
                heapq.heappush(free, (now + seconds, server))
                end = max(end, now + seconds)
        return end

    def _next(self, now: float) -> float:
        between = self.servers.between
        return now + self.chance.expovariate(1 / between) if between < float("inf") else between


@dataclass(frozen=True)
class Course:
    """A simulated run: when each step's rollout began and ended, and when its training did."""

    rollouts: Sequence[tuple[float, float]]
    trainings: Sequence[tuple[float, float]]

    @property
    def seconds(self) -> float:
        return self.trainings[-1][1]

    @property
    def sampling(self) -> float:
        return sum(end - start for start, end in self.rollouts)

    @property
    def training(self) -> float:
        return sum(end - start for start, end in self.trainings)


def course(
    questions: Sequence[Sequence[float]], trainings: Sequence[float], ahead: int, fleet: Fleet, publish: float = 0.0
) -> Course:
    """`questions`: the seconds of each question of each step; `trainings`: of each step's update. Rollouts are made one
    after the other; that of step n + ahead may begin once step n has begun and its policy is published."""
    made: list[tuple[float, float]] = []
    trained: list[tuple[float, float]] = []
    for step, seconds in enumerate(trainings):
        begun = (trained[-1][1] if trained else 0.0) + publish
        for asked in questions[len(made) : step + ahead + 1]:
            start = max(begun, made[-1][1] if made else 0.0)
            made.append((start, fleet.end_of(asked, start)))
        start = max(begun, made[step][1])
        trained.append((start, start + seconds))
    return Course(made[: len(trained)], trained)


def measured(folder: Path) -> tuple[list[list[float]], list[float]]:
    """For each step of a run: the longest answer to each problem in tokens, and the seconds of training."""
    longest: defaultdict[int, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in _rows(folder / "samples.jsonl"):
        group = longest[row["step"]]
        group[row["problem"]] = max(group[row["problem"]], row["tokens"])
    metrics = list(_rows(folder / "metrics.jsonl"))
    tokens = [list(map(float, longest[row["step"]].values())) for row in metrics]
    return tokens, [row["seconds_training"] for row in metrics]


def _rows(path: Path) -> Iterator[dict]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="the folder of a run: its lengths and seconds are drawn from")
    parser.add_argument("--ahead", type=int, nargs="+", default=[0, 1, 2, 4, 8])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--servers", type=int, default=1)
    parser.add_argument("--slots", type=int, default=64, help="questions that a server answers at once")
    parser.add_argument("--balance", type=float, default=1.0, help="seconds of sampling for one of training")
    parser.add_argument("--slow", type=float, default=0.0, help="the share of the questions that are stragglers")
    parser.add_argument("--times", type=float, default=5.0, help="a straggler takes so many times as long")
    parser.add_argument("--between", type=float, default=float("inf"), help="steps' time between failures of a server")
    parser.add_argument("--away", type=float, default=0.0, help="steps' time that a server which failed is away")
    parser.add_argument("--publish", type=float, default=0.0, help="seconds of publishing for one of training")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    tokens, trainings = measured(options.run)
    chance = random.Random(options.seed)
    drawn = [chance.randrange(len(tokens)) for _ in range(options.steps)]
    update = fmean(trainings)
    calm = Fleet(Servers(options.servers, options.slots), chance)
    per_token = options.balance * update / fmean(calm.end_of(tokens[step], 0.0) for step in drawn)
    questions = [
        [per_token * one * (options.times if chance.random() < options.slow else 1) for one in tokens[step]]
        for step in drawn
    ]
    turn = (1 + options.balance) * update
    servers = Servers(options.servers, options.slots, options.between * turn, options.away * turn)
    courses = {
        ahead: course(
            questions,
            [trainings[step] for step in drawn],
            ahead,
            Fleet(servers, random.Random(options.seed)),
            options.publish * update,
        )
        for ahead in options.ahead
    }
    for ahead, made in courses.items():
        in_turn = courses.get(0)
        hidden = in_turn and (in_turn.seconds - made.seconds) / min(in_turn.sampling, in_turn.training)
        line = {
            "ahead": ahead,
            "time_to_in_turn": in_turn and round(made.seconds / in_turn.seconds, 3),
            "hidden": hidden and round(hidden, 3),
            "trainer_idle": round(1 - made.training / made.seconds, 3),
        }
        print(json.dumps(line))


if __name__ == "__main__":
    main()
