"""bench/cost_of_accuracy.py: costs until a share of the answers is right, of a journal by hand."""

import importlib
import json
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
RUN = "[rollout]\nproblems = 2\ngroup_size = 4\n"


@pytest.fixture
def costs(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("cost_of_accuracy")


@pytest.fixture
def study(tmp_path):
    """Two arms of two seeds: the first is right in 4 of 10 from its start and in all from step 5 or 6 on, the second
    never."""
    runs = []
    for arm, seed, sure in (("rgra", 0, 5), ("rgra", 1, 6), ("raft", 0, 99), ("raft", 1, 99)):
        folder = tmp_path / f"runs/{arm}/seed-{seed}"
        folder.mkdir(parents=True)
        (folder / "run.toml").write_text(RUN)
        (folder / "result.json").write_text("{}")
        speed = {"rollout_tokens_per_second": 50.0, "seconds_rollout": 2.0, "training_tokens_per_second": 20.0}
        rows = [
            {"step": step, "accuracy": 1.0 if step >= sure else 0.4, "redrawn": step % 2, "seconds_training": 3.0}
            | speed
            for step in range(1, 11)
        ]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        runs.append({"folder": f"runs/{arm}/seed-{seed}", "arm": arm, "seed": seed})
    (tmp_path / "study.json").write_text(json.dumps({"runs": runs}))
    return tmp_path


def test_costs_by_hand(costs, study):
    """Three of five steps that are right and two at 0.4 are 0.76 on average: reached at step 7, or 8. With a problem
    redrawn at every other step: 7 x 2 + 4 groups of 4 answers."""
    seconds = study / "seconds.txt"
    seconds.write_text("".join(f"{study / 'runs/rgra/seed-0'} {steps} {10 + steps}\n" for steps in (2, 4, 9)))
    first, second = (course.costs() for course in costs.courses(study, seconds)["rgra"].values())
    assert first == [7, (14 + 4) * 4, 700, 420, pytest.approx(7.0)]
    assert second == [8, (16 + 4) * 4, 800, 480]


def test_an_arm_that_never_gets_there_has_no_mean(costs, study):
    lines = costs.table(study, None).splitlines()
    assert lines[2].startswith("| rgra | steps | 7, 8 | 8 |") and len(lines) == 2 + 4 + 1
    assert "in none of 2 seeds" in lines[-1]


def test_where_a_run_evaluates_the_validation_split_decides(costs, study):
    path = study / "runs/rgra/seed-0/metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row, accuracy in zip(rows[3::2], (0.2, 0.69, 0.7, 0.6), strict=True):
        row["evaluation"] = {"accuracy": accuracy}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert costs.courses(study, None)["rgra"][0].costs()[0] == 8
