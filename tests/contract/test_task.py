"""What every task promises: splits that are apart and stable, and a check that no text can upset."""

import json
import random
import string
from inspect import getattr_static

import pytest

from paring.tasks.arithmetic import Arithmetic
from paring.tasks.base import Task
from paring.tasks.chains import Chains
from paring.tasks.countdown import Countdown
from paring.tasks.countdown_tiny import CountdownTiny
from paring.tasks.gsm8k import Gsm8k
from paring.tasks.own_task import OwnTask
from paring.tasks.questions import Questions
from paring.tasks.reward_functions import RewardFunctions
from paring.tasks.sums_products import SumsAndProducts
from paring.types import Problem, Score

SPLITS = ("train", "validation", "test")
FEW = 40

HOSTILE = [
    "",
    " \n\t",
    "\x00\x1b[2J\ud800\u202e",
    "<answer>" * 1000,
    "</answer><answer>",
    "<answer></answer>",
    "<answer>__import__('os').system('true')</answer>",
    "9" * 100_000,
    "<answer>" + "9" * 100_000 + "</answer>",
    "<answer>-</answer>",
    "<answer>٣</answer>",
    "<answer>1e999</answer>",
    "<answer>nan</answer>",
    "#### " * 1000,
    "<think>" * 1000 + "</think>" * 1000,
    "=" * 100_000,
    "1+" * 50_000,
    "(" * 100_000,
    "🙂" * 10_000,
]


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def gsm8k(folder):
    for name, numbers in {"train": range(600), "test": range(600, 650)}.items():
        rows = [{"question": f"How much is {n} + 1?", "answer": f"{n} + 1 = {n + 1}\n#### {n + 1}"} for n in numbers]
        jsonl(folder / f"{name}.jsonl", rows)
    return Gsm8k(data=str(folder), train_problems=60)


def questions_of_numbers(folder):
    rows = ({"question": f"How much is {n} + 1?", "answer": str(n + 1)} for n in range(50))
    return Questions(data=str(jsonl(folder / "own.jsonl", rows)))


def questions_of_words(folder):
    rows = ({"question": f"Which word is number {n}?", "answer": f"Wörd {n} ß"} for n in range(50))
    return Questions(data=str(jsonl(folder / "own.jsonl", rows)))


def custom(folder):
    (folder / "own.py").write_text(
        "from paring.tasks.sums_products import SumsAndProducts\n"
        "class Own:\n"
        "    problems = staticmethod(SumsAndProducts(largest=5).problems)\n"
        "    score = staticmethod(SumsAndProducts(largest=5).score)\n"
    )
    return OwnTask(path=f"{folder / 'own.py'}:Own")


def reward_functions(folder):
    (folder / "rewards.py").write_text(
        "def right(completions, answer, **columns):\n"
        "    return [float(text == gold) for text, gold in zip(completions, answer)]\n"
    )
    rows = ({"prompt": f"How much is {n} + 1?", "answer": str(n + 1)} for n in range(50))
    return RewardFunctions(data=str(jsonl(folder / "rows.jsonl", rows)), reward=f"{folder / 'rewards.py'}:right")


def in_tags(gold):
    return f"<answer>{gold}</answer>"


# A task, and how its gold is written as an answer of its format.
TASKS = {
    "arithmetic": (lambda _: Arithmetic(), in_tags),
    "chains": (lambda _: Chains(), in_tags),
    "countdown": (lambda _: Countdown(), "<think> so it is </think> <answer> {} </answer>".format),
    "countdown-tiny": (lambda _: CountdownTiny(), in_tags),
    "reward-functions": (reward_functions, lambda gold: json.loads(gold)["answer"]),
    "sums-and-products": (lambda _: SumsAndProducts(), "{}".format),
    "gsm8k": (gsm8k, "<think> so it is </think> <answer> {} </answer>".format),
    "questions of numbers": (questions_of_numbers, in_tags),
    "questions of words": (questions_of_words, in_tags),
    "custom": (custom, "{}".format),
}


@pytest.fixture(scope="module", params=TASKS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def make(name, tmp_path_factory):
    """Makes the task; each call gives a new one on the same data."""
    folder = tmp_path_factory.mktemp("data")
    return lambda: TASKS[name][0](folder)


@pytest.fixture(scope="module")
def task(make):
    return make()


@pytest.fixture
def written(name):
    return TASKS[name][1]


def test_it_has_the_name_of_the_recipes(task):
    assert isinstance(task.name, str) and task.name


def test_the_protocol_asks_for_no_name_that_can_be_set():
    """Else no frozen class would be a Task for a type checker, and no shipped one is of any other kind."""
    assert isinstance(getattr_static(Task, "name"), property)


def test_problems_are_whole(task):
    for split in SPLITS:
        problems = task.problems(split)
        assert len(problems) > 0
        for problem in problems[:FEW]:
            assert isinstance(problem, Problem) and problem.id and problem.gold
            assert problem.messages[-1]["role"] == "user" and problem.messages[-1]["content"]


def test_splits_share_no_problem_and_ids_are_unique(task):
    seen = [(problem.id, problem.messages) for split in SPLITS for problem in task.problems(split)]
    assert len({name for name, _ in seen}) == len(seen)
    assert len({str(messages) for _, messages in seen}) == len(seen)


def test_splits_are_always_the_same(task, make):
    for split in SPLITS:
        again = make().problems(split)
        assert list(again[:FEW]) == list(task.problems(split)[:FEW])
        assert again[len(again) - 1] == task.problems(split)[len(again) - 1]


def test_the_gold_is_right_in_the_task_s_own_format(task, written):
    for split in SPLITS:
        problems = list(task.problems(split)[:FEW])
        best = [task.score(problem, written(problem.gold)) for problem in problems]
        assert all(score.correct and score.reward > 0 for score in best)
        # No answer earns more: the gold of one problem is not that of all others.
        others = [task.score(problem, written(other.gold)) for problem in problems[:9] for other in problems[:9]]
        assert not all(score.correct for score in others) or len({problem.gold for problem in problems[:9]}) == 1
        assert max(score.reward for score in others) <= max(score.reward for score in best)


def test_every_score_has_the_same_parts_and_traits(task, written):
    problem = task.problems("train")[0]
    expected = task.score(problem, written(problem.gold))
    for text in HOSTILE:
        score = task.score(problem, text)
        assert (score.parts.keys(), score.traits.keys()) == (expected.parts.keys(), expected.traits.keys())


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_a_value(task, text):
    problem = task.problems("test")[0]
    score = task.score(problem, text)
    assert isinstance(score, Score) and isinstance(score.correct, bool)
    assert not score.correct
    assert 0 <= score.reward < task.score(problem, text).reward + 1e-9
    assert score == task.score(problem, text)


def test_random_text_is_scored_the_same_each_time(task, written):
    random_text = random.Random(0)
    pieces = [
        *string.digits,
        "<answer>",
        "</answer>",
        "<think>",
        "</think>",
        "####",
        "\n",
        "-",
        "+",
        "=",
        ";",
        ".",
        ",",
    ]
    problem = task.problems("train")[0]
    for _ in range(300):
        text = "".join(random_text.choices([*pieces, problem.gold, "\ud800", "é"], k=random_text.randrange(20)))
        score = task.score(problem, text)
        assert score == task.score(problem, text)
        assert score.reward <= task.score(problem, written(problem.gold)).reward
