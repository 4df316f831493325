"""An environment of the user's own, and what a hostile one can do: it is stopped, or its conversation is left out."""

import pytest

from paring.tasks.base import judged
from paring.tasks.own_task import OwnTask
from paring.types import Completion, Group, Score

FILE = '''
import time
from paring import Problem, Reply, Score

class Echo:
    """Says everything back, twice."""

    def problems(self, split):
        return [Problem(f"echo/{split}/{n}", ({"role": "user", "content": f"say {split} {n}"},), "") for n in range(3)]

    def reply(self, problem, turns):
        said = turns[-1]["content"]
        turns.clear()
        return Reply(said if len(said) < 3 else None, Score({"short": 0.5}, len(said) >= 3))

class Raises(Echo):
    def reply(self, problem, turns):
        raise KeyError("lost")

class Hangs(Echo):
    def reply(self, problem, turns):
        time.sleep(60)

class Exits(Echo):
    def reply(self, problem, turns):
        raise SystemExit(0)

class Nothing(Echo):
    def reply(self, problem, turns):
        return None

class Infinite(Echo):
    def reply(self, problem, turns):
        return Reply(score=Score({"short": float("nan")}, True))

class Unscored(Echo):
    def reply(self, problem, turns):
        return Reply("on", 1.0)

class Torn(Echo):
    def reply(self, problem, turns):
        return Reply("half \\ud800 a pair")

class Roleless(Echo):
    def reply(self, problem, turns):
        return Reply(({"content": "x"},))
'''
FAULTS = {
    "Raises": r"raised KeyError: 'lost' \(.*own.py, line \d+, in reply\)",
    "Hangs": "has taken longer than 0.2 s",
    "Exits": "called sys.exit",
    "Nothing": "gave NoneType; return a paring.Reply",
    "Infinite": "gave the part 'short' a reward that is not finite: nan",
    "Unscored": "gave float; return a Score",
    "Torn": "half a surrogate pair",
    "Roleless": 'must be an object with "role" and "content"',
}


@pytest.fixture
def environment(tmp_path):
    (tmp_path / "own.py").write_text(FILE, encoding="utf-8")

    def of(name, **more):
        return OwnTask(path=f"{tmp_path / 'own.py'}:{name}", seconds=0.2, **more)

    return of


def answered(task, *texts):
    """The reply to these answers, of which the class cannot change the list."""
    problem = task.problems("train")[0]
    turns = [{"role": "assistant", "content": text} for text in texts]
    reply = problem.environment.reply(turns)
    assert len(turns) == len(texts)
    return problem, reply


def test_its_replies_are_those_of_the_class(environment):
    problem, reply = answered(environment("Echo", answers=5), "hi")
    assert reply.turns == ({"role": "user", "content": "hi"},) and reply.score.parts == {"short": 0.5}
    assert problem.most_answers == 5
    assert not answered(environment("Echo"), "hi", "hello")[1].turns
    assert environment("Echo").score(problem, "hello").correct


@pytest.mark.parametrize("name", FAULTS)
def test_one_that_fails_ends_the_run_with_the_reason(environment, name):
    with pytest.raises(ValueError, match=rf"task.path = .*own.py:{name}'.*{FAULTS[name]}"):
        answered(environment(name), "hi")


@pytest.mark.parametrize("name", FAULTS)
def test_or_leaves_the_conversation_out_where_failures_are_skipped(environment, name):
    problem, reply = answered(environment(name, failed="skip"), "hi")
    [reason] = reply.score.failed.values()
    assert not reply.turns and name in reason
    others = [Completion((1,), (0.0,), "", True, scores=(Score({"short": part}, True),)) for part in (0.25, 0.75)]
    failing = Completion((1,), (0.0,), "", True, scores=(Score({"short": 9.0}, True), reply.score))
    [scores] = judged(environment(name), [Group(problem, (1,), (*others, failing))])
    assert scores[2].parts == {"short": 0.5} and not scores[2].correct and scores[2].failed
