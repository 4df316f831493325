"""What every script here shares: its options, sides that take turns, and the one line that says what was measured."""

import json
import platform
import subprocess
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
PACKAGES = ("torch", "transformers", "peft", "trl", "paring")


def _model(path: str) -> str:
    if not (path.startswith("embedded") or Path(path).is_dir()):
        raise ArgumentTypeError(f"there is no folder {path}: run `make smollm2` first, or give `embedded`")
    return path


SHARED: dict[str, dict[str, Any]] = {
    "model": {
        "type": _model,
        "default": "models/SmolLM2-135M-Instruct",
        "help": "a folder (make smollm2) or `embedded`",
    },
    "data": {"help": 'JSONL of "question" and "answer" as in GSM8K; without it, stand-ins of the same length'},
}


def options(description: str | None, *shared: str, at_least: float, **sizes: int | float) -> ArgumentParser:
    """A parser with the options named in SHARED, one for each size with its default, --at-least and --out."""
    parser = ArgumentParser(description=description)
    for name in shared:
        parser.add_argument(f"--{name}", **SHARED[name])
    for name, size in sizes.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(size), default=size, help=f"default {size}")
    parser.add_argument("--at-least", type=float, default=at_least, help=f"bound of the ratio, default {at_least}")
    parser.add_argument("--out", type=Path, help="append the line to this file as well")
    return parser


def in_turn(rounds: int, *sides: Callable[[], Any]) -> list[tuple[Any, ...]]:
    """Each side once a round, A B A B: what each gave in all rounds. Load of the machine then falls on all alike."""
    return list(zip(*[[side() for side in sides] for _ in range(rounds)], strict=True))


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def median_ratio(numerators: tuple[float, ...], denominators: tuple[float, ...]) -> float:
    """The median over the rounds: both numbers of a ratio come from the same round."""
    return median(one / other for one, other in zip(numerators, denominators, strict=True))


def report(arguments: Namespace, claim: str, ratio: float | None, **measured: Any) -> None:
    """Print the line, and append it to --out."""
    given = {name: value for name, value in vars(arguments).items() if name not in ("at_least", "out", "data")}
    shapes = {name: Path(value).name if isinstance(value, str | Path) else value for name, value in given.items()}
    line = {"claim": claim, "ratio": ratio, "at_least": arguments.at_least, **measured, "shapes": shapes, **machine()}
    text = json.dumps(_rounded(line))
    print(text)
    if arguments.out:
        with arguments.out.open("a", encoding="utf-8") as file:
            file.write(text + "\n")


def machine() -> dict[str, Any]:
    """What the numbers depend on beside the code, and the commit of the code."""
    # Late: on Linux a child's peak memory begins at what its parent holds, so who starts the sides must stay small.
    import torch

    from paring.maths.compiled import best_way
    from paring.runtime.machine import cpu_kind

    found = {distribution.name.lower(): distribution.version for distribution in distributions()}
    versions = {name: found[name] for name in PACKAGES if name in found}
    return {
        "versions": {"python": platform.python_version(), **versions},
        "threads": torch.get_num_threads(),
        "cpu": cpu_kind(),
        "fused": best_way(),
        "commit": _commit(),
    }


def _commit() -> str | None:
    """None outside of a checkout."""
    command = ["git", "-C", str(HERE), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _rounded(value: Any) -> Any:
    """Floats to four significant digits, however deep."""
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(inner) for inner in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value
