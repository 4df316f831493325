"""The engine that answers with solutions: as an answer is written, up to its end, and refused where there is none."""

import re
from dataclasses import replace

import pytest

from paring.policy.loading import Model, load_base
from paring.policy.model import Policy
from paring.rollout.engine import Sampling
from paring.rollout.local import LocalEngine
from paring.rollout.teacher import Teacher
from paring.tasks.arithmetic import Arithmetic
from paring.types import Key

PROBLEMS = list(Arithmetic().problems("train")[:5])
SAMPLING, KEY = Sampling(max_new_tokens=40), Key(0, 1)


@pytest.fixture(scope="module")
def policy():
    return Policy(*load_base(Model()), {})


def test_its_answers_are_the_solutions(policy):
    groups = Teacher(policy).sample(PROBLEMS, 2, SAMPLING, KEY)
    assert [group.problem for group in groups] == PROBLEMS
    for group in groups:
        assert len(group.completions) == 2 and len(set(group.completions)) == 1
        [completion, _] = group.completions
        assert completion.text == group.problem.solution
        assert completion.ended and completion.tokens[-1] in policy.ends
        assert not policy.ends & set(completion.tokens[:-1])
        assert completion.logprobs == (0.0,) * len(completion.tokens)
        assert Arithmetic().score(group.problem, completion.text).reward == 1.1


def test_its_prompts_are_those_that_are_sampled_from(policy):
    sampled = LocalEngine(policy).sample(PROBLEMS, 1, Sampling(max_new_tokens=1), KEY)
    assert [group.prompt for group in Teacher(policy).sample(PROBLEMS, 1, SAMPLING, KEY)] == [
        group.prompt for group in sampled
    ]


def test_what_it_cannot_teach_is_named(policy):
    with pytest.raises(
        ValueError, match=rf"problem {re.escape(PROBLEMS[0].id)} has no worked solution.* objective.kind"
    ):
        Teacher(policy).sample([replace(PROBLEMS[0], solution="")], 1, SAMPLING, KEY)
    with pytest.raises(ValueError, match=r"its solution has \d\d tokens, more than rollout.max_new_tokens = 5: raise"):
        Teacher(policy).sample(PROBLEMS, 1, Sampling(max_new_tokens=5), KEY)
    with pytest.raises(ValueError, match="context of 128 tokens"):
        Teacher(policy).sample([replace(PROBLEMS[0], solution="1+" * 70)], 1, Sampling(max_new_tokens=999), KEY)


def test_a_tokenizer_without_a_template_ends_a_solution_too(make_policy):
    problem = replace(PROBLEMS[0], messages=({"role": "user", "content": "w1 w2"},), solution="w3 w4")
    [group] = Teacher(make_policy()).sample([problem], 1, SAMPLING, KEY)
    assert (group.prompt, group.completions[0].tokens) == ((1, 2), (3, 4, 63))
