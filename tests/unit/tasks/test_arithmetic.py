"""The embedded task: its problems, its splits, and how it judges answers, hostile ones among them."""

import re
import time
from hashlib import blake2b

import pytest

from paring.tasks.arithmetic import Arithmetic
from paring.types import Problem

TASK = Arithmetic()
PROBLEM = Problem(id="arithmetic/17+11+4", messages=({"role": "user", "content": "17+11+4="},), gold="32")
FALLING = Problem(id="arithmetic/40-11+4", messages=({"role": "user", "content": "40-11+4="},), gold="33")


def expression(problem: Problem) -> str:
    return problem.messages[0]["content"].removesuffix("=")


def every_expression() -> dict[str, int]:
    """All problems by the plainest enumeration: expression -> result."""
    found = {}
    for a in range(1, 100):
        for b in (*range(-19, 0), *range(1, 20)):
            for c in (*range(-19, 0), *range(1, 20)):
                if 0 <= a + b <= 99 and 0 <= a + b + c <= 99:
                    found[f"{a}{b:+d}{c:+d}"] = a + b + c
    return found


def digest(text: str) -> int:
    return int(blake2b(text.encode(), digest_size=8).hexdigest(), 16)


def test_splits_are_the_whole_task_cut_by_hash():
    results = every_expression()
    ordered = sorted(results, key=digest)
    held_out = [text for text in ordered if digest(text) % 8 == 0]
    train = [text for text in ordered if digest(text) % 8 != 0]
    splits = {"train": train, "validation": held_out[:500], "test": held_out[500:1000]}
    for split, expected in splits.items():
        problems = list(TASK.problems(split))
        assert [expression(problem) for problem in problems] == expected
        assert [problem.gold for problem in problems] == [str(results[text]) for text in expected]
    assert len(train) == 104_890


def test_the_splits_are_pinned():
    """A change of the hash would let trained-on problems slip into the held-out ones, unnoticed."""
    assert TASK.problems("train")[0].id == "arithmetic/33+1-16"
    assert TASK.problems("test")[-1].id == "arithmetic/2+12-11"


def test_a_problem_is_the_same_by_index_slice_and_iteration():
    problems = TASK.problems("validation")
    listed = list(problems)
    assert len(problems) == len(listed) == 500
    assert problems[-1] == listed[-1] == problems[400:][99]
    assert list(problems[10:13]) == listed[10:13]
    assert problems.index(listed[7]) == 7
    with pytest.raises(IndexError):
        problems[500]


def test_problem_carries_its_expression():
    problem = TASK.problems("train")[0]
    message, worked = {"role": "user", "content": "33+1-16="}, "33+1=34;34-16=18<answer>18</answer>"
    assert problem == Problem("arithmetic/33+1-16", (message,), "18", worked)


@pytest.mark.parametrize(
    ("text", "correct", "well_formed", "working"),
    [
        ("<answer>32</answer>", True, True, False),
        ("17+11=28;28+4=32<answer>32</answer>", True, True, True),
        ("17 + 11 = 28;\n28 + 4 = 32 <answer> 32 </answer>\n", True, True, True),
        ("I think <answer>032</answer>", True, True, False),
        ("<answer>33</answer>", False, True, False),
        ("<answer>-32</answer>", False, True, False),
        ("17+11=28;28+4=32<answer>33</answer>", False, True, True),
        ("17+11=28;28+4=32<answer>32", False, False, True),
        ("17+11=28;28+4=32", False, False, False),
        ("17+11=29;29+4=33<answer>32</answer>", True, True, False),
        ("17+11=28<answer>32</answer>", True, True, False),
        ("28+4=32<answer>32</answer>", True, True, False),
        ("17+11=28;17+4=21<answer>32</answer>", True, True, False),
        ("17+11=28;28+4=32;32+0=32<answer>32</answer>", True, True, False),
        ("17+11=28;28+4=32;<answer>32</answer>", True, True, False),
        ("16+12=28;28+4=32<answer>32</answer>", True, True, False),
        ("32", False, False, False),
        ("", False, False, False),
        ("<answer></answer>", False, False, False),
        ("<answer>thirty-two</answer>", False, False, False),
        ("<answer>32.0</answer>", False, False, False),
        ("<answer>16+16</answer>", False, False, False),
        ("</answer>32<answer>", False, False, False),
        ("<answer>32</answer>.", False, False, False),
        ("<answer>32</answer><answer>32</answer>", False, False, False),
        ("<answer><answer>32</answer>", False, False, False),
        ("<answer>31</answer></answer>", False, False, False),
        ("<answer>٣٢</answer>", False, False, False),
    ],
)
def test_scores(text, correct, well_formed, working):
    score = TASK.score(PROBLEM, text)
    assert score.parts == {"correct": float(correct), "format": 0.1 if well_formed else 0.0}
    assert score.correct is correct
    assert score.traits == {"working": working, "self_correction": False}
    assert score.reward == pytest.approx(correct + 0.1 * well_formed)


def test_a_corrected_step_is_seen():
    score = TASK.score(PROBLEM, "17+11=27;17+11=28;28+4=32<answer>32</answer>")
    assert score.traits == {"working": False, "self_correction": True}


def test_working_with_a_difference():
    assert TASK.score(FALLING, "40-11=29;29+4=33<answer>33</answer>").traits["working"]
    assert not TASK.score(FALLING, "40+11=51;51+4=55<answer>33</answer>").traits["working"]


@pytest.mark.parametrize(
    "text",
    [
        "<answer>" + "9" * 1_000_000 + "</answer>",
        "<answer>" + " " * 1_000_000,
        "<answer>" + " " * 500_000 + "1" + " " * 500_000 + "x</answer>",
        "1+1=" * 300_000 + "<answer>",
        ";" * 1_000_000 + "<answer>32</answer>;",
        "9" * 1_000_000 + "+1=1<answer>",
        "<answer>" * 100_000 + "</answer>" * 100_000,
        "\x00\ud800<answer>\u202e</answer>",
    ],
)
def test_hostile_text_is_worth_nothing_and_costs_little(text):
    start = time.perf_counter()
    score = TASK.score(PROBLEM, text)
    assert time.perf_counter() - start < 2
    assert score.reward == 0 and not any(score.traits.values())


def test_every_train_problem_is_rewarded_for_its_gold_and_worked_answer():
    for problem in TASK.problems("train")[:300]:
        a, b, c = re.fullmatch(r"(\d+)([+-]\d+)([+-]\d+)", expression(problem)).groups()
        middle = int(a) + int(b)
        worked = f"{a}{b}={middle};{middle}{c}={problem.gold}<answer>{problem.gold}</answer>"
        score = TASK.score(problem, worked)
        assert score.reward == 1.1 and score.traits["working"]


def test_unknown_setting_is_refused():
    with pytest.raises(ValueError, match="digits"):
        Arithmetic(digits=3)


def test_solutions_are_worked_and_right():
    """Solutions of all four pairs of signs; the worked example is that of the class's docstring."""
    task = Arithmetic()
    problems = list(task.problems("train")[:400])
    assert {"".join(sign for sign in one.id if sign in "+-") for one in problems} == {"++", "+-", "-+", "--"}
    for problem in problems:
        score = task.score(problem, problem.solution)
        assert score.reward == 1.1 and score.traits["working"]
    [known] = [one for one in task.problems("train") if one.id == "arithmetic/17+11+4"]
    assert known.solution == "17+11=28;28+4=32<answer>32</answer>"
