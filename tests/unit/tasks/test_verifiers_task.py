"""Environments of verifiers: replies and rewards of a game and of a single turn, and what is refused."""

import sys
from importlib.metadata import version

import pytest

from paring.tasks.verifiers_task import VerifiersTask

FILE = """
import itertools
import verifiers as vf
from datasets import Dataset

ROWS = [{"question": f"which of {n}?", "answer": str(n)} for n in range(16)]
count = itertools.count()

def text(message):
    return message["content"] if isinstance(message, dict) else message.content

def found(completion, answer, **more):
    return float(any(text(message) == answer for message in completion))

class Guess(vf.MultiTurnEnv):
    async def env_response(self, messages, state, **more):
        if text(messages[-1]) == state["answer"]:
            state["final_env_response"] = [{"role": "user", "content": "yes"}]
        return [{"role": "user", "content": f"not {text(messages[-1])}"}]

class Fickle(Guess):
    async def env_response(self, messages, state, **more):
        return [{"role": "user", "content": f"{next(count)}"}]

class Failing(Guess):
    async def env_response(self, messages, state, **more):
        raise KeyError("lost")

def of(kind, **more):
    return kind(dataset=Dataset.from_list(ROWS), rubric=vf.Rubric(funcs=[found]), **more)

def game(turns=3):
    return of(Guess, max_turns=turns)

def single():
    return vf.SingleTurnEnv(dataset=Dataset.from_list(ROWS), rubric=vf.Rubric(funcs=[found]))

def fickle():
    return of(Fickle)

def failing():
    return of(Failing)

def nothing():
    return None
"""


TASKSETS = """
import verifiers.v1 as vf

class Data(vf.TaskData):
    answer: str

class Sum(vf.Task[Data]):
    @vf.reward
    async def right(self, trace) -> float:
        return float(trace.last_reply == self.data.answer)

    @vf.reward(weight=0.5)
    async def short(self, trace) -> float:
        return float(len(trace.last_reply) < 4)

class Broken(Sum):
    @vf.reward
    async def right(self, trace) -> float:
        raise KeyError("lost")

class Working(Sum):
    async def setup(self, trace, runtime):
        return None

class Looking(Sum):
    @vf.reward
    async def right(self, trace, runtime) -> float:
        return 1.0

class Open(Sum):
    pass

def of(kind, prompt=True, endless=False):
    class Own(vf.Taskset[kind]):
        INFINITE = endless

        def load(self):
            for n in range(16):
                asked = f"{n}+1=" if prompt else None
                yield kind(Data(prompt=asked, system_prompt="Add.", answer=str(n + 1)), self.config.task)

    return Own(vf.TasksetConfig(id="own"))

def sums():
    return of(Sum)

def broken():
    return of(Broken)

def working():
    return of(Working)

def looking():
    return of(Looking)

def simulated():
    return of(Sum, prompt=False)

def endless():
    return of(Sum, endless=True)

def nothing():
    return None
"""


@pytest.fixture(scope="module")
def of_a_taskset(tmp_path_factory):
    pytest.importorskip("verifiers", reason="needs verifiers from 0.4 on")
    if version("verifiers") < "0.4":
        pytest.skip("needs verifiers from 0.4 on")
    file = tmp_path_factory.mktemp("tasksets") / "tasksets.py"
    file.write_text(TASKSETS, encoding="utf-8")
    return lambda name, **more: VerifiersTask(environment=f"{file}:{name}", **more)


def test_a_taskset_asks_and_scores_one_answer(of_a_taskset):
    task = of_a_taskset("sums")
    problem, [reply] = talked(task, "{}")
    assert problem.messages[0] == {"role": "system", "content": "Add."} and problem.messages[1]["content"].endswith(
        "+1="
    )
    assert not reply.turns and reply.score.parts == {"right": 1.0, "short": 0.5} and reply.score.correct
    wrong = task.score(problem, "no idea")
    assert wrong.parts == {"right": 0.0, "short": 0.0} and not wrong.correct
    assert [len(task.problems(split)) for split in ("train", "validation", "test")] == [12, 2, 2]


def test_a_reward_of_a_taskset_that_fails_stops_or_is_left_out(of_a_taskset):
    with pytest.raises(ValueError, match="its reply raised TaskError: .*KeyError: 'lost'"):
        talked(of_a_taskset("broken"), "1")
    _, [reply] = talked(of_a_taskset("broken", failed="skip"), "1")
    assert "KeyError" in next(iter(reply.score.failed.values()))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("working", "its Working needs a machine to work in"),
        ("looking", "its Looking needs a machine to work in"),
        ("simulated", "a task has no prompt: simulated users are not taken"),
        ("endless", "gives tasks without end: bound it"),
        ("nothing", "gave NoneType; it must give a taskset of verifiers"),
    ],
)
def test_a_taskset_that_needs_more_than_an_answer_is_refused(of_a_taskset, name, expected):
    with pytest.raises(ValueError, match=expected):
        of_a_taskset(name).problems("train")


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    pytest.importorskip("verifiers.envs.environment", reason="needs verifiers below 0.3")
    file = tmp_path_factory.mktemp("environments") / "of_verifiers.py"
    file.write_text(FILE, encoding="utf-8")

    def of(name, **more):
        return VerifiersTask(environment=f"{file}:{name}", **more)

    return of


def talked(task, *answers):
    """The problem, and the replies to these answers."""
    problem, turns, replies = task.problems("train")[0], [], []
    for answer in answers:
        turns.append({"role": "assistant", "content": answer.format(problem.gold)})
        replies.append(problem.environment.reply(turns))
        turns += replies[-1].turns
    return problem, replies


def test_a_game_of_several_turns_is_replied_to_and_scored_at_its_end(task):
    problem, (first, second) = talked(task("game"), "x", "{}")
    assert problem.messages == ({"role": "user", "content": f"which of {problem.gold}?"},)
    assert first.turns == ({"role": "user", "content": "not x"},) and first.score.reward == 0
    assert not second.turns and second.score.parts == {"reward": 1.0} and second.score.correct
    _, replies = talked(task("game", arguments={"turns": 2}), "x", "y")
    assert not replies[-1].turns and replies[-1].score.reward == 0


def test_a_single_turn_is_an_end(task):
    problem, [reply] = talked(task("single"), "{}")
    assert not reply.turns and reply.score.correct and task("single").score(problem, problem.gold).correct
    splits = [task("single").problems(split) for split in ("train", "validation", "test")]
    assert [len(one) for one in splits] == [12, 2, 2] and len({one.id for part in splits for one in part}) == 16


@pytest.mark.parametrize(
    ("name", "answers", "expected"),
    [
        ("fickle", ("a", "b"), "it replies otherwise to the same answers"),
        ("failing", ("a",), "raised KeyError: 'lost'"),
    ],
)
def test_one_that_fails_stops_or_is_left_out(task, name, answers, expected):
    with pytest.raises(ValueError, match=rf"task.environment = .*:{name}'.*{expected}"):
        talked(task(name), *answers)
    _, replies = talked(task(name, failed="skip"), *answers)
    assert expected in next(iter(replies[-1].score.failed.values()))


def test_what_is_no_environment_is_refused(task):
    with pytest.raises(ValueError, match="gave NoneType; it must give an environment of verifiers"):
        task("nothing").problems("train")
    with pytest.raises(ValueError, match="cannot be loaded"):
        VerifiersTask(environment="no-such-environment").problems("train")


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "verifiers", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "paring\[verifiers\]"'):
        VerifiersTask(environment="absent").problems("train")
