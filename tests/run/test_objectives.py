"""Whole runs of every objective from the command line; several updates, minibatches and older samplers, killed too."""

import json
import signal
from typing import get_args

import pytest
from safetensors.torch import load_file

from paring import train
from paring.maths.objectives import OfFamily, OfHalves, OfPaper
from paring.runtime.journal import read_rows
from paring.training.config import load_run
from paring.training.draws import problems_of_run

KINDS = [kind().kind for kind in get_args(OfPaper) + get_args(OfFamily) + get_args(OfHalves)]
ALWAYS = {"clip_fraction", "ratio_low", "ratio_median", "ratio_high", "ratio_max", "kl", "kl_sampling"} | {
    "positive_advantage",
    "zero_advantage",
    "staleness",
    "redrawn",
}
ADAPTER = "adapter/adapter_model.safetensors"
SAME_BYTES = (ADAPTER, "samples.jsonl", "run.toml")


def rows_of(folder):
    return list(read_rows(folder / "metrics.jsonl"))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_trains_from_the_command_line(paring_child, small_overrides, tmp_path, kind):
    changes = ["steps=2", f"objective.kind={kind}", "rollout.updates=2", "optimiser.warmup=0"]
    ended = paring_child("train", "quickstart", *small_overrides, *changes, "--out", tmp_path / "run")
    assert ended.code == 0, ended.output
    rows = rows_of(tmp_path / "run")
    assert [row["updates"] for row in rows] == [2, 4]
    assert all(row.keys() >= ALWAYS and "nonfinite" not in row for row in rows)
    assert all(("entropy" in row) == (kind != "sft") for row in rows)
    assert rows[-1]["kl"] > 0
    moved = load_file(tmp_path / "run" / ADAPTER)
    assert any(tensor.any() for name, tensor in moved.items() if "lora_B" in name)
    assert json.loads((tmp_path / "run/result.json").read_text())["objective"] == kind


def test_solutions_are_learned(tmp_path):
    changes = {"objective.kind": "sft", "steps": 12, "optimiser.lr": 0.005, "evaluate.limit": 50, "threads": 1}
    result = train(load_run("quickstart", **changes), tmp_path / "run")
    rows = rows_of(tmp_path / "run")
    assert rows[-1]["loss"] < 0.6 * rows[0]["loss"]
    assert all(row["accuracy"] == 1.0 and row["reward"] == pytest.approx(1.1) for row in rows)
    assert result.values.after["traits"]["working"] > result.values.before["traits"]["working"] + 0.2
    answers = list(read_rows(tmp_path / "run/samples.jsonl"))
    assert len(answers) == 12 * 16 and all(row["advantage"] == 1.0 for row in answers)


def test_a_task_without_solutions_is_refused_before_any_work(paring_child, small_overrides, tmp_path):
    rows = [{"question": f"{number}?", "answer": str(number)} for number in range(9)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    changes = ["task.name=questions", f"task.data={tmp_path / 'own.jsonl'}", "objective.kind=sft"]
    ended = paring_child("train", "quickstart", *small_overrides, *changes, "--out", tmp_path / "run")
    assert ended.code == 2 and "has no worked solution, and sft learns from nothing else" in ended.output
    assert not (tmp_path / "run").exists()


def test_a_part_of_the_reward_that_is_not_there_is_refused(paring_child, small_overrides, tmp_path):
    ended = paring_child("train", "quickstart", *small_overrides, "rewards.fromat=0", "--out", tmp_path / "run")
    assert ended.code == 2 and "rewards.fromat: the rewards of task arithmetic have no such part" in ended.output
    assert "only correct, format" in ended.output and not (tmp_path / "run").exists()


def test_without_the_format_reward(small_run, tmp_path):
    train(small_run({"rewards.format": 0.0}), tmp_path / "run")
    for row in read_rows(tmp_path / "run/samples.jsonl"):
        assert row["reward_parts"]["format"] == 0.0 and row["reward"] == float(row["correct"])


def test_dynamic_sampling_trains_on_what_has_a_signal(small_run, tmp_path):
    train(small_run({"objective": {"kind": "dapo", "redraws": 30}}), tmp_path / "run")
    for row in rows_of(tmp_path / "run"):
        answers = [one for one in read_rows(tmp_path / "run/samples.jsonl") if one["step"] == row["step"]]
        assert len(answers) == 4 * (3 + row["redrawn"])
        used = {one["problem"] for one in answers if one["advantage"] != 0}
        for problem in used:
            assert {one["correct"] for one in answers if one["problem"] == problem} == {True, False}
        assert len(used) == 3
    assert sum(row["redrawn"] for row in rows_of(tmp_path / "run")) > 0
    task = load_run("quickstart").task
    known = problems_of_run(task, task.problems("train"), 3, seed=0, steps=4, redraws=30)
    assert {one["problem"] for one in read_rows(tmp_path / "run/samples.jsonl")} < {one.id for one in known}
    assert len(known) < 4 * 3 * 31 + 1, "so few prompts are looked at before the run"


def test_an_objective_of_one_s_own(paring_child, small_overrides, tmp_path):
    """The file of docs/objectives.md: centred rewards by hand are RGRA without std, to the byte."""
    (tmp_path / "my.py").write_text(
        "from paring.maths.objective import Objective\n"
        "class Centred(Objective):\n"
        "    def advantage(self, outcome):\n"
        "        reward_PG = outcome.reward_PG\n"
        "        return reward_PG - reward_PG.mean(-1, keepdim=True)\n"
    )
    own = ["objective.kind=custom", f"objective.path={tmp_path / 'my.py'}:Centred"]
    for name, changes in {"own": own, "ours": ["objective.std=false"]}.items():
        ended = paring_child("train", "quickstart", *small_overrides, *changes, "--out", tmp_path / name)
        assert ended.code == 0, ended.output
    assert (tmp_path / "own" / ADAPTER).read_bytes() == (tmp_path / "ours" / ADAPTER).read_bytes()
    ended = paring_child("train", "quickstart", *small_overrides, own[0], "--out", tmp_path / "x")
    assert ended.code == 2 and "objective.path: required, but not given" in ended.output


def test_the_entropy_bonus_grows_below_its_target_and_survives_kill_9(paring_child, small_overrides, tmp_path):
    changes = ["objective.entropy_target=9.0", "steps=4", "save.every=1", *MOVING]
    recipe = ["train", "quickstart", *small_overrides, *changes]
    assert paring_child(*recipe, "--out", tmp_path / "whole").code == 0
    rows = rows_of(tmp_path / "whole")
    assert [row["entropy_coef"] for row in rows] == pytest.approx([0.0, 0.005, 0.010, 0.015])
    assert ["entropy_exact" in row for row in rows] == [False, True, True, True]
    killed = paring_child(*recipe, "--out", tmp_path / "killed", at="paring.training.rl:rl_step", call=3)
    assert killed.code == -signal.SIGKILL
    assert paring_child("train", "--resume", tmp_path / "killed").code == 0
    for name in SAME_BYTES:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


STALE = ["objective.kind=grpo", "rollout.sync_every=3", "rollout.updates=2", "rollout.minibatches=3", "steps=6"]
MOVING = ["optimiser.lr=0.003", "optimiser.warmup=0"]
GATED = ["adapter.kind=l1ra", "adapter.rank=4", "adapter.events=2"]
RECIPES = {"stale": [*STALE, *MOVING, "save.every=1"], "stale, gated": [*STALE, *MOVING, *GATED, "save.every=1"]}


@pytest.fixture(scope="module", params=RECIPES)
def stale(request, paring_child, small_overrides, tmp_path_factory):
    """The recipe of a run whose sampler is three steps old at most, and its folder."""
    recipe = ["train", "quickstart", *small_overrides, *RECIPES[request.param]]
    folder = tmp_path_factory.mktemp("stale") / "run"
    ended = paring_child(*recipe, "--out", folder)
    assert ended.code == 0, ended.output
    return recipe, folder


def test_the_sampler_ages_and_is_refreshed(stale):
    """Every third step, and by each rank event, of which there is one after steps 2 and 4."""
    recipe, folder = stale
    rows = rows_of(folder)
    expected = [0, 1, 0, 1, 0, 1] if "adapter.kind=l1ra" in recipe else [0, 1, 2, 0, 1, 2]
    assert [row["staleness"] for row in rows] == expected
    assert [row["updates"] for row in rows] == [6, 12, 18, 24, 30, 36]
    assert all(row["ratio_max"] > 1 and row["kl_sampling"] > 0 for row in rows if row["zero_advantage"] < 1)


@pytest.mark.parametrize("call", [2, 4])
def test_an_older_sampler_survives_kill_9(paring_child, stale, tmp_path, call):
    recipe, uninterrupted = stale
    ended = paring_child(*recipe, "--out", tmp_path / "run", at="paring.training.rl:improve", call=call)
    assert ended.code == -signal.SIGKILL, ended.output
    resumed = paring_child("train", "--resume", tmp_path / "run")
    assert resumed.code == 0, resumed.output
    for name in SAME_BYTES:
        assert (tmp_path / "run" / name).read_bytes() == (uninterrupted / name).read_bytes(), name


def test_two_steps_of_one_sampler_ask_the_same_policy(small_run, tmp_path):
    """With a sampler that is never refreshed the answers do not depend on what is learned."""
    changes = {"rollout.sync_every": 99, "optimiser.warmup": 0}
    for lr in (1e-3, 1e-2):
        train(small_run(changes | {"optimiser.lr": lr}), tmp_path / str(lr))
    rows = [list(read_rows(tmp_path / str(lr) / "samples.jsonl")) for lr in (1e-3, 1e-2)]
    assert rows[0] == rows[1]
    one, other = (load_file(tmp_path / str(lr) / ADAPTER) for lr in (1e-3, 1e-2))
    assert any((one[name] != other[name]).any() for name in one)
