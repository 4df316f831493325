"""The examples do what their first lines say."""

import importlib.util
import json
import shlex
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from paring import load_run, train
from paring.cli import app
from paring.maths.advantages import Outcome
from paring.maths.objective import LogProbs
from paring.tasks.own_task import OwnTask
from paring.tasks.reward_functions import RewardFunctions
from paring.training.config import Run

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
ONE_THREAD = {"threads": 1, "evaluate.limit": 2}


def example(name: str):
    """An example as a module."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def journalled(run: Run, folder: Path, metric: str) -> list[float]:
    """A metric of each step of a run that is trained here."""
    train(run, folder)
    return [json.loads(line)[metric] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_the_loop_on_one_page_is_the_quickstart(tmp_path):
    run = load_run("quickstart", steps=6, **ONE_THREAD)
    expected = journalled(run, tmp_path / "run", "reward")
    assert list(example("rl_loop").rgra(run)) == pytest.approx(expected, abs=1e-6)
    assert len((EXAMPLES / "rl_loop.py").read_text().splitlines()) <= 60


def test_the_readme_shows_lines_of_the_loop():
    shown, _, _ = (ROOT / "README.md").read_text().partition("```python\nfor step in")[2].partition("```")
    loop = {code(line) for line in (EXAMPLES / "rl_loop.py").read_text().splitlines()}
    assert {code(line) for line in shown.splitlines()[1:]} <= loop


def code(line: str) -> str:
    """A line without its indentation and its comment."""
    return line.partition("#")[0].strip()


def test_the_supervised_loop_is_the_quickstart_on_solutions(tmp_path):
    run = load_run("quickstart", steps=8, objective={"kind": "sft"}, **ONE_THREAD)
    expected = journalled(run, tmp_path / "run", "loss")
    assert list(example("sft_loop").supervised(run)) == pytest.approx(expected, rel=1e-4)
    assert expected[-1] < expected[0] / 1.2


@pytest.mark.parametrize("name", ["own_task", "own_environment", "own_reward", "own_objective"])
def test_the_command_of_an_example_trains(name, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    (command,) = (line for line in example(name).__doc__.splitlines() if line.strip().startswith("paring train"))
    small = ["steps=2", "rollout.problems=2", "evaluate.limit=4", "--out", str(tmp_path / "run")]
    ended = CliRunner().invoke(app, [*shlex.split(command)[1:], *small])
    assert ended.exit_code == 0, ended.output
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2


def test_the_splits_of_the_task_share_no_problem():
    task = OwnTask(path=f"{EXAMPLES / 'own_task.py'}:Change")
    splits = {split: {problem.id for problem in task.problems(split)} for split in ("train", "validation", "test")}
    assert len(set.union(*splits.values())) == sum(map(len, splits.values())) == 9180
    assert [len(splits[split]) for split in ("validation", "test")] == [500, 500]


@pytest.mark.parametrize(
    ("text", "parts", "working"),
    [
        ("<answer>66</answer>", {"right": 1.0, "form": 0.1}, False),
        ("87-12=75;75-9=66<answer>66</answer>", {"right": 1.0, "form": 0.1}, True),
        ("<answer>67</answer>", {"right": 0.0, "form": 0.1}, False),
        ("66", {"right": 0.0, "form": 0.0}, False),
        (f"<answer>{'6' * 5000}</answer>", {"right": 0.0, "form": 0.0}, False),
    ],
)
def test_what_the_task_says_of_an_answer(text, parts, working):
    own = example("own_task")
    score = own.Change().score(own.problem(87, 12, 9), text)
    assert (score.parts, score.correct, score.traits) == (parts, parts["right"] == 1, {"working": working})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("17+11=28;28+4=32<answer>32</answer>", 1.0),
        ("<answer> 32 </answer>", 1.0),
        ("<answer>31</answer>", 0.1),
        ("<answer>31</answer><answer>32</answer>", 0.0),
        ("<answer>32", 0.0),
        ("32", 0.0),
    ],
)
def test_the_reward(text, expected):
    completions = [[{"role": "assistant", "content": text}]]
    assert example("own_reward").right(completions, answer=["32"], prompts=[[]]) == [expected]


def test_the_rows_have_the_three_splits():
    task = RewardFunctions(reward=f"{EXAMPLES / 'own_reward.py'}:right", data=str(EXAMPLES / "rows.jsonl"))
    assert [len(task.problems(split)) for split in ("train", "validation", "test")] == [300, 50, 50]


def test_the_weight_of_a_token_is_capped_at_two():
    objective = example("own_objective").Capped()
    policy_BT = torch.tensor([[-1.0, -2.0]], requires_grad=True)
    old_BT = policy_BT.detach() - torch.tensor([[0.5, 1.0]])  # ratios of 1.65 and 2.72
    gain_BT = objective.gain(LogProbs(policy_BT, old_BT, None), torch.tensor([[3.0]]), torch.ones(1, 2))
    gain_BT.sum().backward()
    torch.testing.assert_close(policy_BT.grad, torch.tensor([[3 * 1.6487213, 3 * 2.0]]))
    reward_PG = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    outcome = Outcome(reward_PG, reward_PG > 0, torch.ones(1, 2, dtype=torch.int64), 4)
    torch.testing.assert_close(objective.advantage(outcome).float(), torch.tensor([[0.7070068, -0.7070068]]))


def test_l1ra_in_a_script_of_trl(tmp_path, monkeypatch):
    for package in ("trl", "peft", "datasets"):
        pytest.importorskip(package)
    monkeypatch.syspath_prepend(str(EXAMPLES))  # a script's own folder is on its path
    monkeypatch.delitem(sys.modules, "own_reward", raising=False)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    example("l1ra_with_trl").main(str(tmp_path / "out"), steps=10)
    events = [json.loads(line) for line in (tmp_path / "out" / "ranks.jsonl").read_text().splitlines()]
    assert [event["step"] for event in events] == list(range(1, 7))  # ranks settle after them
    assert (tmp_path / "out" / "lora" / "adapter_model.safetensors").is_file()
