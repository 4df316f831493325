"""Claim: `paring train quickstart` gets to 95 % in less time than it did, on the clock from the command.

`--then FOLDER` is a checkout of the commit to compare with: both sides train with their own code and embedded model, in
turn, in the Python that runs this script. Reached is the last of five steps in a row whose sampled answers are right in
95 % of the cases on average."""

import json
import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from measuring import HERE, in_turn, median_ratio, options, report

SHARE, IN_A_ROW = 0.95, 5
LOOK_EVERY = 0.02


def seconds_to(checkout: Path, seed: int) -> float:
    """From the start of the command until the step has been journalled."""
    with TemporaryDirectory() as folder:
        command = [*entry(checkout), "train", "quickstart", f"seed={seed}", "--out", f"{folder}/run"]
        start = time.perf_counter()
        environment = {**os.environ, "PYTHONPATH": str(checkout.resolve() / "src")}
        silent = subprocess.DEVNULL
        # Not here: kernels.py would stand for the package of that name.
        with subprocess.Popen(command, cwd=folder, env=environment, stdout=silent, stderr=silent) as run:
            while not is_reached(Path(folder, "run", "metrics.jsonl")):
                if run.poll() is not None:
                    raise SystemExit(f"{checkout}: seed {seed} ended with {run.returncode}, below {SHARE:.0%}")
                time.sleep(LOOK_EVERY)
            spent = time.perf_counter() - start
            run.kill()
    return spent


def entry(checkout: Path) -> list[str]:
    """The command that the script `paring` of this checkout stands for."""
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, function = project["scripts"]["paring"].partition(":")
    return [sys.executable, "-c", f"from {module} import {function} as main; main()"]


def is_reached(journal: Path) -> bool:
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True) if journal.is_file() else []
    last = [json.loads(line)["accuracy"] for line in lines[-IN_A_ROW - 1 :] if line.endswith("\n")][-IN_A_ROW:]
    return len(last) == IN_A_ROW and sum(last) >= SHARE * IN_A_ROW


def main() -> None:
    parser = options(__doc__, at_least=1.5, pairs=3)
    parser.add_argument("--then", type=Path, required=True, help="a checkout of the commit to compare with")
    arguments = parser.parse_args()
    seeds = iter(range(arguments.pairs))

    def turn() -> tuple[float, float]:
        seed = next(seeds)
        return seconds_to(arguments.then, seed), seconds_to(HERE.parent, seed)

    [turns] = in_turn(arguments.pairs, turn)
    then, now = zip(*turns, strict=True)
    at = ["git", "-C", str(arguments.then), "rev-parse", "--short", "HEAD"]
    report(
        arguments,
        "the quickstart, seconds from the command until 95 % of the sampled answers are right: then / now",
        median_ratio(then, now),
        seconds={"then": median(then), "now": median(now)},
        by_seed={"then": then, "now": now},
        commit_then=subprocess.run(at, capture_output=True, text=True, check=True).stdout.strip(),
    )


if __name__ == "__main__":
    main()
