"""The uniform numbers of a completion, and the tokens and log-probs that come of them."""

import math

import numpy as np
import pytest
import torch

from paring.rollout.engine import Sampling
from paring.rollout.noise import draw, restricted, uniforms
from paring.types import Key

BASE = (Key(seed=1, step=2), "task/3", 4)


def sampling(**changes) -> Sampling:
    return Sampling(max_new_tokens=1, **changes)


def draws(probabilities, uniform_B, **changes):
    """Tokens drawn from one distribution, a row for each uniform number."""
    logit_BV = torch.tensor(probabilities).log().expand(len(uniform_B), -1)
    return draw(logit_BV, torch.as_tensor(uniform_B, dtype=torch.float32), sampling(**changes))


def test_a_longer_draw_begins_with_the_shorter():
    assert (uniforms(*BASE, 1000)[:17] == uniforms(*BASE, 17)).all()


@pytest.mark.parametrize(
    "other",
    [
        (Key(seed=9, step=2), "task/3", 4),
        (Key(seed=1, step=9), "task/3", 4),
        (Key(seed=2, step=1), "task/3", 4),
        (Key(seed=1, step=2), "task/9", 4),
        (Key(seed=1, step=2), "task/3", 9),
    ],
)
def test_every_part_of_the_key_counts(other):
    assert not np.isin(uniforms(*BASE, 100), uniforms(*other, 100)).any()


def test_the_numbers_are_the_same_on_every_machine():
    """A change here would change what every seed samples."""
    assert uniforms(Key(0, 1), "a", 0, 3) == pytest.approx([0.201245249888, 0.764168554924, 0.408030579945])


def test_uniform():
    value_N = np.sort(uniforms(*BASE, 50_000))
    assert 0 <= value_N[0] and value_N[-1] < 1
    assert value_N.mean() == pytest.approx(1 / 2, abs=4 * math.sqrt(1 / 12 / 50_000))
    assert value_N.var() == pytest.approx(1 / 12, abs=0.001)
    # Kolmogorov-Smirnov: 1.95 / sqrt(n) is passed by one in a thousand.
    assert np.abs(value_N - np.arange(50_000) / 50_000).max() < 1.95 / math.sqrt(50_000)


def test_first_numbers_of_different_members_and_problems_are_uniform_too():
    value_N = np.sort([uniforms(Key(0, 1), f"p/{n}", member, 1)[0] for n in range(250) for member in range(8)])
    assert np.abs(value_N - np.arange(2000) / 2000).max() < 1.95 / math.sqrt(2000)


def test_keys_give_seeds_of_their_own():
    numbers = {Key(seed, step).number() for seed in range(20) for step in range(20)}
    assert len(numbers) == 400
    assert all(0 <= number < 2**63 for number in numbers)


@pytest.mark.parametrize("temperature", [1.0, 0.5, 1.8])
def test_frequencies_are_those_of_the_softmax(temperature):
    logit_V = torch.tensor([1.2, -0.3, 0.0, 2.0, -1.5, 0.7, -0.9])
    uniform_B = torch.from_numpy(uniforms(*BASE, 20_000)).float()
    token_B, _ = draw(logit_V.expand(20_000, -1), uniform_B, sampling(temperature=temperature))
    expected_V = 20_000 * torch.softmax(logit_V / temperature, -1)
    chi_square = float(((torch.bincount(token_B, minlength=7) - expected_V).square() / expected_V).sum())
    assert chi_square < 22.5  # 6 degrees of freedom: passed by one in a thousand


def test_a_token_is_where_its_share_of_the_unit_interval_is():
    token_B, _ = draws([0.25, 0.5, 0.25], [0.0, 0.2499, 0.2501, 0.7499, 0.7501, 0.9999])
    assert token_B.tolist() == [0, 0, 1, 1, 2, 2]


def test_log_prob_by_hand():
    # At temperature 0.7 the odds 2:1 become 2^(1/0.7):1 = 2.6918:1.
    token_B, logp_B = draws([2 / 3, 1 / 3], [0.1, 0.99], temperature=0.7)
    assert token_B.tolist() == [0, 1]
    assert logp_B.tolist() == pytest.approx([math.log(2.691800 / 3.691800), math.log(1 / 3.691800)], abs=1e-5)


def test_log_prob_is_that_of_the_whole_distribution():
    _, logp_B = draws([0.5, 0.3, 0.2], [0.0], top_k=1)
    assert logp_B.tolist() == pytest.approx([math.log(0.5)])


def test_greedy_takes_the_likeliest_and_no_noise():
    token_B, logp_B = draws([0.2, 0.5, 0.3], [0.0, 0.5, 0.999], temperature=0.0)
    assert token_B.tolist() == [1, 1, 1]
    assert logp_B.tolist() == pytest.approx([math.log(0.5)] * 3)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_nothing_without_probability_is_ever_drawn(temperature):
    logit_V = torch.full((1000,), -math.inf)
    logit_V[400:403] = torch.tensor([0.1, 0.2, 0.3])
    last = np.nextafter(np.float32(1), np.float32(0))
    uniform_B = torch.tensor([0.0, 1e-45, 0.5, 1 - 2**-20, last, 1.0])  # fp32 rounds the largest fp64 to 1
    token_B, logp_B = draw(logit_V.expand(6, -1), uniform_B, sampling(temperature=temperature))
    assert ((400 <= token_B) & (token_B < 403)).all()
    assert logp_B.isfinite().all()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_the_ends_of_the_unit_interval_in_a_large_vocabulary(scale):
    logit_BV = scale * torch.randn(20, 50_000, generator=torch.Generator().manual_seed(0))
    for end in (0.0, 1.0):
        token_B, logp_B = draw(logit_BV, torch.full((20,), end), sampling())
        assert logp_B.isfinite().all() and (token_B < 50_000).all()


@pytest.mark.parametrize("vocabulary", [1, 7, 127, 128, 129, 1000, 49_152])
def test_segments_of_the_vocabulary_do_not_show(vocabulary):
    """The token is where one running sum over the whole vocabulary, in fp64, passes the uniform number."""
    generator = torch.Generator().manual_seed(vocabulary)
    logit_BV = 3 * torch.randn(200, vocabulary, generator=generator)
    uniform_B = torch.rand(200, generator=generator, dtype=torch.float64)
    token_B, logp_B = draw(logit_BV, uniform_B, sampling())
    cdf_BV = torch.softmax(logit_BV.double(), -1).cumsum(-1)
    after_B1, before_B1 = cdf_BV.gather(-1, token_B[:, None]), cdf_BV.gather(-1, (token_B[:, None] - 1).clamp(min=0))
    before_B1 = before_B1.masked_fill(token_B[:, None] == 0, 0.0)
    # fp32 weights: where the number falls within rounding of a token's edge, its neighbour is as right.
    assert (before_B1[:, 0] - 1e-6 <= uniform_B).all() and (uniform_B <= after_B1[:, 0] + 1e-6).all()
    torch.testing.assert_close(
        logp_B, torch.log_softmax(logit_BV, -1).gather(-1, token_B[:, None])[:, 0], rtol=1e-5, atol=1e-5
    )


def test_frequencies_across_segments():
    """Weights at both ends of a large vocabulary, and in between nothing."""
    logit_V = torch.full((700,), -math.inf)
    logit_V[[0, 127, 128, 511, 699]] = torch.tensor([0.1, 0.2, 0.3, 0.25, 0.15]).log()
    token_B, _ = draw(logit_V.expand(20_000, -1), torch.from_numpy(uniforms(*BASE, 20_000)), sampling())
    found_V = torch.bincount(token_B, minlength=700)[[0, 127, 128, 511, 699]]
    expected_V = 20_000 * torch.tensor([0.1, 0.2, 0.3, 0.25, 0.15])
    assert int(found_V.sum()) == 20_000
    assert float(((found_V - expected_V).square() / expected_V).sum()) < 18.5  # 4 degrees of freedom, one in a thousand


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_logits_that_are_not_finite_are_a_value_not_an_error(bad, temperature):
    """The log-prob then stops the update; an index past the vocabulary would end the run without a word of why."""
    logit_BV = torch.tensor([[0.0, bad, 1.0], [0.0, 1.0, 2.0]])
    token_B, logp_B = draw(logit_BV, torch.tensor([0.9, 0.9]), sampling(temperature=temperature))
    assert 0 <= token_B[0] < 3 and logp_B[0].isnan()
    assert token_B[1] == 2 and logp_B[1].isfinite()


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({"top_k": 2}, [0.0, 0.5, 0.25, 0.0]),
        ({"top_k": 9}, [0.125, 0.5, 0.25, 0.125]),
        # The smallest set that holds the mass: 0.5 is enough for 0.5, 0.75 for all up to 0.75.
        ({"top_p": 0.5}, [0.0, 0.5, 0.0, 0.0]),
        ({"top_p": 0.51}, [0.0, 0.5, 0.25, 0.0]),
        ({"top_p": 0.75}, [0.0, 0.5, 0.25, 0.0]),
        ({"top_p": 1e-6}, [0.0, 0.5, 0.0, 0.0]),
        # After top-k the mass is that of what is left: 0.5 of 0.75 is less than 0.7 of it.
        # At least half as likely as the likeliest, which has 0.5.
        ({"min_p": 0.5}, [0.0, 0.5, 0.25, 0.0]),
        ({"min_p": 0.51}, [0.0, 0.5, 0.0, 0.0]),
        ({"min_p": 0.25, "top_k": 2}, [0.0, 0.5, 0.25, 0.0]),
        ({"top_k": 2, "top_p": 0.7}, [0.0, 0.5, 0.25, 0.0]),
        ({"top_k": 2, "top_p": 0.6}, [0.0, 0.5, 0.0, 0.0]),
    ],
)
def test_restricted_by_hand(changes, left):
    assert restricted(torch.tensor([[0.125, 0.5, 0.25, 0.125]]), sampling(**changes)).tolist() == [left]


def test_a_rollout_from_a_later_member_draws_what_a_longer_one_draws_there():
    whole = [uniforms(Key(3, 1), "a", member, 5) for member in range(4)]
    later = [uniforms(Key(3, 1, member=2), "a", member, 5) for member in range(2)]
    assert np.array_equal(whole[2:], later)


def test_rows_are_restricted_each_for_itself():
    prob_BV = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]])
    assert (restricted(prob_BV, sampling(top_p=0.6)) > 0).tolist() == [[True, False, False], [False, False, True]]


def test_restricted_frequencies():
    token_B, _ = draws([0.125, 0.5, 0.25, 0.125], uniforms(*BASE, 20_000), top_k=2)
    assert token_B.unique().tolist() == [1, 2]
    assert float((token_B == 1).float().mean()) == pytest.approx(2 / 3, abs=0.012)


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": -0.1}, {"top_p": 0.0}, {"top_p": 1.1}, {"top_k": -1}, {"min_p": 1.1}, {"temperature": math.nan}],
)
def test_sampling_that_means_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        sampling(**wrong)
