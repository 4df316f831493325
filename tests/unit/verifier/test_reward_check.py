"""A reward of the user's own, tried: what it gets wrong, hangs on, raises on or executes is said."""

import pytest

from paring.verifier.reward_check import check_reward

REWARDS = r'''
import re, time
from paring.types import Score
from paring.verifier import Gold
from paring.verifier.verdicts import NeedsAlgebra, decide

def ours(completions, solution, **columns):
    return [float(decide(Gold.read(gold), text).correct) for text, gold in zip(completions, solution)]

def of_chats(completions, answer):
    return ours([chat[0]["content"] for chat in completions], answer)

def last_number(completions, answer):
    """Takes any number that stands last, is slow on one text, and raises on another."""
    rewards = []
    for text, gold in zip(completions, answer):
        if "\x00" in text:
            raise RuntimeError("a nul")
        if text.count("<answer>") > 1:
            time.sleep(60)
        numbers = re.findall(r"-?[0-9.]+", text)
        rewards.append(0.1 + (bool(numbers) and numbers[-1].strip(".") == gold))
    return rewards

def executing(completions, answer):
    rewards = []
    for text, gold in zip(completions, answer):
        found = re.findall(r"boxed\{(.*)\}", text)
        try:
            short = bool(found) and len(found[-1]) < 99 and not re.search(r"9\^|\*\*", found[-1])
            rewards.append(float(short and eval(found[-1]) == eval(gold)))
        except Exception:
            rewards.append(0.0)
    return rewards

def constant(completions, **columns):
    return [1.0 for _ in completions]

class Task:
    def score(self, problem, text):
        correct = decide(Gold.read(problem.gold), text).correct
        return Score({"correct": float(correct)}, correct)

number = 5
'''


@pytest.fixture
def file(tmp_path):
    (tmp_path / "my.py").write_text(REWARDS)
    return tmp_path / "my.py"


@pytest.mark.parametrize("name", ["ours", "of_chats", "Task"])
def test_a_reward_that_decides_all_has_no_faults(file, name):
    checked = check_reward(f"{file}:{name}")
    assert (checked.faults, checked.not_taken, checked.style, checked.threshold) == ((), (), "a box", 0.5)
    assert checked.answers > 90 and checked.slowest_seconds < 5
    assert checked.lines()[-1] == f"{checked.answers} passed, 0 failed"


def test_what_a_naive_reward_does_is_said(file):
    checked = check_reward(f"{file}:last_number", seconds=1.0)
    assert checked.threshold == pytest.approx(0.6)
    assert "rejects '18.0' for '18' (reward 0.1)" in checked.faults
    assert "hostile, a nul: raises RuntimeError: a nul" in checked.faults
    assert "hostile, open tags: no answer in time" in checked.faults
    assert "hostile, no box: accepted (reward 1.1)" in checked.faults
    assert "(1,2)" in checked.not_taken
    assert not any("code" in fault for fault in checked.faults)


def test_a_reward_that_executes_answers_is_found_out(file):
    assert "it runs code that stands in an answer" in check_reward(f"{file}:executing", seconds=2.0).faults


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("{file}", "my.py:reward"),
        ("absent.py:reward", "there is no file absent.py"),
        ("{file}:absent", "has no function absent"),
        ("{file}:number", "has no function number"),
        ("{file}:constant", "no greater for 18 than for 19"),
    ],
)
def test_what_cannot_be_tried_is_an_error(file, path, complaint):
    with pytest.raises(ValueError, match=complaint):
        check_reward(path.format(file=file))
