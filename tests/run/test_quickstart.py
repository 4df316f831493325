"""A whole run: what its folder holds, whether the numbers are those of its answers, and whether it learns."""

import json
import statistics
from dataclasses import replace

import pytest
from safetensors.torch import load_file

from paring import load_run, train
from paring.maths.estimates import wilson_interval
from paring.policy.loading import resolved
from paring.runtime.glossary import METRICS
from paring.runtime.journal import read_rows
from paring.tasks.arithmetic import Arithmetic

ADAPTER = "adapter/adapter_model.safetensors"


@pytest.fixture(scope="module")
def metrics(finished_run):
    return list(read_rows(finished_run / "metrics.jsonl"))


@pytest.fixture(scope="module")
def samples(finished_run):
    return list(read_rows(finished_run / "samples.jsonl"))


def of_step(samples, step):
    return [row for row in samples if row["step"] == step]


def groups_of(rows):
    return [[row for row in rows if row["problem"] == name] for name in dict.fromkeys(row["problem"] for row in rows)]


def test_the_folder_holds_what_scripts_rely_on(finished_run):
    names = {path.relative_to(finished_run).as_posix() for path in finished_run.rglob("*") if path.is_file()}
    assert {
        "run.toml",
        "metrics.jsonl",
        "samples.jsonl",
        "result.json",
        "adapter/adapter_config.json",
        ADAPTER,
    } <= names
    assert {path.name for path in (finished_run / "checkpoints").iterdir()} == {"step-000002", "step-000004"}
    assert not [name for name in names if "staging" in name or "replaced" in name]


def test_the_recipe_in_the_folder_is_the_run_s(finished_run, small_run):
    run = small_run()
    assert load_run(finished_run) == replace(run, model=resolved(run.model))


def test_one_row_of_known_metrics_a_step(metrics):
    assert [row["step"] for row in metrics] == [1, 2, 3, 4]
    for row in metrics:
        assert row.keys() <= METRICS.keys()
        assert {
            "reward",
            "length",
            "seconds",
            "entropy",
            "grad_norm",
            "peak_memory_gb",
            "seconds_rollout",
        } <= row.keys()
        assert 0 < row["seconds_rollout"] + row["seconds_score"] + row["seconds_training"] <= row["seconds"]
    assert [row["learning_rate"] for row in metrics] == pytest.approx([2e-4, 4e-4, 6e-4, 8e-4])
    assert [row["updates"] for row in metrics] == [1, 2, 3, 4]
    assert [row["dropped_steps"] for row in metrics] == [0] * 4


def test_metrics_are_those_of_the_answers(metrics, samples):
    for row in metrics:
        answers = of_step(samples, row["step"])
        groups = groups_of(answers)
        assert [len(group) for group in groups] == [4, 4, 4]
        rewards = [answer["reward"] for answer in answers]
        lengths = [answer["tokens"] for answer in answers]
        assert row["reward"] == pytest.approx(statistics.fmean(rewards))
        for part, mean in row["reward_parts"].items():
            assert mean == pytest.approx(statistics.fmean(answer["reward_parts"][part] for answer in answers))
        assert row["reward"] == pytest.approx(sum(row["reward_parts"].values()))
        assert row["accuracy"] == sum(answer["correct"] for answer in answers) / 12
        for trait in ("working", "self_correction"):
            assert row["traits"][trait] == sum(answer["traits"][trait] for answer in answers) / 12
        for name, correct in (("length_correct", True), ("length_wrong", False)):
            of_these = [answer["tokens"] for answer in answers if answer["correct"] is correct]
            assert row.get(name) == (pytest.approx(statistics.fmean(of_these)) if of_these else None)
        assert (row["length"], row["length_max"]) == (pytest.approx(statistics.fmean(lengths)), max(lengths))
        assert row["truncated"] == sum(not answer["ended"] for answer in answers) / 12
        silent = [len({answer["reward"] for answer in group}) == 1 for group in groups]
        assert row["groups_without_signal"] == pytest.approx(sum(silent) / 3)
        assert row["advantage_std"] == pytest.approx(statistics.stdev(answer["advantage"] for answer in answers))


def test_advantages_are_standardised_rewards(samples):
    signals = 0
    for step in range(1, 5):
        for group in groups_of(of_step(samples, step)):
            rewards = [answer["reward"] for answer in group]
            mean, spread = statistics.fmean(rewards), statistics.stdev(rewards)
            expected = [(reward - mean) / (spread + 1e-4) if len(set(rewards)) > 1 else 0.0 for reward in rewards]
            assert [answer["advantage"] for answer in group] == pytest.approx(expected, abs=1e-9)
            signals += len(set(rewards)) > 1
    assert signals > 0


def test_the_rewards_are_what_the_task_gives(samples, small_run):
    task = small_run().task
    known = {problem.id: problem for problem in task.problems("train")[:]}
    for row in samples:
        problem = known[row["problem"]]
        score = task.score(problem, row["completion"])
        assert (row["reward"], row["correct"], row["gold"]) == (score.reward, score.correct, problem.gold)
        assert row["prompt"] == list(problem.messages)


def test_the_result_counts(finished_run):
    result = json.loads((finished_run / "result.json").read_text())
    for when in ("before", "after"):
        measured = result[when]
        assert (measured["split"], measured["problems"], measured["temperature"]) == ("test", 4, 0.0)
        assert measured["accuracy"] == measured["correct"] / 4
        assert measured["interval"] == pytest.approx(wilson_interval(measured["correct"], 4))
    assert (result["steps"], result["updates"], result["dropped_steps"], result["seed"]) == (4, 4, 0, 0)
    held_out = [problem.id for problem in Arithmetic().problems("test")[:4]]
    assert [example["problem"] for example in result["examples"]] == held_out
    assert sum(example["correct"] for example in result["examples"]) == result["before"]["correct"]
    assert sum(example["correct_after"] for example in result["examples"]) == result["after"]["correct"]


def test_the_seed_decides_every_byte(finished_run, small_run, tmp_path):
    for seed in (0, 1):
        train(small_run({"seed": seed}), tmp_path / str(seed))
    for name in (ADAPTER, "samples.jsonl"):
        expected = (finished_run / name).read_bytes()
        assert (tmp_path / "0" / name).read_bytes() == expected
        assert (tmp_path / "1" / name).read_bytes() != expected


def test_grpo_with_one_update_is_rgra(finished_run, small_run, tmp_path):
    """The ratio is 1, so the clip cannot act: the same gradients up to rounding, the same answers."""
    train(small_run({"objective.kind": "grpo"}), tmp_path / "grpo")
    assert (tmp_path / "grpo/samples.jsonl").read_bytes() == (finished_run / "samples.jsonl").read_bytes()
    one, other = (load_file(folder / ADAPTER) for folder in (finished_run, tmp_path / "grpo"))
    assert max(float((one[name] - other[name]).abs().max()) for name in one) < 1e-5


def test_several_updates_a_rollout_with_a_reference(small_run, tmp_path):
    changes = {"objective": {"kind": "grpo", "kl_coef": 0.01, "clip_low": 0.01, "clip_high": 0.01}}
    changes |= {"rollout.updates": 2, "optimiser.warmup": 0, "optimiser.lr": 0.005, "evaluate.every": 2}
    train(small_run(changes | {"evaluate.validation_limit": 3}), tmp_path / "run")
    rows = list(read_rows(tmp_path / "run/metrics.jsonl"))
    assert [row["updates"] for row in rows] == [2, 4, 6, 8]
    assert all(row["kl"] > 0 and row["ratio_max"] > 1 for row in rows)
    # Before the first update the policy is its own reference, which needs no pass.
    assert ["seconds_reference" in row for row in rows] == [False, True, True, True]
    assert any(row["clip_fraction"] > 0 for row in rows)
    assert all(0 <= row["clip_fraction"] <= 1 for row in rows)
    assert [row["step"] for row in rows if "evaluation" in row] == [2, 4]
    evaluation = rows[1]["evaluation"]
    assert (evaluation["split"], evaluation["problems"], rows[1]["seconds_evaluate"]) == (
        "validation",
        3,
        evaluation["seconds"],
    )


def test_without_adapters_that_moved_there_is_no_divergence_from_the_reference(small_run, tmp_path):
    train(small_run({"objective.kl_coef": 0.1, "steps": 1}), tmp_path / "run")
    [row] = read_rows(tmp_path / "run/metrics.jsonl")
    assert row["kl"] == 0.0 and row["ratio_max"] == 1.0


def test_it_learns(tmp_path):
    """25 steps of the quickstart as it is shipped: the reward of the last five is clearly above that of the first."""
    train(load_run("quickstart", steps=25, threads=1, evaluate={"limit": 4}, save={"every": 0}), tmp_path / "run")
    rewards = [row["reward"] for row in read_rows(tmp_path / "run/metrics.jsonl")]
    assert statistics.fmean(rewards[-5:]) > statistics.fmean(rewards[:5]) + 0.15


def test_each_held_out_problem_is_recorded(finished_run):
    items = list(read_rows(finished_run / "items.jsonl"))
    after = json.loads((finished_run / "result.json").read_text())["after"]
    assert [row["problem"] for row in items] == [problem.id for problem in Arithmetic().problems("test")[:4]]
    assert sum(row["correct"] for row in items) == after["correct"]
    assert sum(row["answers"][0]["tokens"] for row in items) / len(items) == after["length"]


def test_the_validation_split_is_measured_at_the_end_where_that_is_asked(small_run, finished_run, tmp_path):
    asked = {"steps": 1, "evaluate.validation_at_end": True, "evaluate.validation_limit": 5}
    validation = train(small_run(asked), tmp_path / "run").values.validation
    assert (validation["split"], validation["problems"], validation["temperature"]) == ("validation", 5, 0.0)
    assert json.loads((finished_run / "result.json").read_text())["validation"] is None
