"""What every rollout engine promises: the groups that were asked for, as a pure function of the arguments."""

import math
from dataclasses import replace

import pytest
import torch

from paring.adapters.attach import attach
from paring.adapters.kinds import Lora
from paring.policy.loading import Model, load_base
from paring.policy.model import Policy
from paring.rollout.engine import Sampling
from paring.rollout.local import LocalEngine
from paring.tasks.arithmetic import Arithmetic
from paring.types import Key, Problem

ENGINES = {"local": LocalEngine, "local, few rows": lambda policy: LocalEngine(policy, rows=5)}
SAMPLING = Sampling(max_new_tokens=24)
PROBLEMS = list(Arithmetic().problems("train")[:6])
KEY = Key(seed=3, step=7)


@pytest.fixture(scope="module")
def policy():
    return Policy(*load_base(Model()), {})


@pytest.fixture(scope="module")
def policy_with_adapters():
    base, tokenizer = load_base(Model())
    return Policy(base, tokenizer, attach(base, Lora(), seed=0))


@pytest.fixture(scope="module", params=ENGINES)
def engine_name(request):
    return request.param


@pytest.fixture(scope="module")
def engine(engine_name, policy):
    return ENGINES[engine_name](policy)


@pytest.fixture(scope="module")
def groups(engine):
    return engine.sample(PROBLEMS, 4, SAMPLING, KEY)


def tokens_of(groups):
    return [[completion.tokens for completion in group.completions] for group in groups]


def test_a_group_for_each_problem_in_their_order(groups):
    assert [group.problem for group in groups] == PROBLEMS
    assert [len(group.completions) for group in groups] == [4] * 6
    assert len({group.prompt for group in groups}) == 6


def test_no_problems_no_groups(engine):
    assert engine.sample([], 4, SAMPLING, KEY) == []


def test_the_same_key_gives_the_same_answers(engine, groups):
    assert tokens_of(engine.sample(PROBLEMS, 4, SAMPLING, KEY)) == tokens_of(groups)


@pytest.mark.parametrize("key", [Key(seed=3, step=8), Key(seed=4, step=7)])
def test_another_key_gives_others(engine, groups, key):
    assert tokens_of(engine.sample(PROBLEMS, 4, SAMPLING, key)) != tokens_of(groups)


def test_members_of_a_group_differ(groups):
    assert sum(len(set(members)) for members in tokens_of(groups)) > 6 * 2


def test_neither_company_nor_order_nor_group_size_shows(engine, groups):
    """The embedded model has no near ties on these problems, so not even rounding shows."""
    expected = tokens_of(groups)
    assert tokens_of(engine.sample(PROBLEMS[::-1], 4, SAMPLING, KEY)) == expected[::-1]
    assert tokens_of(engine.sample(PROBLEMS[2:3], 4, SAMPLING, KEY)) == expected[2:3]
    assert tokens_of(engine.sample(PROBLEMS, 2, SAMPLING, KEY)) == [members[:2] for members in expected]


def test_a_problem_drawn_again_is_sampled_anew(engine):
    """Twice in a step with G members, it has the answers of a group of 2 G."""
    [whole] = tokens_of(engine.sample(PROBLEMS[:1], 6, SAMPLING, KEY))
    twice = [PROBLEMS[0], replace(PROBLEMS[0], draw=1)]
    assert tokens_of(engine.sample(twice, 3, SAMPLING, KEY)) == [whole[:3], whole[3:]]


def test_a_shorter_limit_cuts_and_changes_nothing_else(engine, groups):
    for short, whole in zip(engine.sample(PROBLEMS, 4, Sampling(max_new_tokens=4), KEY), groups, strict=True):
        for one, other in zip(short.completions, whole.completions, strict=True):
            assert one.tokens == other.tokens[:4]
            assert one.ended == (len(other.tokens) <= 4 and other.ended)


def test_ended_means_that_the_last_token_ends_an_answer_and_no_earlier_one_does(groups, policy):
    completions = [completion for group in groups for completion in group.completions]
    for completion in completions:
        assert 1 <= len(completion.tokens) <= 24
        assert completion.ended == (completion.tokens[-1] in policy.ends)
        assert not policy.ends & set(completion.tokens[:-1])
        assert completion.ended or len(completion.tokens) == 24
    assert any(completion.ended for completion in completions)


def test_the_text_is_without_the_end(groups, policy):
    for group in groups:
        for completion in group.completions:
            own = completion.tokens[:-1] if completion.ended else completion.tokens
            assert completion.text == policy.tokenizer.decode(own, skip_special_tokens=True)


def test_a_log_prob_for_each_token(groups):
    for group in groups:
        for completion in group.completions:
            assert len(completion.logprobs) == len(completion.tokens)
            assert all(logprob <= 0 and math.isfinite(logprob) for logprob in completion.logprobs)


def test_greedy_answers_are_all_the_same_whatever_the_key(engine):
    greedy = Sampling(max_new_tokens=24, temperature=0.0)
    one = tokens_of(engine.sample(PROBLEMS, 3, greedy, KEY))
    assert all(len(set(members)) == 1 for members in one)
    assert tokens_of(engine.sample(PROBLEMS, 3, greedy, Key(0, 0))) == one


def test_a_prompt_without_room_is_refused_by_name(engine):
    long = Problem("test/long", ({"role": "user", "content": "1+" * 100},), "1")
    with pytest.raises(ValueError, match=r"problem test/long: .* context of 128 tokens"):
        engine.sample([long], 2, SAMPLING, KEY)


def test_what_is_published_stays_and_what_is_trained_moves(policy_with_adapters, engine_name):
    """The engine itself follows the adapters; what it published before goes on as they were."""
    for adapter in policy_with_adapters.adapters.values():
        adapter.B_OR.data.zero_()
    engine = ENGINES[engine_name](policy_with_adapters)
    before = tokens_of(engine.sample(PROBLEMS, 2, SAMPLING, KEY))
    published = engine.publish()
    for adapter in policy_with_adapters.adapters.values():
        adapter.B_OR.data.normal_(std=0.5, generator=torch.Generator().manual_seed(0))
    after = tokens_of(engine.sample(PROBLEMS, 2, SAMPLING, KEY))
    assert after != before
    assert tokens_of(published.sample(PROBLEMS, 2, SAMPLING, KEY)) == before
    assert tokens_of(engine.sample(PROBLEMS, 2, SAMPLING, KEY)) == after
    assert published.reproduces == engine.reproduces
