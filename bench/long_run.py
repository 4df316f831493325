"""A long run holds what it held after its warm-up: memory, descriptors, threads, and bytes of record for each step.

The run is a process of its own, which is looked at from outside in /proc. Its steps are those of the quickstart, made
small by the sizes below. `--kill-at` names a step after which it is killed and resumed."""

import signal
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from measuring import options, report

BOUND = 0.01
SECONDS_BETWEEN_LOOKS = 0.2


@dataclass(frozen=True)
class Look:
    """A process after a step: kilobytes in main memory, open descriptors, threads; bytes of its record."""

    step: int
    resident_kb: int
    descriptors: int
    threads: int
    metrics_bytes: int
    samples_bytes: int


class LookedAt:
    """A run in its folder, looked at while its process works."""

    def __init__(self, folder: Path):
        self.metrics, self.samples = folder / "metrics.jsonl", folder / "samples.jsonl"
        self.read, self.steps = 0, 0
        self.looks: list[Look] = []

    def look(self, process: int) -> None:
        """Add a look. A process that has just ended gives none."""
        try:
            status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
            held = dict(line.split(":\t", 1) for line in status.splitlines())
            resident, threads = int(held["VmRSS"].split()[0]), int(held["Threads"])
            descriptors = len(list(Path(f"/proc/{process}/fd").iterdir()))
            with self.metrics.open("rb") as file:
                file.seek(self.read)
                new = file.read()
        except (OSError, KeyError):
            return
        self.read, self.steps = self.read + len(new), self.steps + new.count(b"\n")
        self.looks.append(Look(self.steps, resident, descriptors, threads, self.read, self.samples.stat().st_size))


def main() -> None:
    parser = options(__doc__ or "", at_least=1, steps=10_000, problems=2, group=2, new_tokens=8, kill_at=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        looked = LookedAt(folder)
        started = time.monotonic()
        train = [sys.executable, "-m", "paring", "train"]
        code = watched([*train, *recipe(arguments), "--out", str(folder)], looked, arguments.kill_at)
        if code == -signal.SIGKILL:
            looked = LookedAt(folder)
            code = watched([*train, "--resume", str(folder)], looked, 0)
        if code:
            sys.exit(f"the run ended with {code}")
        seconds = time.monotonic() - started
    growth = growths(looked.looks, arguments.steps)
    last = looked.looks[-1]
    held = {"resident_mb": last.resident_kb / 1000, "descriptors": last.descriptors, "threads": last.threads}
    record = {"metrics_bytes": last.metrics_bytes, "samples_bytes": last.samples_bytes}
    ratio = (1 + BOUND) / (1 + max(growth.values()))
    report(arguments, "a long run does not grow", ratio, seconds=seconds, growth=growth, held=held | record)


def recipe(arguments: Namespace) -> list[str]:
    sizes = {
        "steps": arguments.steps,
        "threads": 1,
        "rollout.problems": arguments.problems,
        "rollout.group_size": arguments.group,
        "rollout.max_new_tokens": arguments.new_tokens,
        "evaluate.limit": 2,
        "evaluate.every": 0,
    }
    return ["quickstart", *(f"{name}={value}" for name, value in sizes.items())]


def watched(command: list[str], looked: LookedAt, kill_at: int) -> int:
    """The exit code of a command that is looked at until it ends; it is killed once step `kill_at` is on record."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        time.sleep(SECONDS_BETWEEN_LOOKS)
        looked.look(process.pid)
        if kill_at and looked.steps >= kill_at:
            process.kill()
    return process.returncode


def growths(looks: list[Look], steps: int) -> dict[str, float]:
    """By how much each number has grown from the second tenth of the steps, which is after the warm-up, to the last:
    medians of what is held, means of the bytes that a step adds."""
    early = [look for look in looks if steps / 10 <= look.step < steps / 5]
    late = [look for look in looks if steps * 9 / 10 <= look.step < steps]
    held = {
        name: median(getattr(look, name) for look in late) / median(getattr(look, name) for look in early) - 1
        for name in ("resident_kb", "descriptors", "threads")
    }
    added = {
        f"{name}_a_step": _a_step(late, name) / _a_step(early, name) - 1 for name in ("metrics_bytes", "samples_bytes")
    }
    return held | added


def _a_step(looks: list[Look], name: str) -> float:
    return (getattr(looks[-1], name) - getattr(looks[0], name)) / (looks[-1].step - looks[0].step)


if __name__ == "__main__":
    main()
