"""The studies that ship: all of their runs are valid, they say what they promise, and the paper's can be run."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from paring.maths.advantages import Outcome, standardised
from paring.maths.objectives import OwnObjective
from paring.study import runner
from paring.study.cells import final_runs, first_trials, tuning_runs
from paring.study.course import Course
from paring.study.declaration import load_study, study_file, study_names
from paring.study.runner import conduct
from paring.study.study_folder import StudyFolder

PAPER = ["grpo", "grpo-positive", "rgra", "reinforce", "raft", "sft"]


@pytest.mark.parametrize("name", study_names())
def test_all_runs_of_a_shipped_study_are_valid(name):
    study = load_study(name)
    runs = [*tuning_runs(study, first_trials(study)), *final_runs(study, {})]
    assert len({planned.folder for planned in runs}) == len(runs)
    assert study.question.endswith("?") and study_file(name).read_text().startswith("# ")


def test_the_dynamics_are_of_six_arms_at_two_difficulties_with_one_and_four_updates():
    study = load_study("rgra-dynamics")
    final = final_runs(study, {})
    assert Counter(planned.run.objective.kind for planned in final) == dict.fromkeys(PAPER, 2 * 2 * 5)
    assert {(planned.run.task.name, planned.run.rollout.updates) for planned in final} == {
        (task, updates) for task in ("arithmetic", "chains") for updates in (1, 4)
    }
    assert len(tuning_runs(study, first_trials(study))) == 6 * 2 * 2 * 3
    assert not set(study.seeds) & set(study.tune.seeds)


def test_the_paper_s_table_4():
    runs = {(planned.cell.arm, planned.cell.setting["recipe"]): planned.run for planned in _paper()}
    assert [arm for arm, recipe in runs if recipe == "paper-llama32-1b"] == PAPER
    for (arm, _), run in runs.items():
        assert run.objective.kind == arm and run.rollout.updates == 1
        assert (run.rollout.temperature, run.rollout.max_new_tokens, run.rollout.group_size) == (1.0, 512, 8)
        assert (run.task.name, run.task.train_problems, run.adapter.rank) == ("gsm8k", 1800, 128)
        assert (run.optimiser.warmup, run.objective.kl_coef) == (5, 0.0 if arm in ("raft", "sft") else 0.005)
        is_sft = arm == "sft"
        assert (run.rollout.problems, run.optimiser.lr) == ((8, 1e-4) if is_sft else (24, 1e-5))
        assert run.optimiser.schedule == ("linear" if is_sft else "constant")
        assert run.steps * run.rollout.problems == 1800
    assert {run.model.path for run in runs.values()} == {
        "Qwen/Qwen2.5-0.5B-Instruct",
        "Qwen/Qwen2.5-1.5B-Instruct",
        "meta-llama/Llama-3.2-1B-Instruct",
    }


def _paper():
    return [planned for planned in final_runs(load_study("paper"), {}) if planned.seed == 0]


@pytest.fixture
def tiny_model(tmp_path):
    """A random model whose words are a few of GSM8K's."""
    words = Tokenizer(models.WordLevel({f"w{token}": token for token in range(16)}, unk_token="w0"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    shape = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=16)
    folder = tmp_path / "tiny"
    LlamaForCausalLM(LlamaConfig(**shape, eos_token_id=15, pad_token_id=0, bos_token_id=None)).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=words, eos_token="w15").save_pretrained(folder)
    return folder


@pytest.fixture
def tiny_gsm8k(tmp_path):
    folder = tmp_path / "gsm8k"
    folder.mkdir()
    for part, numbers in (("train", range(12)), ("test", range(12, 24))):
        rows = [{"question": f"What is {n} and {n} ?", "answer": f"It is {2 * n}.\n#### {2 * n}"} for n in numbers]
        (folder / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_the_paper_s_study_runs_with_a_tiny_model_two_steps_an_arm(here, tiny_model, tiny_gsm8k, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "POLL_SECONDS", 0.0)
    small = {"model.path": str(tiny_model), "task.data": str(tiny_gsm8k), "task.train_problems": 8, "threads": 1}
    small |= {"steps": 2, "rollout.problems": 2, "rollout.group_size": 2, "rollout.max_new_tokens": 32}
    small |= {"adapter.rank": 2, "evaluate.limit": 2}
    study = replace(load_study("paper", small), seeds=(0,))
    course = Course(study, StudyFolder(tmp_path / "out"))
    assert conduct(course, here()).exit_code == 0
    results = [course.folder.run(planned).read_result() for planned in course.final]
    assert all(result["steps"] == 2 for result in results)
    assert [result["objective"] for result in results] == [arm for arm in PAPER for _ in range(3)]


@pytest.mark.parametrize("name", [name for name in study_names() if load_study(name).contrasts])
def test_contrasts_are_declared_over_seeds_that_no_tuning_saw(name):
    study = load_study(name)
    assert len(study.seeds) >= 3
    assert study.tune is None or not set(study.seeds) & set(study.tune.seeds)


def test_the_controls_have_lost_the_signal_and_nothing_else():
    """Each group keeps its advantages, at other answers, or at another problem's."""
    reward_PG = torch.tensor([[1.1, 0.0, 0.1, 0.0], [0.1, 1.0, 0.0, 0.0]], dtype=torch.float64)
    outcome = Outcome(reward_PG, reward_PG >= 1, torch.ones(2, 4, dtype=torch.int64), 1)
    true_PG = standardised(reward_PG)
    controls = Path(__file__).parents[3] / "examples/controls.py"
    shuffled, others = (OwnObjective(path=f"{controls}:{kind}").opened() for kind in ("Shuffled", "OtherProblems"))
    assert torch.equal(shuffled.advantage(outcome), true_PG[:, [3, 0, 1, 2]])
    assert torch.equal(others.advantage(outcome), true_PG[[1, 0]])
