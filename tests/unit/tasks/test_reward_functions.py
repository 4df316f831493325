"""Reward functions as TRL calls them: what they are passed, what their rewards come to, and what is refused."""

import asyncio
import json
import re
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import torch

from paring.settings.own_code import names_of
from paring.tasks.base import judged
from paring.tasks.reward_functions import RewardFunctions
from paring.types import Completion, Group

FUNCTIONS = """
import math

seen = []

def right(completions, answer, **kwargs):
    return [1.0 if answer_ in text else 0.0 for text, answer_ in zip(completions, answer)]

def short(completions, completion_ids, **kwargs):
    return [-0.1 * len(ids) for ids in completion_ids]

def sometimes(completions, **kwargs):
    return [None if "skip" in text else math.nan if "nan" in text else 0.5 for text in completions]

async def later(prompts, completions, **kwargs):
    return [float(len(prompt)) for prompt in prompts]

def watching(**kwargs):
    seen.append(kwargs)
    kwargs["log_metric"]("name", 1.0)
    kwargs["log_extra"]("name", ["a"])
    return [0] * len(kwargs["completions"])

def turns(completions, **kwargs):
    return [1.0 if [turn["role"] for turn in turns] == ["assistant"] else 0.0 for turns in completions]

def gives_up(completions, **kwargs):
    raise GeneratorExit


def fails(completions, **kwargs):
    return 1 / 0

def too_few(completions, **kwargs):
    return [1.0]

def no_numbers(completions, **kwargs):
    return ["1.0" for _ in completions]

def infinite(completions, **kwargs):
    return [math.inf for _ in completions]

def nothing(completions, **kwargs):
    pass

def hangs(completions, **kwargs):
    import time
    time.sleep(60)

async def hangs_later(completions, **kwargs):
    import asyncio
    await asyncio.sleep(60)

def lazily(completions, **kwargs):
    return (1.0 for _ in completions)

def endless(completions, **kwargs):
    while True:
        yield 1.0

def by_place(completions, **kwargs):
    return {place: 1.0 for place, _ in enumerate(completions)}

def too_large(completions, **kwargs):
    return [1e308 for _ in completions]

class Silent(Exception):
    def __str__(self):
        raise RuntimeError

class Odd:
    def __float__(self):
        raise OSError("disk")

    def __repr__(self):
        raise OSError("disk")

def silent(completions, **kwargs):
    raise Silent

def odd(completions, **kwargs):
    return [Odd() for _ in completions]

not_a_function = 1
"""
ROWS = [{"prompt": f"How much is {n} + 1?", "answer": str(n + 1), "level": n % 3} for n in range(40)]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "my.py").write_text(FUNCTIONS)
    write(tmp_path / "rows.jsonl", ROWS)
    return tmp_path


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def task_of(folder, *names, **settings):
    reward = [f"{folder}/my.py:{name}" for name in names]
    return RewardFunctions(
        **{"data": f"{folder}/rows.jsonl", "reward": tuple(reward) if len(reward) > 1 else reward[0]} | settings
    )


def groups_of(task, *texts):
    """Two problems with these answers each; a token a character."""
    problems = task.problems("train")[:2]
    answers = tuple(Completion(tuple(range(len(text))), (0.0,) * len(text), text, True) for text in texts)
    return [Group(problem, (1,), answers) for problem in problems]


def test_rows_become_problems_in_three_splits(folder):
    task = task_of(folder, "right")
    splits = {split: task.problems(split) for split in ("train", "validation", "test")}
    assert {split: len(problems) for split, problems in splits.items()} == {"train": 30, "validation": 5, "test": 5}
    rows = [json.loads(problem.gold) for problems in splits.values() for problem in problems]
    assert sorted(rows, key=lambda row: int(row["answer"])) == ROWS
    problem = splits["train"][0]
    assert problem.messages == ({"role": "user", "content": json.loads(problem.gold)["prompt"]},)


def test_turns_may_stand_as_json_in_a_cell(folder):
    turns = [{"role": "user", "content": "How much is 1 + 1?"}]
    rows = [{"prompt": json.dumps([{"role": "user", "content": f"{n} + 1?"}]), "answer": "2"} for n in range(9)]
    write(folder / "rows.jsonl", [*rows, {"prompt": json.dumps(turns), "answer": "2"}])
    prompts = [
        problem.messages
        for split in ("train", "validation", "test")
        for problem in task_of(folder, "right").problems(split)
    ]
    assert tuple(turns) in prompts
    write(folder / "rows.jsonl", [{"prompt": f"[{n}] is a list?", "answer": "2"} for n in range(9)])
    assert task_of(folder, "right").problems("train")[0].messages[0]["content"].endswith("is a list?")


def test_a_test_file_is_the_test_split(folder):
    test = write(folder / "test.jsonl", [{"prompt": "and 99 + 1?", "answer": "100", "level": 0}])
    task = task_of(folder, "right", test=test)
    assert [problem.messages[0]["content"] for problem in task.problems("test")] == ["and 99 + 1?"]
    assert len(task.problems("train")) + len(task.problems("validation")) == 40
    write(folder / "test.jsonl", ROWS[:1])
    with pytest.raises(ValueError, match=r"rows.jsonl:1: the same prompt as .*test.jsonl:1"):
        task.problems("test")


def test_rewards_are_weighted_and_summed(folder):
    task = task_of(folder, "right", "short", weights=(2.0, 0.5))
    groups = groups_of(task, "no", "it is 1234567891011121314151617181920212223242526272829303132333435363738394041")
    for scores in judged(task, groups):
        assert scores[0].parts == pytest.approx({"right": 0.0, "short": -0.1})
        assert scores[1].parts["right"] == 2.0
        assert scores[1].reward == pytest.approx(2.0 - 0.05 * len(groups[0].completions[1].text))


def test_correct_is_a_sum_at_or_above_the_threshold(folder):
    assert [
        [s.correct for s in row]
        for row in judged(task_of(folder, "sometimes"), groups_of(task_of(folder, "sometimes"), "a"))
    ] == [[False]] * 2
    task = task_of(folder, "sometimes", correct_at=0.5)
    assert [[score.correct for score in row] for row in judged(task, groups_of(task, "a", "skip"))] == [
        [True, False]
    ] * 2


def test_none_does_not_apply(folder):
    task = task_of(folder, "sometimes", "short")
    (first, second), _ = judged(task, groups_of(task, "skip", "nan!"))
    assert first.parts == second.parts == pytest.approx({"sometimes": 0.0, "short": -0.4})


def test_an_answer_that_nothing_applies_to_has_the_mean_of_its_group(folder):
    task = task_of(folder, "sometimes", correct_at=0.0)
    scores = judged(task, groups_of(task, "a", "skip", "b"))[0]
    assert [score.reward for score in scores] == [0.5] * 3
    assert [score.correct for score in scores] == [True, False, True]
    assert [score.reward for score in judged(task, groups_of(task, "skip", "skip"))[0]] == [0.0, 0.0]


def test_a_function_is_called_once_with_what_trl_passes(folder):
    task = task_of(folder, "watching")
    groups = groups_of(task, "a", "bb")
    judged(task, groups)
    seen = names_of(folder / "my.py")["seen"]
    assert len(seen) == 1
    rows = [json.loads(group.problem.gold) for group in groups for _ in range(2)]
    assert seen[0]["prompts"] == [row["prompt"] for row in rows]
    assert seen[0]["completions"] == ["a", "bb"] * 2
    assert seen[0]["completion_ids"] == [[0], [0, 1]] * 2
    assert seen[0]["answer"] == [row["answer"] for row in rows] and seen[0]["level"] == [row["level"] for row in rows]
    assert "prompt" not in seen[0] and seen[0]["trainer_state"] is None


def test_conversations_give_completions_of_turns(folder):
    rows = [
        {"prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"{n}?"}]} for n in range(9)
    ]
    task = task_of(folder, "turns", data=write(folder / "chats.jsonl", rows))
    assert [message["role"] for message in task.problems("train")[0].messages] == ["system", "user"]
    assert [score.reward for score in judged(task, groups_of(task, "a", "b"))[0]] == [1.0, 1.0]
    assert task.score(task.problems("test")[0], "a").correct


def test_async_functions_are_awaited(folder):
    task = task_of(folder, "later")
    groups = groups_of(task, "a")
    assert [row[0].reward for row in judged(task, groups)] == [
        len(group.problem.messages[0]["content"]) for group in groups
    ]


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("fails", "raised ZeroDivisionError: division by zero"),
        ("too_few", "gave 1 rewards for 4 completions"),
        ("no_numbers", "a finite number or None for each completion"),
        ("infinite", "a finite number or None for each completion"),
        ("nothing", "a finite number or None for each completion"),
    ],
)
def test_a_function_that_cannot_be_used_is_named(folder, name, complaint):
    task = task_of(folder, name)
    with pytest.raises(ValueError, match=f"my.py:{name}' .*{complaint}"):
        judged(task, groups_of(task, "a", "b"))


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"reward": "my.py"}, "give a Python file and a function in it, such as my.py:reward"),
        ({"reward": "absent.py:right"}, "there is no file absent.py"),
        ({"reward": "{folder}/my.py:wrong"}, "has no function wrong"),
        ({"reward": "{folder}/my.py:not_a_function"}, "has no function not_a_function"),
        ({"weights": (1.0, 2.0)}, "weights has 2 numbers for 1 functions"),
        ({"reward": ()}, "give a function or a list of them, or a judge with correct_at"),
    ],
)
def test_settings_that_cannot_be_used_are_named(folder, settings, complaint):
    if "{folder}" in settings.get("reward", ""):
        settings = {"reward": settings["reward"].format(folder=folder)}
    with pytest.raises(ValueError, match=complaint):
        task_of(folder, "right", **settings).problems("train")


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([{"question": "a"}], "rows.jsonl:1: field 'prompt' is missing"),
        ([{"prompt": ""}], "rows.jsonl:1: field 'prompt' is blank"),
        ([{"prompt": 5}], "rows.jsonl:1: field 'prompt' must be a text, or a list of turns"),
        ([{"prompt": []}], "rows.jsonl:1: field 'prompt' must be a text, or a list of turns"),
        ([{"prompt": ["a"]}], r"rows.jsonl:1: prompt\[0\] must be an object"),
        (
            [{"prompt": [{"role": "assistant", "content": "a"}]}],
            "rows.jsonl:1: the prompt ends with the assistant's turn",
        ),
        (
            [{"prompt": "a"}, {"prompt": [{"role": "user", "content": "b"}]}],
            "some prompts are texts and others lists",
        ),
        ([{"prompt": "a"}, {"prompt": "a"}], "rows.jsonl:2: the same prompt as .*rows.jsonl:1"),
        ([{"prompt": "a"}, {"prompt": "b"}], "2 rows, at least 3 with different prompts are needed"),
        ([{"prompt": "a", "x": float("nan")}], "rows.jsonl:1: the column .x. cannot be written as JSON"),
    ],
)
def test_rows_that_cannot_be_used_are_named(folder, rows, complaint):
    write(folder / "rows.jsonl", rows)
    with pytest.raises(ValueError, match=complaint):
        task_of(folder, "right").problems("train")


@pytest.mark.skipif(find_spec("trl") is None, reason="needs trl")
def test_the_rewards_are_those_that_trl_computes(folder):
    """TRL's own method, on a stand-in for the trainer that has what the method asks for."""
    from trl import GRPOTrainer

    names, weights = ["right", "short", "sometimes"], (1.0, 0.5, 2.0)
    task = task_of(folder, *names, weights=weights)
    groups = groups_of(task, "7", "skip this", "123456789101112131415161718192021222324252627282930", "nan")
    functions = [names_of(folder / "my.py")[name] for name in names]
    trainer = SimpleNamespace(
        accelerator=SimpleNamespace(device="cpu", is_main_process=True),
        args=SimpleNamespace(report_to=[]),
        reward_funcs=functions,
        reward_processing_classes=[None] * 3,
        reward_func_names=names,
        state=SimpleNamespace(global_step=0),
        environments=None,
        _log_completion_extra=None,
        _log_metric=None,
    )
    inputs = [json.loads(group.problem.gold) for group in groups for _ in group.completions]
    completions = [completion for group in groups for completion in group.completions]
    rewards_BF = GRPOTrainer._calculate_rewards(
        trainer,
        inputs,
        [row["prompt"] for row in inputs],
        [completion.text for completion in completions],
        [list(completion.tokens) for completion in completions],
    )
    expected = (rewards_BF * torch.tensor(weights)).nansum(dim=1)
    ours = torch.tensor([score.reward for row in judged(task, groups) for score in row])
    torch.testing.assert_close(ours, expected)
    assert len(set(ours.tolist())) > 3


def test_async_functions_run_within_a_loop_as_in_a_notebook(folder):
    task = task_of(folder, "later")

    async def cell():
        return task.score_groups(groups_of(task, "a"))

    assert asyncio.run(cell()) == task.score_groups(groups_of(task, "a"))


def test_rewards_may_be_made_one_by_one(folder):
    task = task_of(folder, "lazily")
    assert task.score_groups(groups_of(task, "a", "b"))[0][1].parts == {"lazily": 1.0}
    with pytest.raises(ValueError, match=r"endless' gave 100000 rewards for 4 completions"):
        task_of(folder, "endless").score_groups(groups_of(task, "a", "b"))


@pytest.mark.parametrize("name", ["hangs", "hangs_later"])
def test_a_call_has_a_time_limit(folder, name):
    task = task_of(folder, name, seconds=0.2)
    with pytest.raises(ValueError, match=f"my.py:{name}' has taken longer than 0.2 s"):
        task.score_groups(groups_of(task, "a"))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("fails", r"raised ZeroDivisionError: division by zero \(.*my.py, line \d+, in fails\)"),
        ("too_few", "gave 1 rewards for 4 completions"),
        ("infinite", "not infinity"),
        ("no_numbers", "not '1.0'"),
        ("nothing", "not NoneType"),
        ("by_place", "not dict"),
        ("too_large", r"not 1e\+308, beyond 1e\+30"),
        ("silent", "raised Silent: Silent, whose text could not be had"),
        ("odd", r"for each completion \(disk\)"),
        ("hangs", "has taken longer than 0.2 s"),
    ],
)
def test_failures_are_skipped_if_that_is_declared_and_said(folder, name, reason):
    task = task_of(folder, name, "short", seconds=0.2, failed="skip")
    scores = [score for row in task.score_groups(groups_of(task, "a", "bbb")) for score in row]
    assert [score.parts for score in scores] == [{name: 0.0, "short": pytest.approx(-0.1 * n)} for n in (1, 3, 1, 3)]
    assert all(re.search(reason, score.failed[name]) and list(score.failed) == [name] for score in scores)


def test_where_all_functions_fail_an_answer_has_no_advantage(folder):
    task = task_of(folder, "fails", failed="skip")
    for row in task.score_groups(groups_of(task, "a", "bbb")):
        assert [(score.parts, score.correct, score.why) for score in row] == [({"fails": 0.0}, False, "no reward")] * 2
