"""The cost of servers and processes for a step: publishing, proofs and HTTP beside generation, and sums over gloo."""

import json
import os
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TypeVar

import torch

from ahead import mean, pin, run_of, served
from measuring import options, report
from paring.adapters.attach import Adapters
from paring.rollout.engine import Sampling
from paring.rollout.served import routes
from paring.rollout.served.canary import canary_question, scored
from paring.rollout.served.served_engine import ServedEngine
from paring.runtime.machine import free_port
from paring.runtime.tables import Table
from paring.training.setup import Setup, prepare
from paring.types import Group, Key, Problem

T = TypeVar("T")
PARTS = ("serving", "publish", "processes")
RANKS = (1, 4, 16, 64)
MOVED = 1e-4
"""The change of B between two versions: so small that answers stay as long."""
EMPTY = 9
"""Empty questions, whose median is what HTTP takes."""
PHASES = ("written", "loaded", "canary answered", "canary scored")
"""The phases of publishing a version."""
LONGEST = 600.0
"""Seconds that an answer may take."""
FIRST = 2
"""The first step of several processes that counts."""


def main() -> None:
    sizes = {"problems": 8, "group": 4, "new_tokens": 64, "rank": 16, "steps": 5, "rounds": 3}
    parser = options(__doc__, "model", "data", at_least=0.8, **sizes)
    parser.add_argument("--parts", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--server", help="the address of a server, pinned by you; without it the reference server")
    parser.add_argument("--server-pid", type=int, help="its process, whose seconds count, and those of its children")
    parser.add_argument("--max-rank", type=int, default=max(RANKS), help="the largest rank that is published")
    arguments = parser.parse_args()
    chosen = arguments.parts.split(",")
    if {"serving", "publish"} & set(chosen):
        with served(with_rank(arguments, arguments.max_rank)) as url:
            pin("trainer")
            clock = Clock(arguments.server_pid)
            if "serving" in chosen:
                serving(arguments, url, clock)
            if "publish" in chosen:
                publishing(arguments, url, clock)
    if "processes" in chosen:
        processes(arguments)


@dataclass(frozen=True)
class Spent:
    """Seconds on the clock, and processor seconds of trainer and server together, which other load does not change."""

    wall: float
    cpu: float


class Clock:
    """The time that work takes here and in the server: `server` and the processes below it, or those below this one."""

    def __init__(self, server: int | None) -> None:
        self.server = server

    def of(self, work: Callable[[], T]) -> tuple[T, Spent]:
        wall, cpu = time.perf_counter(), self._cpu()
        made = work()
        return made, Spent(time.perf_counter() - wall, self._cpu() - cpu)

    def _cpu(self) -> float:
        """0 where the system does not tell: elsewhere than on Linux."""
        rows = [stat.read_text(errors="replace") for stat in Path("/proc").glob("[0-9]*/stat") if stat.exists()]
        fields = {int(row.split(maxsplit=1)[0]): row.rpartition(")")[2].split() for row in rows}
        roots = {os.getpid()} if self.server is None else {os.getpid(), self.server}
        while more := {pid for pid, one in fields.items() if int(one[1]) in roots} - roots:
            roots |= more
        ticks = sum(int(fields[pid][11]) + int(fields[pid][12]) for pid in roots & fields.keys())
        return ticks / os.sysconf("SC_CLK_TCK")


def serving(arguments: Namespace, url: str, clock: Clock) -> None:
    """The share of a rollout, publishing included, in which answers are generated."""
    with connected(arguments, url, arguments.rank) as (setup, engine):
        rounds = []
        for step in range(1 + arguments.steps):
            moved(setup.policy.adapters)
            problems = setup.problems[step * arguments.problems : (step + 1) * arguments.problems]
            rounds.append(rollout(arguments, engine, problems, step, clock))
    rounds = rounds[1:]  # the first one warms up
    shares = {kind: [share(one, kind, arguments.problems) for one in rounds] for kind in ("wall", "cpu")}
    report(
        arguments,
        "a rollout by servers, publishing included: the share of processor seconds in which answers are generated",
        median(shares["cpu"]),
        ratio_of_seconds=median(shares["wall"]),
        server=name_of(arguments),
        all_shares=shares,
        cpu_seconds={name: median(one[name].cpu for one in rounds) for name in ("publish", "sample", "proof")},
        seconds={name: median(one[name].wall for one in rounds) for name in ("publish", "sample", "proof", "http")},
        tokens_a_rollout=mean(rounds, "tokens"),
        load=os.getloadavg()[0],
    )


def rollout(
    arguments: Namespace, engine: ServedEngine, problems: Sequence[Problem], step: int, clock: Clock
) -> dict[str, Spent | int]:
    """One rollout, and what its parts take."""
    server, sampling = engine.members[0].server, Sampling(max_new_tokens=arguments.new_tokens)
    policy, publish = clock.of(engine.publish)
    groups, sample = clock.of(lambda: policy.sample(problems, arguments.group, sampling, Key(0, step)))
    question = {**canary_question(engine.canary), "model": policy.version.name}
    vocabulary = engine.vocabulary
    _, proof = clock.of(lambda: routes.completions(server, question, count=1, vocabulary=vocabulary, seconds=LONGEST))
    empty = [clock.of(lambda: server.check_health(seconds=5.0))[1] for _ in range(EMPTY)]
    http = Spent(median(one.wall for one in empty), sum(one.cpu for one in empty) / EMPTY)
    return {"publish": publish, "sample": sample, "proof": proof, "http": http, "tokens": tokens_of(groups)}


def share(one: dict[str, Spent | int], kind: str, questions: int) -> float:
    publish, sample, proof, http = (getattr(one[name], kind) for name in ("publish", "sample", "proof", "http"))
    return (sample - proof - http * questions) / (publish + sample)


def tokens_of(groups: list[Group]) -> int:
    return sum(one.drawn for group in groups for one in group.completions)


def publishing(arguments: Namespace, url: str, clock: Clock) -> None:
    """The table of what publishing a version takes, by phase and by rank: medians over the versions."""
    points, rows = [], []
    for rank in (rank for rank in RANKS if rank <= arguments.max_rank):
        with connected(arguments, url, rank) as (setup, engine):
            spent = []
            for _ in range(1 + arguments.steps):
                moved(setup.policy.adapters)
                spent.append(published(engine, clock))
        walls, cpus = (
            {phase: 1000 * median(getattr(one[phase], kind) for _, one in spent[1:]) for phase in PHASES}
            for kind in ("wall", "cpu")
        )
        size = spent[-1][0]
        points.append({"rank": rank, "bytes": size, "milliseconds": walls, "cpu_milliseconds": cpus})
        rows.append([str(rank), f"{size / 1e6:.1f}", *(f"{walls[one]:,.0f} ({cpus[one]:,.0f})" for one in PHASES)])
    title = f"milliseconds on the clock (of processors, trainer and server together), {name_of(arguments)}"
    print("\n".join(Table(("rank", "10^6 bytes", *PHASES), rows, title=title).as_text()))
    least, greatest = (sum(points[place]["cpu_milliseconds"].values()) for place in (0, -1))
    report(
        arguments,
        "a version is written, loaded and proved: processor seconds of the least rank / of the greatest",
        least / greatest,
        server=name_of(arguments),
        points=points,
        load=os.getloadavg()[0],
    )


def published(engine: ServedEngine, clock: Clock) -> tuple[int, dict[str, Spent]]:
    """The bytes of the policy's version, and what each of PHASES takes. The server has forgotten it afterwards."""
    server = engine.members[0].server
    version, written = clock.of(lambda: engine.shelf.write(engine.policy))
    _, loaded = clock.of(lambda: routes.load(server, version.name, version.seen, seconds=LONGEST))
    question = {**canary_question(engine.canary), "model": version.name}
    [reply], replied = clock.of(
        lambda: routes.completions(server, question, count=1, vocabulary=engine.vocabulary, seconds=LONGEST)
    )
    _, compared = clock.of(lambda: scored(engine.policy, engine.canary, reply))
    routes.unload(server, version.name, seconds=LONGEST)
    engine.shelf.remove(version.name)
    size = sum(map(len, version.files.values()))
    return size, dict(zip(PHASES, (written, loaded, replied, compared), strict=True))


def processes(arguments: Namespace) -> None:
    """Half of the seconds of one process / those of two, each on a core, for the same steps."""
    rounds = []
    for _ in range(arguments.rounds):
        with TemporaryDirectory() as folder:
            rounds.append([step_seconds(arguments, count, Path(folder) / str(count)) for count in (1, 2)])
    ratios = [alone / 2 / both for alone, both in rounds]
    report(
        arguments,
        "two processes over gloo: half of the seconds of one / theirs",
        median(ratios),
        ratios=ratios,
        seconds_a_step={"one": [one for one, _ in rounds], "two": [both for _, both in rounds]},
        load=os.getloadavg()[0],
    )


def step_seconds(arguments: Namespace, count: int, folder: Path) -> float:
    """The mean of a step by so many processes, the first ones left out."""
    settings = {
        "model.path": arguments.model,
        "rollout.problems": arguments.problems,
        "rollout.group_size": arguments.group,
        "rollout.max_new_tokens": arguments.new_tokens,
        "adapter.rank": arguments.rank,
        "steps": FIRST - 1 + arguments.steps,
        "evaluate.limit": 1,
        "threads": 1,
    }
    words = [f"{name}={value}" for name, value in settings.items()]
    pinned = ["taskset", "-c", ",".join(map(str, range(count)))] if sys.platform == "linux" else []
    command = [*pinned, sys.executable, "-m", "paring", "train", "smollm2-arithmetic", *words, "--out", str(folder)]
    # As torchrun would start them, but in the session of this process.
    shared = os.environ | {"OMP_NUM_THREADS": "1"}
    if count > 1:
        port = str(free_port())
        shared |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
        shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    environments = [shared | ({"RANK": str(one), "LOCAL_RANK": str(one)} if count > 1 else {}) for one in range(count)]
    started = [subprocess.Popen(command, env=one, stdout=subprocess.DEVNULL) for one in environments]
    if any([process.wait() for process in started]):
        sys.exit("a run has failed")
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return mean([json.loads(line) for line in lines][FIRST - 1 :], "seconds")


@contextmanager
def connected(arguments: Namespace, url: str, rank: int) -> Iterator[tuple[Setup, ServedEngine]]:
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        setup = prepare(run_of(with_rank(arguments, rank), url), folder=Path(folder))
        stack.enter_context(setup.at_work())
        assert isinstance(setup.engine, ServedEngine)
        yield setup, setup.engine


def with_rank(arguments: Namespace, rank: int) -> Namespace:
    return Namespace(**vars(arguments) | {"rank": rank})


def moved(adapters: Adapters) -> None:
    """Another version."""
    with torch.no_grad():
        for adapter in adapters.values():
            adapter.B_OR.add_(MOVED * torch.randn_like(adapter.B_OR))


def name_of(arguments: Namespace) -> str:
    return "the reference server" if arguments.server is None else "given"


if __name__ == "__main__":
    main()
