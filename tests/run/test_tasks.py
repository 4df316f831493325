"""Whole runs on the tasks beside the quickstart's: the harder base, countdown, reward functions with their parts."""

import json

import pytest

from paring import train
from paring.runtime.journal import read_rows
from paring.training.config import as_plain, validate

REWARDS = """
def right(completions, answer, **kwargs):
    return [float(gold in text) for text, gold in zip(completions, answer)]

def brief(completions, completion_ids, **kwargs):
    return [None if len(ids) > 20 else 1.0 / len(ids) for ids in completion_ids]
"""


def trained(run, folder):
    train(run, folder)
    result = json.loads((folder / "result.json").read_text())
    return list(read_rows(folder / "metrics.jsonl")), list(read_rows(folder / "samples.jsonl")), result


@pytest.mark.parametrize("task", ["chains", "countdown-tiny"])
def test_tasks_of_the_embedded_models_run(small_run, tmp_path, task):
    changes = {"task.name": task, "model.path": "embedded-chains", "rollout.max_new_tokens": 48}
    metrics, samples, result = trained(small_run(changes), tmp_path / "run")
    assert len(metrics) == 4 and len(samples) == 4 * 12
    assert metrics[0]["traits"].keys() == {"working", "self_correction"}
    assert result["after"]["task"] == task


def test_reward_functions_give_the_parts_of_the_reward(small_run, tmp_path):
    (tmp_path / "my.py").write_text(REWARDS)
    rows = [{"prompt": f"{n}+{n}+1=", "answer": str(2 * n + 1)} for n in range(1, 20)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    paths = [f"{tmp_path}/my.py:{name}" for name in ("right", "brief")]
    changes = {"task.reward": paths, "task.weights": [1.0, 0.5], "task.data": f"{tmp_path}/rows.jsonl"}
    metrics, samples, result = trained(small_run(changes), tmp_path / "run")
    assert metrics[0]["reward_parts"].keys() == {"right", "brief"}
    for sample in samples:
        brief = 0.5 / sample["tokens"] if sample["tokens"] <= 20 else 0.0
        right = float(json.loads(sample["gold"])["answer"] in sample["completion"])
        assert sample["reward_parts"] == pytest.approx({"right": right, "brief": brief})
        assert sample["correct"] is (sample["reward"] >= 1.0)
    assert result["after"]["task"] == "reward-functions"


def test_several_tasks_are_reported_apart(small_run, tmp_path):
    tasks = [{"name": "arithmetic", "weight": 2}, {"name": "countdown-tiny", "label": "puzzle"}]
    small = {key: value for key, value in as_plain(small_run()).items() if key != "task"}
    run = validate({**small, "tasks": tasks}, source="mixed")
    result = train(run, tmp_path / "run")
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert all(row["tasks"].keys() <= {"arithmetic", "puzzle"} for row in rows)
    assert all(sum(part["problems"] for part in row["tasks"].values()) == 3 for row in rows)
    assert result.values.after["by"]["task"].keys() == {"arithmetic", "puzzle"}
    assert "  puzzle: " in str(result)
