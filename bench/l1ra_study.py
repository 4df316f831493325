"""Study: what L1RA is worth in supervised training, the learning rate of each arm tuned on validation rows.

python bench/l1ra_study.py --data gsm8k --runs runs --split validation --seeds 100 --lrs 5e-4,1e-3,2e-3 --out FILE
python bench/l1ra_study.py --data gsm8k --runs runs --arms 'lora;l1ra;at:l1ra;shuffled:l1ra' --seeds 0,1,2 --lrs 1e-3

Every run is a folder in --runs; a finished one is never repeated. Prints one JSON line a run."""

import json
import time
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

from l1ra_arms import ARMS, Shape, adalora, run_of, short_rows
from measuring import machine
from paring import train
from paring.training.config import SftRun, as_plain


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="models/SmolLM2-135M-Instruct")
    parser.add_argument("--data", type=Path, required=True, help="a folder with GSM8K's train.jsonl and test.jsonl")
    parser.add_argument("--runs", type=Path, required=True, help="the folder of the runs")
    parser.add_argument("--split", choices=("validation", "test"), default="test", help="validation: to tune by")
    parser.add_argument(
        "--arms", default=";".join(ARMS), help="separated by ;; at:ARM and shuffled:ARM: LoRA at its ranks"
    )
    parser.add_argument("--lrs", default="5e-4,1e-3,2e-3")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--set", default="{}", help="JSON of further adapter settings")
    for name, size in {"steps": 40, "batch": 4, "longest": 128, "held-out": 40, "rank": 16, "events": 8}.items():
        parser.add_argument(f"--{name}", type=int, default=size)
    parser.add_argument("--out", type=Path, help="append the lines to this file")
    given = parser.parse_args()
    rows = given.runs / f"rows-{given.longest}"
    if not rows.exists():
        short_rows(given.data, given.model, given.longest, given.held_out, rows)
    shape = Shape(
        given.model,
        str(rows / given.split),
        given.steps,
        given.batch,
        given.longest,
        given.held_out,
        given.rank,
        given.events,
    )
    for seed in map(int, given.seeds.split(",")):
        for lr in map(float, given.lrs.split(",")):
            for arm in given.arms.split(";"):
                line = json.dumps(one_run(shape, arm, lr, seed, json.loads(given.set), given.runs))
                print(line, flush=True)
                if given.out:
                    with given.out.open("a", encoding="utf-8") as file:
                        file.write(line + "\n")


def one_run(shape: Shape, arm: str, lr: float, seed: int, more: dict[str, Any], runs: Path) -> dict[str, Any]:
    """The line of a run; read from its folder where it has ended before."""
    changes = "".join(f"-{name}{value}" for name, value in more.items())
    end = f"r{shape.rank}-lr{lr:g}-s{seed}-{Path(shape.data).name}"
    folder = runs / f"{arm.replace(':', '-')}{changes}-{end}"
    ended = runs / f"{folder.name}.json"
    if not ended.exists():
        name, _, source = arm.partition(":")
        adapter = ranks_of_another(name, runs / f"{source}-{end}.json", seed) if source else ARMS[name]
        run = run_of(shape, adapter | more, lr=lr, seed=seed)
        start = time.perf_counter()
        line = {"arm": arm, "lr": lr, "seed": seed, "held_out": Path(shape.data).name, **found(run, arm, folder)}
        line |= {"minutes": (time.perf_counter() - start) / 60, "adapter": as_plain(run)["adapter"]}
        line |= {"shape": {name: value for name, value in asdict(shape).items() if name not in ("model", "data")}}
        runs.mkdir(parents=True, exist_ok=True)
        ended.write_text(json.dumps(line | machine()))
    line = json.loads(ended.read_text())
    return line | {"training_mb": training_mb(line, folder / "ranks.jsonl")}


def found(run: SftRun, arm: str, folder: Path) -> dict[str, Any]:
    """Losses, parameters and ranks after a run."""
    result: dict[str, Any]
    if arm == "adalora":
        result = adalora(run)
    else:
        values = train(run, folder, resume=(folder / "run.toml").exists()).values
        assert values is not None, folder
        result = {"loss": values.after["loss"], "before": values.before["loss"]}
        result |= {"parameters": values.adapter.parameters, "ranks": values.adapter.ranks}
    by_type: dict[str, int] = {}
    for path, rank in result["ranks"].items():
        last = path.rpartition(".")[2]
        by_type[last] = by_type.get(last, 0) + rank
    return result | {"ranks": by_type, "modules": result["ranks"]}


def ranks_of_another(name: str, ended: Path, seed: int) -> dict[str, Any]:
    """LoRA anew at the ranks with which another run has ended, or `shuffled` among the modules of a type, which are of
    the same size."""
    ranks: dict[str, int] = json.loads(ended.read_text())["modules"]
    if name == "shuffled":
        draw = Random(seed)
        for kind in sorted({path.rpartition(".")[2] for path in ranks}):
            alike = [path for path in ranks if path.endswith(f".{kind}")]
            ranks |= dict(zip(alike, draw.sample([ranks[path] for path in alike], len(alike)), strict=True))
    most = float(max(ranks.values()))
    return {"kind": "lora", "ranks": ranks, "rank": int(most), "alpha": most}


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
