"""The policy: its reference, its dropout, its ends, and its head."""

import pytest
import torch

from paring.adapters.attach import attach
from paring.adapters.kinds import Lora
from paring.policy.model import Policy
from paring.policy.packing import Shared, pack

BATCH = pack([Shared([5, 6, 7], [[1, 2, 3], [4]]), Shared([9], [[8, 8]])], torch.device("cpu"))


def test_the_reference_is_the_base_bit_for_bit(tiny, tokenizer, make_policy):
    base_BT = Policy(tiny(), tokenizer, {}).log_probs(BATCH, temperature=1.0)
    policy = make_policy()
    before_BT = policy.log_probs(BATCH, temperature=1.0)
    with policy.reference():
        assert torch.equal(policy.log_probs(BATCH, temperature=1.0), base_BT)
    assert torch.equal(policy.log_probs(BATCH, temperature=1.0), before_BT)
    assert (before_BT - base_BT).abs().max() > 0.01, "the adapters must change something"


def test_the_reference_ends_with_an_error_too(make_policy):
    policy = make_policy()
    before_BT = policy.log_probs(BATCH, temperature=1.0)
    with pytest.raises(KeyError), policy.reference():
        raise KeyError
    assert torch.equal(policy.log_probs(BATCH, temperature=1.0), before_BT)


def test_temperature_divides_the_logits(make_policy):
    policy = make_policy()
    hidden_1ND = policy.hidden(BATCH.token_N[None], BATCH.position_N[None], BATCH.layout)
    logp_MV = torch.log_softmax(policy.logits(hidden_1ND[0, BATCH.predictor_M]) / 0.5, dim=-1)
    expected_BT = BATCH.spread(logp_MV.gather(-1, BATCH.target_M[:, None])[:, 0])
    torch.testing.assert_close(policy.log_probs(BATCH, temperature=0.5), expected_BT)


def test_dropout_acts_while_training_only(make_policy):
    policy = make_policy(dropout=0.5)
    calm_BT = policy.log_probs(BATCH, temperature=1.0)
    assert torch.equal(policy.log_probs(BATCH, temperature=1.0), calm_BT)
    with policy.training():
        torch.manual_seed(0)
        first_BT = policy.log_probs(BATCH, temperature=1.0)
        second_BT = policy.log_probs(BATCH, temperature=1.0)
        torch.manual_seed(0)
        again_BT = policy.log_probs(BATCH, temperature=1.0)
    assert torch.equal(first_BT, again_BT)
    assert not torch.allclose(first_BT, second_BT) and not torch.allclose(first_BT, calm_BT)
    assert torch.equal(policy.log_probs(BATCH, temperature=1.0), calm_BT)


def test_dropout_of_the_base_never_acts(make_policy):
    policy = make_policy(attention_dropout=0.5)
    with policy.training():
        first_BT, second_BT = (policy.log_probs(BATCH, temperature=1.0) for _ in range(2))
    assert torch.equal(first_BT, second_BT)


@pytest.mark.parametrize(
    ("listed", "ends"), [([3, 5], {3, 5, 63}), ([63, 4], {63, 4}), (7, {7, 63}), (None, {63}), ([], {63})]
)
def test_ends_are_those_of_the_generation_config_and_of_the_tokenizer(tiny, tokenizer, listed, ends):
    model = tiny()
    model.generation_config.eos_token_id = listed
    assert Policy(model, tokenizer, {}).ends == ends


def test_context_is_the_model_s(make_policy):
    assert make_policy(max_position_embeddings=77).context == 77


def test_plain_decoders_are_packed(make_policy, family):
    policy = make_policy(family)
    assert (policy.unpacked, policy.head.scale, policy.head.cap) == (None, 1.0, None)
    assert policy.head.weight_VD is policy.model.get_output_embeddings().weight


def test_an_adapter_on_the_head_is_refused(tiny, tokenizer):
    model = tiny()
    adapters = attach(model, Lora(targets=("lm_head", "q_proj")), seed=0)
    with pytest.raises(ValueError, match=r"leave lm_head out of adapter\.targets"):
        Policy(model, tokenizer, adapters)
