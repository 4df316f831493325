"""Run and study folders, written as `paring train` and `paring study` write them, with made-up numbers."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import tomli_w

from paring.maths.estimates import wilson_interval

PROBLEMS = 40


def recipe(seed: int, steps: int, changes: dict[str, Any]) -> dict[str, Any]:
    plain = {
        "method": "rl",
        "description": "made up",
        "seed": seed,
        "steps": steps,
        "model": {"path": "embedded", "dtype": "float32"},
        "task": {"name": "arithmetic"},
        "rollout": {"problems": 4, "group_size": 8, "updates": 1},
        "objective": {"kind": "rgra", "kl_coef": 0.0},
        "adapter": {"kind": "lora", "rank": 8},
        "optimiser": {"lr": 0.001, "betas": [0.9, 0.99]},
    }
    return plain | {key: plain[key] | value if isinstance(value, dict) else value for key, value in changes.items()}


def metrics(step: int, steps: int, accuracy: float, noise: Random, collapse: int | None) -> dict[str, Any]:
    """A course that rises from 0.3 to `accuracy`, or falls to nothing from the step of its collapse on."""
    share = step / steps
    fallen = collapse is not None and step >= collapse
    row = {
        "step": step,
        "reward": 0.02 if fallen else 0.3 + (accuracy - 0.3) * (1 - (1 - share) ** 3) + noise.gauss(0, 0.02),
        "length": 1.0 if fallen else 8 + 12 * share + noise.gauss(0, 0.4),
        "kl": 0.002 * step * (40 if fallen else 1),
        "entropy": 0.4 * (1 - share) + 0.02,
        "clip_fraction": 0.0,
        "loss": -0.1,
        "learning_rate": 0.001,
    }
    if step == collapse:
        row["collapse"] = {"kind": "length", "share": 0.2, "since": step - 5, "words": "answers became empty"}
    return row


def evaluation(correct: int, problems: int) -> dict[str, Any]:
    return {
        "task": "arithmetic",
        "split": "test",
        "problems": problems,
        "samples": 1,
        "temperature": 0.0,
        "correct": correct,
        "accuracy": correct / problems,
        "interval": list(wilson_interval(correct, problems)),
        "traits": {},
        "length": 12.5,
        "truncated": 0.0,
        "seconds": 0.2,
    }


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Path]:
    """`make_run(folder, seed=, steps=, right=, ...)`: a run that ends with the first `right` of its `problems` right.

    `done` are the steps that it made: fewer than `steps` leave it without a result. `text` is every text of a model."""

    def make(
        folder: Path,
        *,
        seed: int = 0,
        steps: int = 20,
        right: int = 30,
        problems: int = PROBLEMS,
        done: int | None = None,
        items: bool = True,
        collapse: int | None = None,
        text: str = "1+1=2<answer>2</answer>",
        **changes: dict[str, Any],
    ) -> Path:
        folder.mkdir(parents=True)
        (folder / "run.toml").write_text(as_toml(tomli_w.dumps(recipe(seed, steps, changes))))
        noise = Random(f"{folder.name} {seed}")
        made = range(1, (steps if done is None else done) + 1)
        write_lines(
            folder / "metrics.jsonl", [metrics(step, steps, right / problems, noise, collapse) for step in made]
        )
        write_lines(folder / "samples.jsonl", [sample(step, text) for step in (*made[:1], *made[-1:])])
        if done is None:
            (folder / "result.json").write_text(json.dumps(result(seed, steps, right, problems, text, collapse)))
            if items:
                write_lines(
                    folder / "items.jsonl", [{"problem": f"p{n}", "correct": n < right} for n in range(problems)]
                )
        return folder

    return make


def as_toml(text: str) -> str:
    """TOML, unlike JSON, cannot hold half a character."""
    return text.encode(errors="replace").decode()


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def sample(step: int, text: str) -> dict[str, Any]:
    prompt = [{"role": "user", "content": text}]
    return {"step": step, "problem": "p0", "prompt": prompt, "gold": text, "completion": text, "correct": True}


def result(seed: int, steps: int, right: int, problems: int, text: str, collapse: int | None) -> dict[str, Any]:
    example = {"question": text, "gold": text, "answer": text, "correct": False, "after": text, "correct_after": True}
    return {
        "task": "arithmetic",
        "seed": seed,
        "steps": steps,
        "training_seconds": 20.0,
        "threads": 1,
        "versions": {"python": "3.11.7", "torch": "2.13.0", "paring": "0.1.0"},
        "before": evaluation(12, problems),
        "after": evaluation(right, problems),
        "collapse": None if collapse is None else {"kind": "length", "words": "answers became empty"},
        "examples": [{"problem": f"p{number}"} | example for number in range(6)],
    }


@pytest.fixture(scope="session")
def make_study(make_run) -> Callable[..., Path]:
    """`make_study(folder, {"rgra": [30, 31, 32], ...})`: right answers by arm and seed, at each setting of the axis."""

    def make(folder: Path, arms: dict[str, list[int]], *, updates: tuple[int, ...] = (1,), **changes: Any) -> Path:
        runs = []
        for arm, rights in arms.items():
            for value in updates:
                for seed, right in enumerate(rights):
                    name = f"runs/arm-{list(arms).index(arm)}/updates-{value}/seed-{seed}"
                    objective = {"kind": arm}
                    make_run(
                        folder / name,
                        seed=seed,
                        right=right,
                        objective=objective,
                        rollout={"updates": value},
                        **changes,
                    )
                    setting = {"rollout.updates": value} if len(updates) > 1 else {}
                    runs.append({"folder": name, "arm": arm, "setting": setting, "seed": seed, "stage": "final"})
        study = {
            "name": "made up",
            "question": "Which arm is best?",
            "arms": list(arms),
            "axes": {"rollout.updates": list(updates)},
            "seeds": list(range(len(next(iter(arms.values()))))),
            "tune": {"key": "optimiser.lr", "values": [0.001, 0.01], "seeds": [0]},
            "runs": runs,
            "chosen": [
                {"arm": arm, "setting": {}, "value": 0.001, "scores": {"0.001": 0.9, "0.01": 0.5}} for arm in arms
            ],
        }
        (folder / "study.json").write_text(json.dumps(study))
        return folder

    return make
