"""A study whose processes are killed at random times, parent and runs, loses no run and repeats none.

Its runs are tiny. After each kill the study is resumed, until all have their results; then every run is compared with
the same run made here without any kill."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from measuring import options, report
from paring import load_run, train
from paring.runtime.journal import read_rows
from paring.runtime.screen import Screen

RECIPE = """
description = "a run of a moment"
steps = {steps}
threads = 1
task.data = "{place}/rows.jsonl"
task.reward = "{place}/own.py:reward"
rollout.problems = 2
rollout.group_size = 2
rollout.max_new_tokens = 6
rollout.temperature = 1.0
optimiser.lr = 1e-3
optimiser.warmup = 0
evaluate.limit = 2
save.every = 4
"""
REWARD = """
from zlib import crc32
def reward(completions, **columns): return [crc32(text.encode()) % 1000 / 1000 for text in completions]
"""
SAME = ("adapter/adapter_model.safetensors", "samples.jsonl", "items.jsonl")
BETWEEN = (5.0, 45.0)
"""Seconds from one kill to the next, drawn evenly."""
OF_PARENT = 0.3
"""The share of kills that are of the parent."""


def main() -> None:
    parser = options(__doc__ or "", at_least=1, runs=100, steps=24, jobs=2, seed=0)
    arguments = parser.parse_args()
    draws = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        place, start = Path(name), time.monotonic()
        study = written(place, arguments.runs, arguments.steps)
        kills = {"parent": 0, "run": 0}
        sittings = 0
        while True:
            sittings += 1
            if sat(study, place / "study", arguments.jobs, draws, kills) == 0:
                break
        seconds = time.monotonic() - start
        found = compared(place, arguments.runs, arguments.steps)
    ratio = found["equal"] / arguments.runs
    report(arguments, "none lost, none repeated", ratio, kills=kills, sittings=sittings, seconds=seconds, **found)


def written(place: Path, runs: int, steps: int) -> Path:
    """The files of the study; its own."""
    (place / "rows.jsonl").write_text("".join(json.dumps({"prompt": f"{n}+1="}) + "\n" for n in range(10, 90)))
    (place / "own.py").write_text(REWARD)
    (place / "tiny.toml").write_text(RECIPE.format(steps=steps, place=place))
    study = place / "study.toml"
    study.write_text(f'recipe = "{place}/tiny.toml"\nseeds = {list(range(runs))}\n[arms.rgra]\n')
    return study


def sat(study: Path, out: Path, jobs: int, draws: random.Random, kills: dict[str, int]) -> int:
    """Begin the study, or go on with it, and kill a process now and then. Its exit code; negative: killed."""
    begun = (out / "study.toml").is_file()
    command = ["study", str(out), "--resume"] if begun else ["study", str(study), "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-m", "paring", *command, "--jobs", str(jobs)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None:
        until = time.monotonic() + draws.uniform(*BETWEEN)
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        if process.poll() is not None:
            break
        if draws.random() < OF_PARENT:
            process.kill()
            kills["parent"] += 1
        elif children := children_of(process.pid):
            with suppress(ProcessLookupError):
                os.kill(draws.choice(children), signal.SIGKILL)
                kills["run"] += 1
    return process.wait()


def children_of(parent: int) -> list[int]:
    """The processes that this one has started, by /proc."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            pid, rest = status.read_text().split(" (", 1)
            if int(rest.rpartition(") ")[2].split()[1]) == parent:
                found.append(int(pid))
    return found


def compared(place: Path, runs: int, steps: int) -> dict[str, int]:
    """How many runs have a result, each step once, and the bytes of the same run made here; how often runs were begun
    or gone on with."""
    found = {"results": 0, "each_step_once": 0, "equal": 0, "starts": 0}
    for seed in range(runs):
        run, here = place / f"study/runs/rgra/seed-{seed}", place / f"here/seed-{seed}"
        if not (run / "result.json").is_file():
            continue
        train(load_run(run / "run.toml"), here, screen=Screen(open(os.devnull, "w", encoding="utf-8")))
        found["results"] += 1
        found["each_step_once"] += [row["step"] for row in read_rows(run / "metrics.jsonl")] == list(
            range(1, steps + 1)
        )
        found["equal"] += all((run / name).read_bytes() == (here / name).read_bytes() for name in SAME)
        found["starts"] += (run / "starts.jsonl").read_bytes().count(b"\n")
    return found


if __name__ == "__main__":
    main()
