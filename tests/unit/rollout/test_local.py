"""The local engine against transformers' generate and against exact distributions; what must not show in its result."""

import pytest
import torch

from paring.policy.packing import Shared, pack
from paring.rollout.engine import Sampling
from paring.rollout.local import LocalEngine
from paring.types import Key, Problem

KEY = Key(seed=0, step=1)
PROMPTS = [[5], [9, 8, 7, 6, 5, 4, 3, 2, 1], [20, 30, 40], [11, 50, 13, 51, 17, 52, 19, 53, 23, 54, 29, 55]]


def problem(prompt) -> Problem:
    """Without a chat template the prompt is exactly these tokens."""
    words = " ".join(f"w{token}" for token in prompt)
    return Problem(id=words, messages=({"role": "user", "content": words},), gold="")


PROBLEMS = [problem(prompt) for prompt in PROMPTS]


def generated(model, ends, limit):
    """transformers' own greedy answers, cut after their first end."""
    longest = max(map(len, PROMPTS))
    token_PN = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in PROMPTS])
    real_PN = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in PROMPTS])
    out = model.generate(
        token_PN,
        attention_mask=real_PN,
        do_sample=False,
        max_new_tokens=limit,
        eos_token_id=sorted(ends),
        pad_token_id=0,
    )
    answers = []
    for answer in out[:, longest:].tolist():
        stop = next((place for place, token in enumerate(answer) if token in ends), limit - 1)
        answers.append(tuple(answer[: stop + 1]))
    return answers


def greedy(policy, limit, **engine):
    groups = LocalEngine(policy, **engine).sample(PROBLEMS, 2, Sampling(max_new_tokens=limit, temperature=0.0), KEY)
    assert [group.prompt for group in groups] == [tuple(prompt) for prompt in PROMPTS]
    for group in groups:
        assert group.completions[0] == group.completions[1]
    return [group.completions[0] for group in groups]


@pytest.mark.parametrize("limit", [1, 7, 75])
def test_greedy_is_transformers_generate(family, tiny, make_policy, with_adapters, limit):
    """75 tokens are more than two blocks of the cache and more than the window of the family that has one."""
    plain = tiny(family)
    with_adapters(plain)
    policy = make_policy(family)
    answers = [answer.tokens for answer in greedy(policy, limit)]
    assert answers == generated(plain, policy.ends, limit)
    assert max(map(len, answers)) == limit


def test_several_ends_cut_answers_where_generate_does(family, tiny, make_policy, with_adapters):
    plain = tiny(family)
    with_adapters(plain)
    policy = make_policy(family)
    free = [answer.tokens for answer in greedy(policy, 40)]
    policy.model.generation_config.eos_token_id = [answer[len(answer) // 3] for answer in free[:2]]
    answers = greedy(policy, 30)
    assert [answer.tokens for answer in answers] == generated(plain, policy.ends, 30)
    assert [answer.ended for answer in answers] == [answer.tokens[-1] in policy.ends for answer in answers]
    assert answers[0].ended and len(answers[0].tokens) < len(free[0])
    for answer in answers:
        assert not policy.ends.intersection(answer.tokens[:-1])
        said = answer.tokens[:-1] if answer.ended else answer.tokens
        assert answer.text == " ".join(f"w{token}" for token in said)


def test_an_answer_that_reaches_the_limit_has_ended_only_if_its_last_token_says_so(make_policy):
    policy = make_policy()
    cut = greedy(policy, 2)[1]
    assert len(cut.tokens) == 2 and cut.tokens[0] != cut.tokens[1] and not cut.ended
    policy.model.generation_config.eos_token_id = [cut.tokens[1]]
    ended = greedy(policy, 2)[1]
    assert ended.tokens == cut.tokens and ended.ended
    assert ended.text == f"w{cut.tokens[0]}"


@pytest.fixture
def talkative(make_policy):
    """Samples answers of very different lengths: one token in ten ends one."""

    def make(family="llama"):
        policy = make_policy(family)
        policy.model.generation_config.eos_token_id = [1, 2, 3, 4, 5, 6]
        return policy

    return make


def sampled(policy, problems=PROBLEMS, group_size=5, limit=45, **engine):
    return LocalEngine(policy, **engine).sample(problems, group_size, Sampling(max_new_tokens=limit), KEY)


def tokens_of(groups):
    return [[answer.tokens for answer in group.completions] for group in groups]


def test_neither_the_other_problems_nor_the_waves_show(family, talkative):
    policy = talkative(family)
    together = tokens_of(sampled(policy))
    assert len({len(answer) for group in together for answer in group}) > 5
    assert [tokens_of(sampled(policy, [one]))[0] for one in PROBLEMS] == together
    assert tokens_of(sampled(policy, PROBLEMS[::-1]))[::-1] == together
    for rows in (1, 5, 12):
        assert tokens_of(sampled(policy, rows=rows)) == together


def test_neither_the_group_s_size_nor_the_limit_shows(talkative):
    together = tokens_of(sampled(talkative()))
    assert tokens_of(sampled(talkative(), group_size=3)) == [group[:3] for group in together]
    assert tokens_of(sampled(talkative(), limit=6)) == [[answer[:6] for answer in group] for group in together]


@pytest.mark.parametrize("temperature", [0.7, 1.3])
def test_recorded_log_probs_are_those_that_training_computes(family, talkative, temperature):
    policy = talkative(family)
    sampling = Sampling(max_new_tokens=45, temperature=temperature)
    groups = LocalEngine(policy).sample(PROBLEMS, 5, sampling, KEY)
    batch = pack(
        [Shared(group.prompt, [answer.tokens for answer in group.completions]) for group in groups], policy.device
    )
    logp_BT = policy.log_probs(batch, temperature=temperature).detach()
    answers = [answer for group in groups for answer in group.completions]
    for logp_T, answer in zip(logp_BT, answers, strict=True):
        torch.testing.assert_close(
            logp_T[: len(answer.tokens)], torch.tensor(answer.logprobs), rtol=0, atol=1e-4, check_dtype=False
        )


def test_first_tokens_have_the_frequencies_of_the_model(tiny, make_policy, with_adapters):
    plain = tiny()
    with_adapters(plain)
    expected_V = 4000 * torch.softmax(plain(torch.tensor([PROMPTS[2]])).logits[0, -1] / 1.5, -1).detach()
    sampling = Sampling(max_new_tokens=1, temperature=1.5)
    (group,) = LocalEngine(make_policy()).sample([PROBLEMS[2]], 4000, sampling, KEY)
    found_V = torch.bincount(torch.tensor([answer.tokens[0] for answer in group.completions]), minlength=64)
    # Tokens that are expected less than five times count as one, as the test of chi-square asks.
    often_V = expected_V >= 5
    found_N, expected_N = (torch.cat([V[often_V], V[~often_V].sum()[None]]) for V in (found_V, expected_V))
    freedom = len(expected_N) - 1
    assert freedom > 10
    assert float(((found_N - expected_N).square() / expected_N).sum()) < freedom + 4 * (2 * freedom) ** 0.5


def test_members_of_a_group_and_steps_differ(talkative):
    (group,) = sampled(talkative(), [PROBLEMS[1]], group_size=8)
    assert len({answer.tokens for answer in group.completions}) == 8
    (later,) = LocalEngine(talkative()).sample([PROBLEMS[1]], 8, Sampling(max_new_tokens=45), Key(seed=0, step=2))
    assert tokens_of([later]) != tokens_of([group])


def test_adapters_change_what_is_said(talkative):
    policy = talkative()
    with policy.reference():
        reference = tokens_of(sampled(policy))
    assert reference != tokens_of(sampled(policy))


def test_sampling_leaves_the_global_generator_alone(talkative):
    before = torch.random.get_rng_state()
    sampled(talkative())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_no_problems_no_groups(make_policy):
    assert LocalEngine(make_policy()).sample([], 4, Sampling(max_new_tokens=3), KEY) == []


def test_a_prompt_that_leaves_no_room_is_refused(make_policy):
    policy = make_policy(max_position_embeddings=20)
    LocalEngine(policy).sample([PROBLEMS[3]], 2, Sampling(max_new_tokens=8), KEY)  # 12 + 8 just fit
    with pytest.raises(
        ValueError, match=r"its prompt of 12 tokens and rollout\.max_new_tokens = 9 exceed .* 20 tokens"
    ):
        LocalEngine(policy).sample([PROBLEMS[3]], 2, Sampling(max_new_tokens=9), KEY)
