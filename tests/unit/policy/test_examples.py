"""Packed examples: the row by hand, transformers' own loss and gradient, and no example that sees another."""

import pytest
import torch

from paring.maths.objective import Totals, cross_entropy
from paring.policy.packing import Labelled, pack_examples

CPU = torch.device("cpu")
# Lengths of sequences, and the places in each that are learned.
EXAMPLES = [(7, [3, 4, 5, 6]), (2, [1]), (30, [5, 6, 7, 20, 21, 22, 23]), (12, list(range(1, 12))), (9, [8])]


@pytest.fixture
def examples():
    generator = torch.Generator().manual_seed(3)
    return [
        Labelled(
            torch.randint(64, (length,), generator=generator).tolist(), [place in targets for place in range(length)]
        )
        for length, targets in EXAMPLES
    ]


def plain_loss(policy, examples):
    """One forward pass an example, with transformers' labels and its own loss, weighted by tokens."""
    total, tokens = 0.0, 0
    for example in examples:
        token_1N = torch.tensor([example.tokens])
        label_1N = torch.where(torch.tensor([example.learned]), token_1N, -100)
        total = total + policy.model(input_ids=token_1N, labels=label_1N, use_cache=False).loss * len(example.targets)
        tokens += len(example.targets)
    return total / tokens


def gradients(policy, loss):
    parameters = [parameter for adapter in policy.adapters.values() for parameter in (adapter.A_RI, adapter.B_OR)]
    return torch.autograd.grad(loss, parameters)


def test_a_row_by_hand():
    batch = pack_examples([Labelled([10, 11, 12, 13, 14], [0, 0, 1, 1, 0]), Labelled([20, 21], [1, 1])], CPU)
    # Up to the predictor of the last learned token; the first token of a sequence has no predictor.
    assert batch.token_N.tolist() == [10, 11, 12, 20]
    assert batch.position_N.tolist() == [0, 1, 2, 0]
    assert batch.predictor_M.tolist() == [1, 2, 3]
    assert batch.target_M.tolist() == [12, 13, 21]
    assert batch.mask_BT.tolist() == [[1, 1], [1, 0]]


def test_packed_is_transformers_own_loss_and_gradient(family, tiny, make_policy, with_adapters, examples):
    policy, plain = make_policy(family), make_policy(family)
    plain.model.set_attn_implementation("sdpa")
    batch = pack_examples(examples, CPU)
    totals = Totals(sequences=len(examples), tokens=len(batch.target_M))
    loss = cross_entropy(policy.log_probs(batch, temperature=1.0), batch.mask_BT, totals)
    expected = plain_loss(plain, examples)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    for found, wanted in zip(gradients(policy, loss), gradients(plain, expected), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_packed_log_probs_are_those_of_each_example_alone(family, make_policy, examples):
    policy = make_policy(family)
    together_BT = policy.log_probs(pack_examples(examples, CPU), temperature=1.0)
    for row, example in enumerate(examples):
        alone_1T = policy.log_probs(pack_examples([example], CPU), temperature=1.0)
        torch.testing.assert_close(together_BT[row, : alone_1T.shape[1]], alone_1T[0], rtol=1e-5, atol=1e-5)
        assert not together_BT[row, alone_1T.shape[1] :].any()


@pytest.mark.parametrize("changed", range(len(EXAMPLES)))
def test_changing_one_example_changes_no_other(make_policy, examples, changed):
    policy = make_policy("mistral")
    before_BT = policy.log_probs(pack_examples(examples, CPU), temperature=1.0)
    other = Labelled([(token + 1) % 64 for token in examples[changed].tokens], examples[changed].learned)
    examples[changed] = other
    after_BT = policy.log_probs(pack_examples(examples, CPU), temperature=1.0)
    for row, (before_T, after_T) in enumerate(zip(before_BT, after_BT, strict=True)):
        assert torch.equal(before_T, after_T) == (row != changed)


def test_cross_entropy_by_hand():
    logp_BT = torch.tensor([[-1.0, -2.0], [-4.0, 0.0]])
    mask_BT = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    assert float(cross_entropy(logp_BT, mask_BT, Totals(sequences=2, tokens=3))) == pytest.approx(7 / 3)
    # A part of a larger batch gives its part of the mean.
    assert float(cross_entropy(logp_BT, mask_BT, Totals(sequences=9, tokens=14))) == pytest.approx(0.5)
