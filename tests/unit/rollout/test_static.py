"""Decoding with fixed sizes: the tokens of the plain way, without a wait in a step, at the same places each time."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from paring.policy.model import Policy
from paring.rollout import local, room, static
from paring.rollout.engine import Sampling
from paring.rollout.local import Decoding, LocalEngine, check_decodes
from paring.rollout.noise import uniforms
from paring.rollout.packed_policy import Sampler, sampler
from paring.rollout.static import StaticDecoding, power_of_two
from paring.types import Key, Problem

PROMPTS = [(5, 9, 22), (7,), (1, 2, 3, 4, 5, 6, 8, 9), (30, 31), (40, 3, 17, 12)]
GROUP, MOST = 3, 20
CPU = torch.device("cpu")
WAITING = (
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "equal",
    "_unique2",
    "unique_dim",
    "bincount",
    "is_nonzero",
)


def noise(prompts=PROMPTS, most=MOST):
    rows = [uniforms(Key(3, 1), str(number), member, most) for number in range(len(prompts)) for member in range(GROUP)]
    return np.stack(rows)


def plain(policy: Policy, weights: Sampler, sampling: Sampling, groups: int) -> Decoding:
    decoding = Decoding(weights, PROMPTS, GROUP, sampling, noise(), policy.ends, policy.device)
    decoding.run(groups)
    return decoding


def fixed(policy: Policy, weights: Sampler, sampling: Sampling, groups: int, ends=None) -> StaticDecoding:
    chosen = policy.ends if ends is None else ends
    decoding = StaticDecoding(weights, PROMPTS, GROUP, sampling, noise(), chosen, policy.device)
    decoding.run(groups)
    return decoding


def assert_same(ours, theirs):
    assert ours.length_B.tolist() == theirs.length_B.tolist()
    for row, length in enumerate(theirs.length_B.tolist()):
        assert ours.token_BT[row, :length].tolist() == theirs.token_BT[row, :length].tolist()
        torch.testing.assert_close(ours.logp_BT[row, :length], theirs.logp_BT[row, :length], rtol=0, atol=2e-5)


@pytest.fixture(autouse=True)
def often(monkeypatch):
    """Small enough for all that a long rollout meets to happen within 20 tokens."""
    monkeypatch.setattr(static, "CHECK_EVERY", 3)
    monkeypatch.setattr(static, "LEAST_SLOTS", 4)


@pytest.mark.parametrize("groups", [1, 2, 5, 9])
@torch.no_grad()
def test_tokens_are_those_of_the_plain_way(make_policy, family, groups):
    """Groups wait, leave and move together; windows of 6 tokens are shorter than prompts and answers."""
    policy, sampling = make_policy(family), Sampling(max_new_tokens=MOST)
    policy.model.generation_config.eos_token_id = list(range(0, 64, 9))
    weights = Sampler(policy.hidden, policy.logits)
    theirs, ours = (way(policy, weights, sampling, groups) for way in (plain, fixed))
    assert_same(ours, theirs)
    assert len(set(theirs.length_B.tolist())) > 5, "hardly any row ended before the others"


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(max_new_tokens=1),
        Sampling(max_new_tokens=MOST, temperature=0.0),
        Sampling(max_new_tokens=MOST, temperature=0.7, top_k=9, top_p=0.9),
    ],
)
@torch.no_grad()
def test_with_folded_weights_and_every_kind_of_draw(make_policy, sampling):
    policy = make_policy()
    weights = sampler(policy)
    assert_same(fixed(policy, weights, sampling, 2), plain(policy, weights, sampling, 2))


@torch.no_grad()
def test_a_group_that_ends_at_once_leaves_its_place(make_policy):
    """Every token ends an answer."""
    decoding = fixed(make_policy(), sampler(make_policy()), Sampling(max_new_tokens=MOST), 2, ends=range(64))
    assert decoding.length_B.tolist() == [1] * len(PROMPTS) * GROUP
    assert (decoding.token_BT[:, 1:] == 0).all() and decoding.joined == len(PROMPTS)


@pytest.mark.parametrize("free", [10**4, 10**12])
def test_the_engine_samples_the_same_answers_on_a_device_that_takes_fixed_sizes(make_policy, monkeypatch, free):
    """In little memory one group after the other, in much all at once."""
    policy, sampling = make_policy(), Sampling(max_new_tokens=MOST)
    problems = [Problem(str(number), ({"role": "user", "content": "w5 w9 w22"},), "") for number in range(4)]
    engine, taken = LocalEngine(policy, rows=7), []
    expected = engine.sample(problems, GROUP, sampling, Key(3, 1))
    run = StaticDecoding.run
    monkeypatch.setattr(StaticDecoding, "run", lambda self, groups: taken.append(groups) or run(self, groups))
    monkeypatch.setattr(local, "in_fixed_sizes", lambda device: True)
    monkeypatch.setattr(room, "free_bytes", lambda device: free)
    found = engine.sample(problems, GROUP, sampling, Key(3, 1))
    assert taken == [1 if free < 10**6 else 2]
    for ours, theirs in zip(found, expected, strict=True):
        assert [one.tokens for one in ours.completions] == [one.tokens for one in theirs.completions]
    check_decodes(policy)  # the probe goes the same way
    assert len(taken) == 2


class Refusing(TorchDispatchMode):
    """Raises on what would make Python wait for a device, within torch's own code as well."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        by_mask = name in ("index", "index_put", "index_put_") and any(
            place is not None and place.dtype == torch.bool for place in args[1]
        )
        assert name not in WAITING and not by_mask, f"{name} waits for the device"
        return func(*args, **(kwargs or {}))


def begun(policy: Policy, weights: Sampler) -> StaticDecoding:
    """A decoding whose rows have drawn a few tokens and go on."""
    sampling = Sampling(max_new_tokens=MOST, temperature=0.7, top_k=9, top_p=0.9)
    decoding = StaticDecoding(weights, PROMPTS, GROUP, sampling, noise(), (), CPU)
    decoding.run(3)
    decoding.live_L.fill_(True)
    decoding._length_B.fill_(5)
    decoding.rows.slot_L.fill_(4)
    return decoding


@torch.no_grad()
def test_a_step_waits_for_nothing(make_policy, family, waits):
    for weights in (sampler(make_policy(family)), Sampler(make_policy(family).hidden, make_policy(family).logits)):
        decoding = begun(make_policy(family), weights)
        with waits, Refusing():
            decoding.step()
        assert not waits.counts


@torch.no_grad()
def test_a_rollout_waits_once_in_many_tokens(make_policy, waits, monkeypatch):
    """20 tokens in place of 1 take 19 steps, which are looked at after each 5: 4 waits in place of 1."""
    monkeypatch.setattr(static, "CHECK_EVERY", 5)
    policy = make_policy()
    weights, counts = Sampler(policy.hidden, policy.logits), []
    for most in (1, MOST):
        waits.counts.clear()
        decoding = StaticDecoding(weights, PROMPTS, GROUP, Sampling(max_new_tokens=most), noise(most=most), (), CPU)
        with waits:
            decoding.run(5)
        counts.append(waits.counts.copy())
    assert counts[1] - counts[0] == {"tolist": 3}


@torch.no_grad()
def test_steps_of_the_same_sizes_use_the_same_tensors(make_policy):
    """As a captured graph needs it: what a step reads and writes stays where it is."""
    decoding = begun(make_policy(), sampler(make_policy()))

    def places():
        rows = decoding.rows
        caches = [part for layers in (rows.prompt_layers, rows.own_layers) for pair in layers.values() for part in pair]
        state = [decoding.token_L, decoding.live_L, decoding.completion_L, rows.slot_L, rows.prompt_length_P]
        results = [decoding._token_BT, decoding._logp_BT, decoding._length_B, decoding._uniform_BT]
        return [tensor.data_ptr() for tensor in (*caches, *state, *results)]

    before = places()
    decoding.step()
    decoding.step()
    assert places() == before


def test_powers_of_two():
    assert [power_of_two(number) for number in (1, 2, 3, 4, 5, 128, 129)] == [1, 2, 4, 4, 8, 128, 256]
