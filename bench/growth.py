"""Claim: time grows no faster than the work: with rows, group size, lengths and rank. Writes all points as JSON.

Each point is measured once, in a process of its own, so that its peak memory is its own."""

import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from measuring import HERE, options, report

RANK = 16
TRAINING = {"prompts": 2, "group": 4, "prompt": 110, "response": 64}
SERIES = {
    "rollout": {"rows": (1, 4, 16, 64, 128, 256)},
    "training": {
        "group": (2, 4, 8, 16),
        "prompt": (32, 128, 512, 1024),
        "response": (16, 64, 256, 512),
        "rank": (4, 16, 64, 128),
    },
}


def measured(arguments: Namespace, kind: str, axis: str, size: int) -> dict[str, Any]:
    """One point: all sizes as usual but the one of the axis."""
    rollout = {"data": arguments.data, "group": 8, "new_tokens": arguments.new_tokens}
    sizes = {"rank": RANK, **(rollout if kind == "rollout" else TRAINING), axis: size}
    point = {"kind": kind, "model": arguments.model, "rank": sizes.pop("rank"), "sizes": sizes}
    command = [sys.executable, str(HERE / "growth_point.py"), json.dumps(point)]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return {"size": size, **json.loads(answer.splitlines()[-1])}


def growth(points: list[dict[str, Any]]) -> float:
    """How much more of the size / how much more time, from the first point to the last."""
    first, last = points[0], points[-1]
    return (last["size"] / first["size"]) / (last["seconds"] / first["seconds"])


def main() -> None:
    parser = options(__doc__, "model", "data", at_least=1.0, new_tokens=32, most=1024)
    parser.add_argument("--json", type=Path, default=HERE / "growth.json", help="where the points go")
    arguments = parser.parse_args()
    series = {
        f"{kind}, {axis}": [measured(arguments, kind, axis, size) for size in sizes if size <= arguments.most]
        for kind, axes in SERIES.items()
        for axis, sizes in axes.items()
        if sizes[1] <= arguments.most
    }
    arguments.json.write_text(json.dumps(series, indent=1) + "\n", encoding="utf-8")
    ratios = {name: growth(points) for name, points in series.items()}
    report(
        arguments,
        "growth of size / growth of time from the first point to the last, the least of all series",
        min(ratios.values()),
        ratios=ratios,
        seconds={name: [point["seconds"] for point in points] for name, points in series.items()},
        peak_gb={name: [point["peak_gb"] for point in points] for name, points in series.items()},
    )


if __name__ == "__main__":
    main()
