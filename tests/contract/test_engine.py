"""What every rollout engine promises: the groups that were asked for, as a pure function of the arguments."""

import math
import os
from dataclasses import replace

import pytest
import torch

from paring.adapters.attach import attach, set_ranks
from paring.adapters.kinds import L1ra, Lora
from paring.policy.loading import Model, load_base
from paring.policy.model import Policy
from paring.policy.packing import packed
from paring.rollout.engine import Sampling
from paring.rollout.local import LocalEngine
from paring.rollout.noise import restricted
from paring.rollout.served.connecting import connect
from paring.rollout.served.published import Shelf
from paring.rollout.served.reference_server import Listening, Reference
from paring.tasks.arithmetic import Arithmetic
from paring.types import Key, Problem


def served(policy, shelf, url):
    """By a server that is at work already."""
    return connect(policy, shelf, [url], longest=64, rank=16, patience=30.0)


ENGINES = {
    "local": lambda policy, _, __: LocalEngine(policy),
    "local, few rows": lambda policy, _, __: LocalEngine(policy, rows=5),
    "served": served,
}
SAMPLING = Sampling(max_new_tokens=24)
PROBLEMS = list(Arithmetic().problems("train")[:4])
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
def url():
    """A server with vLLM's routes: PARING_TEST_SERVER where it is given, such as a real one, else the reference."""
    if given := os.environ.get("PARING_TEST_SERVER"):
        yield given
        return
    with Listening(Reference(max_rank=32)) as server:
        yield server.url


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    return Shelf(tmp_path_factory.mktemp("run") / "published", "embedded")


@pytest.fixture(scope="module")
def engine(engine_name, policy, shelf, url):
    return ENGINES[engine_name](policy, shelf, url)


@pytest.fixture(scope="module")
def groups(engine):
    return engine.sample(PROBLEMS, 4, SAMPLING, KEY)


def tokens_of(groups):
    return [[completion.tokens for completion in group.completions] for group in groups]


def test_a_group_for_each_problem_in_their_order(groups):
    assert [group.problem for group in groups] == PROBLEMS
    assert [len(group.completions) for group in groups] == [4] * 4
    assert len({group.prompt for group in groups}) == 4


def test_no_problems_no_groups(engine):
    assert engine.sample([], 4, SAMPLING, KEY) == []


def test_the_same_key_gives_the_same_answers(engine, groups):
    assert tokens_of(engine.sample(PROBLEMS, 4, SAMPLING, KEY)) == tokens_of(groups)


@pytest.mark.parametrize("key", [Key(seed=3, step=8), Key(seed=4, step=7)])
def test_another_key_gives_others(engine, groups, key):
    assert tokens_of(engine.sample(PROBLEMS, 4, SAMPLING, key)) != tokens_of(groups)


def test_members_of_a_group_differ(groups):
    assert sum(len(set(members)) for members in tokens_of(groups)) > 4 * 2


def test_neither_company_nor_order_nor_group_size_shows(engine, groups):
    """The embedded model has no near ties on these problems, so not even rounding shows."""
    expected = tokens_of(groups)
    assert tokens_of(engine.sample(PROBLEMS[::-1], 4, SAMPLING, KEY)) == expected[::-1]
    assert tokens_of(engine.sample(PROBLEMS[2:3], 4, SAMPLING, KEY)) == expected[2:3]
    assert tokens_of(engine.sample(PROBLEMS, 2, SAMPLING, KEY)) == [members[:2] for members in expected]


def test_a_problem_drawn_again_is_sampled_anew(engine):
    """Twice in a step with G members, it has the answers of a group of 2 G here; servers draw by a seed a group."""
    twice = [PROBLEMS[0], replace(PROBLEMS[0], draw=1)]
    first, second = tokens_of(engine.sample(twice, 3, SAMPLING, KEY))
    assert first != second and first == tokens_of(engine.sample(PROBLEMS[:1], 3, SAMPLING, KEY))[0]
    if engine.reproduces == "bytes":
        assert [first + second] == tokens_of(engine.sample(PROBLEMS[:1], 6, SAMPLING, KEY))


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


def test_what_is_published_stays_and_what_is_trained_moves(policy_with_adapters, engine_name, shelf, url):
    """The engine itself follows the adapters; what it published before goes on as they were."""
    for adapter in policy_with_adapters.adapters.values():
        adapter.B_OR.data.zero_()
    engine = ENGINES[engine_name](policy_with_adapters, shelf, url)
    before = tokens_of(engine.sample(PROBLEMS, 2, SAMPLING, KEY))
    published = engine.publish()
    for adapter in policy_with_adapters.adapters.values():
        adapter.B_OR.data.normal_(std=0.5, generator=torch.Generator().manual_seed(0))
    after = tokens_of(engine.sample(PROBLEMS, 2, SAMPLING, KEY))
    assert after != before
    assert tokens_of(published.sample(PROBLEMS, 2, SAMPLING, KEY)) == before
    assert tokens_of(engine.sample(PROBLEMS, 2, SAMPLING, KEY)) == after
    assert published.reproduces == engine.reproduces


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probs_are_those_of_the_policy(engine, policy, temperature):
    sampling = replace(SAMPLING, temperature=temperature)
    assert_log_probs_are_those_of(policy, engine.sample(PROBLEMS, 4, sampling, KEY), temperature)


def test_greedy_answers_are_those_of_the_local_engine(engine, policy):
    greedy = replace(SAMPLING, temperature=0.0)
    assert tokens_of(engine.sample(PROBLEMS, 2, greedy, KEY)) == tokens_of(
        LocalEngine(policy).sample(PROBLEMS, 2, greedy, KEY)
    )


@pytest.mark.parametrize("restriction", [{"top_p": 0.7}, {"top_k": 2}])
def test_nothing_is_drawn_outside_what_is_left(engine, restriction):
    base, _ = load_base(Model())
    sampling = replace(SAMPLING, **restriction)
    groups = engine.sample(PROBLEMS, 2, sampling, KEY)
    for group in groups:
        for completion in group.completions:
            whole = torch.tensor([[*group.prompt, *completion.tokens]])
            probs_TV = base(whole).logits[0, len(group.prompt) - 1 : -1].double().softmax(-1)
            left_TV = restricted(probs_TV, sampling)
            assert all(left_TV[place, token] > 0 for place, token in enumerate(completion.tokens))


@pytest.mark.parametrize("keep_stop", [False, True])
def test_a_stop_string_ends_an_answer(engine, groups, keep_stop):
    """The answers without it, up to the token that completes it."""
    stopped = engine.sample(PROBLEMS, 4, replace(SAMPLING, stop=("2", "4"), keep_stop=keep_stop), KEY)
    cut = 0
    for group, whole in zip(stopped, groups, strict=True):
        for one, other in zip(group.completions, whole.completions, strict=True):
            assert one.tokens == other.tokens[: len(one.tokens)]
            place = min((other.text.find(stop) for stop in "24" if stop in other.text), default=None)
            assert one.text == (other.text if place is None else other.text[: place + keep_stop])
            cut += place is not None
    assert cut > 2


def test_adapters_of_many_ranks_and_of_none_are_served_as_they_are_trained(engine_name, shelf, url):
    """Gated: ranks 0 to 5, one module without any component, and one whose gates are all at 0."""
    base, tokenizer = load_base(Model())
    adapters = attach(base, L1ra(rank=5), seed=0)
    set_ranks(adapters, {path: place % 6 for place, path in enumerate(adapters)})
    generator = torch.Generator().manual_seed(1)
    for adapter in adapters.values():
        adapter.A_RI.data.normal_(std=0.2, generator=generator)
        adapter.B_OR.data.normal_(std=0.2, generator=generator)
        adapter.c_R.data.uniform_(0.2, 1.0, generator=generator)
    list(adapters.values())[1].c_R.data.zero_()
    policy = Policy(base, tokenizer, adapters)
    engine = ENGINES[engine_name](policy, shelf, url)
    assert_log_probs_are_those_of(policy, engine.sample(PROBLEMS, 2, SAMPLING, KEY), 1.0)


def assert_log_probs_are_those_of(policy, groups, temperature):
    with torch.no_grad():
        own_BT = policy.log_probs(packed(groups, policy.device), temperature=temperature).tolist()
    completions = [completion for group in groups for completion in group.completions]
    for completion, own_T in zip(completions, own_BT, strict=True):
        assert completion.logprobs == pytest.approx(own_T[: len(completion.tokens)], abs=1e-4)
