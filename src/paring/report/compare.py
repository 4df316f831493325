"""Two runs beside each other: what their recipes and results differ in, and whether chance would explain it."""

import json
import tomllib
from pathlib import Path
from typing import Any

from paring.maths.estimates import mcnemar_exact, paired_bootstrap
from paring.runtime.journal import read_rows
from paring.settings.recipes import changes

LAST_STEPS = 10
"""Final metrics are means over so many last steps: one step is noise."""
FINAL = ("reward", "accuracy", "length", "loss", "kl", "entropy", "clip_fraction", "grad_norm", "groups_without_signal")


def compared(first: Path, second: Path) -> dict[str, Any]:
    """What `paring compare --json` prints. Raises ValueError where a folder holds no run, or one without result."""
    folders = {"first": first, "second": second}
    recipes = {name: _toml(folder) for name, folder in folders.items()}
    results = {name: _result(folder) for name, folder in folders.items()}
    return {
        **{name: str(folder) for name, folder in folders.items()},
        "recipes": changes(recipes["first"], recipes["second"]),
        "after": {name: result["after"] for name, result in results.items()},
        "test": _test(first, second),
        "final": {name: _final(folder) for name, folder in folders.items()},
        "collapse": {name: result.get("collapse") for name, result in results.items()},
        "parameters": {name: result["adapter"]["parameters"] for name, result in results.items()},
        "training_seconds": {name: result["training_seconds"] for name, result in results.items()},
        "peak_memory_gb": {name: result["peak_memory_gb"] for name, result in results.items()},
    }


def as_text(found: dict[str, Any]) -> str:
    """The same for people."""
    recipes = found["recipes"] or ["none: the recipes are the same"]
    lines = [f"first   {found['first']}", f"second  {found['second']}", "", "settings, first -> second:"]
    lines += [f"  {line}" for line in recipes]
    lines += ["", "after training:", *_table(found), "", *_verdict(found["test"])]
    lines += [f"{name}: {event['words']}" for name, event in found["collapse"].items() if event]
    return "\n".join(lines)


def _test(first: Path, second: Path) -> dict[str, Any]:
    """The paired test over problems that both answered once; else why there is none."""
    rows = [_items(folder) for folder in (first, second)]
    if None in rows:
        return {"none": "a run has no items.jsonl, as supervised runs have none, so its answers cannot be paired"}
    if [row["problem"] for row in rows[0]] != [row["problem"] for row in rows[1]]:
        return {"none": "the runs were measured on different problems, so their answers cannot be paired"}
    first_P, second_P = ([row["correct"] for row in answers] for answers in rows)
    exact = mcnemar_exact(first_P, second_P)
    resampled = paired_bootstrap(second_P, first_P, seed=0)
    return {
        "problems": len(first_P),
        "difference": resampled.mean,
        "interval": [resampled.low, resampled.high],
        "first_only": exact.first_only,
        "second_only": exact.second_only,
        "p_mcnemar": exact.p,
        "p_bootstrap": resampled.p,
    }


def _verdict(test: dict[str, Any]) -> list[str]:
    if "none" in test:
        return [f"no paired test: {test['none']}"]
    low, high = test["interval"]
    return [
        f"accuracy, second - first: {100 * test['difference']:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}] over "
        f"{test['problems']} problems (bootstrap p = {test['p_bootstrap']:.2g})",
        f"only the first has {test['first_only']} right, only the second {test['second_only']} "
        f"(McNemar, exact, p = {test['p_mcnemar']:.2g})",
        "this compares these two runs, not their recipes: for those, repeat both with several seeds (paring study)",
    ]


def _table(found: dict[str, Any]) -> list[str]:
    sides = ("first", "second")
    rows = [("", *sides)]
    after = [found["after"][side] for side in sides]
    rows += [(name, *(_evaluated(one, name) for one in after)) for name in ("accuracy", "loss") if name in after[0]]
    for name in dict.fromkeys(key for side in sides for key in found["final"][side]):
        rows.append((f"{name}, last steps", *(_number(found["final"][side].get(name)) for side in sides)))
    for name in ("parameters", "training_seconds", "peak_memory_gb"):
        rows.append((name.replace("_", " "), *(_number(found[name][side]) for side in sides)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _evaluated(evaluation: dict[str, Any], name: str) -> str:
    if name not in evaluation:
        return "-"
    if name == "loss":
        return f"{evaluation['loss']:.4f}"
    low, high = evaluation["interval"]
    return f"{100 * evaluation['accuracy']:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _final(folder: Path) -> dict[str, float]:
    """Means over the last steps, of the metrics that were finite there."""
    rows = list(read_rows(folder / "metrics.jsonl"))[-LAST_STEPS:]
    values = {name: [row[name] for row in rows if row.get(name) is not None] for name in FINAL}
    return {name: sum(found) / len(found) for name, found in values.items() if found}


def _items(folder: Path) -> list[dict[str, Any]] | None:
    path = folder / "items.jsonl"
    if not path.is_file():
        return None
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _toml(folder: Path) -> dict[str, Any]:
    path = folder / "run.toml"
    if not path.is_file():
        raise ValueError(f"{folder} holds no run: there is no {path.name} in it")
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _result(folder: Path) -> dict[str, Any]:
    path = folder / "result.json"
    if not path.is_file():
        raise ValueError(f"{folder} has no result yet: go on with it by  paring train --resume {folder}")
    return json.loads(path.read_text(encoding="utf-8"))
