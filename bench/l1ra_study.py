"""Study: what L1RA is worth in supervised training, the learning rate tuned for each arm.

Every run is a folder in --runs; a finished one is never repeated. Prints one JSON line a run."""

import json
import time
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from l1ra_arms import ARMS, Shape, adalora, run_of, short_rows
from measuring import machine
from paring import train
from paring.training.config import as_plain


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="models/SmolLM2-135M-Instruct")
    parser.add_argument("--data", type=Path, required=True, help="a folder with GSM8K's train.jsonl and test.jsonl")
    parser.add_argument("--runs", type=Path, required=True, help="the folder of the runs")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--lrs", default="5e-4,1e-3,2e-3")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--set", default="{}", help="JSON of further adapter settings")
    for name, size in {"steps": 40, "batch": 4, "longest": 128, "held-out": 40, "rank": 16, "events": 8}.items():
        parser.add_argument(f"--{name}", type=int, default=size)
    parser.add_argument("--out", type=Path, help="append the lines to this file")
    given = parser.parse_args()
    data = given.runs / f"rows-{given.longest}"
    if not (data / "test.jsonl").exists():
        short_rows(given.data, given.model, given.longest, data)
    shape = Shape(
        given.model, str(data), given.steps, given.batch, given.longest, given.held_out, given.rank, given.events
    )
    for seed in map(int, given.seeds.split(",")):
        for lr in map(float, given.lrs.split(",")):
            for arm in given.arms.split(","):
                line = json.dumps(one_run(shape, arm, lr, seed, json.loads(given.set), given.runs))
                print(line, flush=True)
                if given.out:
                    with given.out.open("a", encoding="utf-8") as file:
                        file.write(line + "\n")


def one_run(shape: Shape, arm: str, lr: float, seed: int, more: dict[str, Any], runs: Path) -> dict[str, Any]:
    """The line of a run; read from its folder where it has ended before."""
    changes = "".join(f"-{name}{value}" for name, value in more.items())
    folder = runs / f"{arm}{changes}-r{shape.rank}-lr{lr:g}-s{seed}"
    ended = runs / f"{folder.name}.json"
    if ended.exists():
        line = json.loads(ended.read_text())
        return line | {"training_mb": training_mb(line, folder / "ranks.jsonl")}
    run = run_of(shape, ARMS[arm] | more, lr=lr, seed=seed)
    start = time.perf_counter()
    if arm == "adalora":
        found = adalora(run)
    else:
        values = train(run, folder, resume=(folder / "run.toml").exists()).values
        found = {"loss": values["after"]["loss"], "before": values["before"]["loss"]} | {
            name: values["adapter"][name] for name in ("parameters", "ranks")
        }
    by_type: dict[str, int] = {}
    for path, rank in found.pop("ranks").items():
        last = path.rpartition(".")[2]
        by_type[last] = by_type.get(last, 0) + rank
    shapes = {name: value for name, value in asdict(shape).items() if name not in ("model", "data")}
    line = {
        "arm": arm,
        "lr": lr,
        "seed": seed,
        **found,
        "ranks": by_type,
        "minutes": (time.perf_counter() - start) / 60,
    }
    line |= {"adapter": as_plain(run)["adapter"], "shape": shapes, **machine()}
    runs.mkdir(parents=True, exist_ok=True)
    ended.write_text(json.dumps(line))
    return line | {"training_mb": training_mb(line, folder / "ranks.jsonl")}


def training_mb(line: dict[str, Any], events: Path) -> float:
    """The most that adapters, gradients and Adam's two moments held in a run, in fp32 (bench/l1ra_step.py measures that
    they are all). Gates count while they train."""
    most = line["parameters"]  # of AdaLoRA too: its masked ranks stay in memory
    if events.exists():
        rows = [json.loads(text) for text in events.read_text(encoding="utf-8").splitlines()]
        start = dict.fromkeys(rows[0]["ranks"], line["adapter"]["rank"])
        held = [start, *(row["ranks"] for row in rows)]
        most = max(sum(rank * (rows[0]["cost"][path] + 1) for path, rank in ranks.items()) for ranks in held)
    return 4 * 4 * most / 1e6


if __name__ == "__main__":
    main()
