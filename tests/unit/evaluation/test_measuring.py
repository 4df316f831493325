"""Measuring: an engine answers, the task judges, and the record counts."""

from paring.evaluation.measuring import measure
from paring.maths.estimates import bootstrap_interval, wilson_interval
from paring.rollout.engine import Sampling
from paring.types import Completion, Group, Key, Problem, Score

GREEDY = Sampling(max_new_tokens=4, temperature=0.0)
SAMPLED = Sampling(max_new_tokens=4, temperature=0.7)


class Echo:
    """A task of ten problems, whose answer is right if it is the gold."""

    name = "echo"

    def problems(self, split):
        return [Problem(f"echo/{split}/{n}", ({"role": "user", "content": str(n)},), str(n)) for n in range(10)]

    def score(self, problem, text):
        right = text == problem.gold
        return Score({"correct": float(right)}, right, {"long_answer": len(text) > 1, "never": False})


class Scripted:
    """Answers problem n with n while n < 6, then with "wrong"; every second answer to a problem is "wrong" too.
    Answers have as many tokens as letters, and those of four or more are cut off."""

    def __init__(self):
        self.asked = []

    def sample(self, problems, group_size, sampling, key):
        self.asked.append(([problem.id for problem in problems], group_size, sampling, key))
        return [Group(problem, (1,), tuple(map(self._answer(problem), range(group_size)))) for problem in problems]

    def _answer(self, problem):
        def member(number):
            text = problem.gold if int(problem.gold) < 6 and number % 2 == 0 else "wrong"
            return Completion((1,) * len(text), (0.0,) * len(text), text, len(text) < 4)

        return member


def test_one_answer_a_problem():
    engine = Scripted()
    evaluation, items = measure(engine, Echo(), "test", limit=8, sampling=GREEDY)
    assert engine.asked == [([f"echo/test/{n}" for n in range(8)], 1, GREEDY, Key(seed=0, step=0))]
    assert (evaluation.problems, evaluation.samples, evaluation.correct, evaluation.accuracy) == (8, 1, 6, 0.75)
    assert evaluation.interval == wilson_interval(6, 8)
    assert evaluation.traits == {"long_answer": 0.25, "never": 0.0}
    assert evaluation.length == (6 * 1 + 2 * 5) / 8
    assert (evaluation.length_correct, evaluation.length_wrong) == (1, 5)
    assert evaluation.truncated == 0.25
    assert [item.answers[0].correct for item in items] == [True] * 6 + [False] * 2
    assert [(item.problem, item.question, item.gold) for item in items[:1]] == [("echo/test/0", "0", "0")]


def test_several_answers_a_problem_are_resampled_by_problem():
    evaluation, _ = measure(Scripted(), Echo(), "validation", limit=100, sampling=SAMPLED, samples=2, key=Key(3, 4))
    assert (evaluation.problems, evaluation.samples, evaluation.correct, evaluation.accuracy) == (10, 2, 6, 0.3)
    assert evaluation.interval == bootstrap_interval([0.5] * 6 + [0.0] * 4, seed=0)
    assert evaluation.split == "validation"


def test_there_is_no_mean_length_of_answers_that_are_not_there():
    evaluation, _ = measure(Scripted(), Echo(), "test", limit=2, sampling=GREEDY)
    assert (evaluation.length_correct, evaluation.length_wrong) == (1, None)


def test_as_plain_values():
    evaluation, _ = measure(Scripted(), Echo(), "test", limit=2, sampling=GREEDY)
    plain = evaluation.as_plain()
    assert plain["interval"] == list(evaluation.interval)
    assert plain["task"] == "echo" and plain["correct"] == 2
