"""A task from the user's own file."""

import numpy
import pytest
import torch

from paring import load_run
from paring.settings.own_code import names_of
from paring.tasks.own_task import OwnTask
from paring.tasks.reward_functions import RewardFunctions
from paring.types import Completion, Group, Problem, Score

TASK = """
from paring.types import Problem, Score

class Shout:
    def problems(self, split):
        return [Problem(f"shout/{split}/{n}", ({"role": "user", "content": "shout"},), "A") for n in range(3)]

    def score(self, problem, text):
        return Score({"capitals": sum(c.isupper() for c in text) / max(1, len(text))}, text.isupper())

class Numbers(Shout):
    def score(self, problem, text):
        return 1.0

class Failing(Shout):
    def score(self, problem, text):
        if text == "no":
            raise RuntimeError("no idea")
        return Score({"right": 1.0 if text == "yes" else 0.0}, text == "yes")

class Endless(Shout):
    def score(self, problem, text):
        return Score({"right": float("inf")}, True)

class Asking(Shout):
    def __init__(self, what):
        self.what = what

class Unready(Shout):
    def __init__(self):
        raise KeyError("key")

class Lost(Shout):
    def problems(self, split):
        raise KeyError("rows")

class Nothing(Shout):
    def problems(self, split):
        return None

class Plain(Shout):
    def problems(self, split):
        return [{"prompt": "1+1="}]

class Given(Shout):
    given = None

    def problems(self, split):
        return self.given()

    def score(self, problem, text):
        return self.given()

class Empty:
    pass

not_a_class = 1
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "my.py").write_text(TASK)
    (tmp_path / "broken.py").write_text("class Shout(:\n")
    (tmp_path / "failing.py").write_text("1 / 0\n")
    return tmp_path / "my.py"


def test_its_problems_and_scores_are_those_of_the_class(file):
    task = OwnTask(path=f"{file}:Shout")
    problem = task.problems("train")[2]
    assert problem.id == "shout/train/2"
    assert task.score(problem, "AAbb").reward == 0.5
    assert task.score(problem, "AB").correct


@pytest.mark.parametrize(
    "path, complaint",
    [
        ("my.py", "such as my.py:MyTask"),
        ("my.txt:Shout", "such as my.py:MyTask"),
        ("{folder}/absent.py:Shout", "there is no file"),
        ("{folder}/my.py:Whisper", "has no class Whisper"),
        ("{folder}/my.py:not_a_class", "has no class not_a_class"),
        ("{folder}/my.py:Empty", r"Empty needs problems\(split\) and score\(problem, text\)"),
        ("{folder}/my.py:Asking", r"Asking\(\) must work without arguments \(.*what"),
        ("{folder}/my.py:Unready", r"Unready\(\) raised KeyError: 'key'"),
        ("{folder}/my.py:Lost", r"problems\('train'\) raised KeyError: 'rows' \(.*my.py, line \d+, in problems\)"),
        ("{folder}/my.py:Nothing", r"problems\('train'\) must give a list of paring.Problem, not NoneType"),
        ("{folder}/my.py:Plain", r"must give a list of paring.Problem, not of dict"),
        ("{folder}/broken.py:Shout", "broken.py cannot be run: SyntaxError"),
        ("{folder}/failing.py:Shout", "failing.py cannot be run: ZeroDivisionError: division by zero"),
    ],
)
def test_what_cannot_be_used_is_named(file, path, complaint):
    with pytest.raises(ValueError, match=complaint):
        OwnTask(path=path.format(folder=file.parent)).problems("train")


def test_a_score_that_is_none_is_named(file):
    task = OwnTask(path=f"{file}:Numbers")
    with pytest.raises(ValueError, match=r"my.py:Numbers': score\(\) gave float; return a Score"):
        task.score(task.problems("train")[0], "A")


TURN = {"role": "user", "content": "q"}


def fails():
    raise RuntimeError("no idea")


def given_by(file, given):
    """A task whose problems and scores are these."""
    task = OwnTask(path=f"{file}:Given")
    names_of(file)["Given"].given = staticmethod(given)
    return task


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (fails, r"raised RuntimeError: no idea \("),
        (lambda: None, "must give a list of paring.Problem, not NoneType"),
        (lambda: [1], "must give a list of paring.Problem, not of int"),
        (lambda: [Problem(7, (TURN,), "5")], "id is int, a text is needed"),
        (lambda: [Problem("a", (TURN,), 5)], "gold is int, a text is needed"),
        (lambda: [Problem("a", "q", "5")], "messages must be turns"),
        (lambda: [Problem("a", ({"role": "bot", "content": "q"},), "5")], "role 'bot' must be one of"),
        (lambda: [Problem("a", (TURN, TURN | {"role": "assistant"}), "5")], "ends with the assistant's turn"),
    ],
)
def test_problems_that_are_none_are_named(file, given, complaint):
    with pytest.raises(ValueError, match=rf"my.py:Given': problems\('train'\) ?.*{complaint}"):
        given_by(file, given).problems("train")


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (lambda: Score([1.0], True), "gave parts that are list; give a number by name"),
        (lambda: Score({"a": "1"}, True), "gave the part 'a' a reward that is not finite: '1'"),
        (lambda: Score({"a": 1e308}, True), "gave the part 'a' a reward that is not finite: 1e\\+308"),
        (lambda: Score({1: 1.0}, True), "gave the part 1 a reward"),
        (lambda: Score({"a": 1.0}, None), "gave correct=None; give True or False"),
    ],
)
def test_scores_that_are_none_are_named(file, given, complaint):
    with pytest.raises(ValueError, match=rf"my.py:Given': score\(\) {complaint}"):
        given_by(file, given).score(Problem("p", (TURN,), "A"), "A")


def test_scores_of_numpy_and_torch_are_plain_numbers(file):
    given = Score({"a": numpy.float32(0.5), "b": torch.tensor(2), "c": 1}, numpy.bool_(True))
    score = given_by(file, lambda: given).score(Problem("p", (TURN,), "A"), "A")
    assert score == Score({"a": 0.5, "b": 2.0, "c": 1}, True) and type(score.correct) is bool
    assert [type(part) for part in score.parts.values()] == [float, float, int]


def test_its_name_follows_from_its_path(file):
    path = f"{file}:Shout"
    assert load_run("quickstart", **{"task.path": path}).task == OwnTask(path=path)
    assert load_run("smollm2-arithmetic", task={"path": path}).task == OwnTask(path=path)  # without its task.largest
    rollout = "problems = 1\ngroup_size = 2\nmax_new_tokens = 4\n"
    (file.parent / "mine.toml").write_text(f"steps = 1\n[task]\npath = '{path}'\n[rollout]\n{rollout}")
    assert load_run(file.parent / "mine.toml").task == OwnTask(path=path)
    with pytest.raises(ValueError, match="task.path: exists, but not for the kind that is chosen"):
        load_run("quickstart", **{"task.path": path, "task.name": "arithmetic"})


def test_reward_functions_are_named_by_their_setting():
    run = load_run("quickstart", **{"task.reward": "my.py:reward", "task.data": "rows.jsonl"})
    assert run.task == RewardFunctions(reward="my.py:reward", data="rows.jsonl")
    several = load_run("quickstart", **{"task.reward": ["a.py:f", "b.py:g"], "task.data": "rows.jsonl"})
    assert several.task.reward == ("a.py:f", "b.py:g")


def test_an_answer_without_a_score_is_left_out_if_that_is_declared(file):
    problem, texts = Problem("p", (), "A"), ("yes", "no", "maybe")
    group = Group(problem, (1,), tuple(Completion((1,), (0.0,), text, True) for text in texts))
    with pytest.raises(ValueError, match=r"score\(\) raised RuntimeError: no idea \(.*my.py, line \d+, in score\)"):
        OwnTask(path=f"{file}:Failing").score_groups([group])
    [[yes, no, maybe]] = OwnTask(path=f"{file}:Failing", failed="skip").score_groups([group])
    assert [one.reward for one in (yes, no, maybe)] == [1.0, 0.5, 0.0] and not no.correct
    assert "no idea" in no.failed["score"] and not yes.failed
    with pytest.raises(ValueError, match=r"gave the part 'right' a reward that is not finite: inf"):
        OwnTask(path=f"{file}:Endless").score(problem, "a")
