"""What rounding does to logits, beside what a model in bf16 really gives."""

import copy

import pytest
import torch

from paring.policy.probe import Misfit, compare, own_logits
from paring.policy.rounding import rounding


def test_it_is_what_bf16_does(family, tiny):
    """Beside the changes between the model in fp32 and in bf16."""
    model = tiny(family)
    rounded = copy.deepcopy(model).bfloat16()
    change_NV = own_logits(rounded) - own_logits(model)
    true = float((change_NV - change_NV.mean(-1, keepdim=True)).square().mean().sqrt())
    assert true / 2 < rounding(model, lambda: own_logits(model), torch.bfloat16) < true * 5


def test_the_model_is_left_as_it_was(tiny):
    model = tiny()
    before_NV = own_logits(model)
    first, second = (rounding(model, lambda: own_logits(model), torch.bfloat16) for _ in range(2))
    assert first == second > 0
    assert torch.equal(own_logits(model), before_NV)


@pytest.mark.parametrize("tokens", [range(8), [6]])
def test_one_token_that_is_wrong_shows_in_bf16(tiny, tokens):
    """A fault in one token of eight is small beside all logits, and large beside what rounding does to them."""
    model = tiny().bfloat16()
    right_NV = own_logits(model)
    compare(model, right_NV, right_NV, "its logits")
    wrong_NV = right_NV.clone()
    wrong_NV[list(tokens)] += (
        0.3 * right_NV.std() * torch.randn(len(tokens), 64, generator=torch.Generator().manual_seed(0))
    )
    with pytest.raises(Misfit, match="its logits"):
        compare(model, wrong_NV, right_NV, "its logits")


def test_a_small_fault_in_fp32_is_none_of_rounding(tiny):
    """A share of 1e-4 may be rounding in a deep model; in this one it is a fault."""
    model = tiny()
    own_NV = own_logits(model)
    off_NV = own_NV.abs().max() * torch.where(torch.arange(own_NV.shape[1]) % 2 == 0, 1.0, -1.0)
    compare(model, own_NV + 5e-6 * off_NV, own_NV, "its logits differ")
    with pytest.raises(Misfit, match="its logits differ"):
        compare(model, own_NV + 1e-4 * off_NV, own_NV, "its logits differ")
