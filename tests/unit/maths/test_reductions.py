"""What the length of an answer weighs, by hand."""

import torch

from paring.maths.objective import Totals, per_constant, per_sequence_mean, per_sequence_sum, per_token_mean

# Two completions of 3 tokens and of 1, of at most 5.
MASK_BT = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
TOTALS = Totals(sequences=2, tokens=4, longest=5)


def test_reducers_by_hand():
    value_BT = torch.tensor([[1.0, 2.0, 6.0], [4.0, 100.0, 100.0]])
    assert per_sequence_mean(value_BT, MASK_BT, TOTALS) == (9 / 3 + 4 / 1) / 2
    assert per_token_mean(value_BT, MASK_BT, TOTALS) == (9 + 4) / 4
    assert per_constant(value_BT, MASK_BT, TOTALS) == (9 + 4) / (2 * 5)
    assert per_sequence_sum(value_BT, MASK_BT, TOTALS) == (9 + 4) / 2
