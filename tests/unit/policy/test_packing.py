"""The packed row by hand, and attention blocks that pad little and return every token to its place."""

import pytest
import torch

from paring.policy.layout import LEAST_FILL, PackedLayout, Span
from paring.policy.packing import Shared, pack, packed_tokens

CPU = torch.device("cpu")


def test_a_row_by_hand():
    batch = pack([Shared([10, 11, 12], [[1, 2, 3], [4]]), Shared([20], [[5, 6]])], CPU)
    # Prompt, the first completion without its last token; the second is all target; then the other group.
    assert batch.token_N.tolist() == [10, 11, 12, 1, 2, 20, 5]
    assert batch.position_N.tolist() == [0, 1, 2, 3, 4, 0, 1]
    # A completion's first token is predicted by the prompt's last.
    assert batch.predictor_M.tolist() == [2, 3, 4, 2, 5, 6]
    assert batch.target_M.tolist() == [1, 2, 3, 4, 5, 6]
    assert batch.mask_BT.tolist() == [[1, 1, 1], [1, 0, 0], [1, 1, 0]]


def test_spread_puts_values_where_the_tokens_stand_and_carries_their_gradient():
    batch = pack([Shared([10], [[1, 2, 3], [4]])], CPU)
    value_M = torch.tensor([0.1, 0.2, 0.3, 0.4], requires_grad=True)
    spread_BT = batch.spread(value_M)
    torch.testing.assert_close(spread_BT, torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.0, 0.0]]))
    (spread_BT * torch.tensor([[1.0, 2.0, 3.0], [4.0, 50.0, 60.0]])).sum().backward()
    assert value_M.grad.tolist() == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize(
    "shared",
    [
        [Shared([7, 8], [[1]])],
        [Shared([7, 8], [[1, 2, 3], [4, 5]])],
        [Shared([7], [[1], [1]]), Shared([7, 8, 9], [[1, 2, 3, 4]])],
    ],
)
def test_packed_tokens_are_the_length_of_the_row(shared):
    assert len(pack(shared, CPU).token_N) == packed_tokens(shared)


def test_spans_of_a_block_fill_it():
    spans = [Span(0, 5), *(Span(5 + 100 * n, length, 0, 5) for n, length in enumerate([3, 40, 31, 30, 4, 20, 16, 1]))]
    blocks = PackedLayout(spans[:1] + _standing_end_to_end(spans[1:], start=5), CPU).blocks
    assert [[span.length for span in block.spans] for block in blocks] == [[5], [40, 31, 30], [20, 16], [4, 3], [1]]
    for block in blocks:
        lengths = [span.length for span in block.spans]
        assert min(lengths) >= LEAST_FILL * max(lengths)
        assert block.query_SQ.shape == (len(lengths), max(lengths))


def test_attention_of_one_token_by_hand():
    """Scores are the keys' numbers, values the token's place: a softmax average of the places it may see."""
    batch = pack([Shared([0, 0], [[0, 0, 0], [0, 0]])], CPU)  # places: prompt 0 1, first 2 3, second 4
    score_N = torch.tensor([0.3, -0.2, 0.5, 1.0, -1.0])
    place_N = torch.arange(5.0)
    query = torch.ones(1, 1, 5, 1)
    key, value = score_N.view(1, 1, 5, 1), place_N.view(1, 1, 5, 1)
    out_N = batch.layout.attend(0, query, key, value, scale=2.0, window=None).flatten()
    seen = [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [0, 1, 4]]
    expected_N = torch.stack([torch.softmax(2 * score_N[at], -1) @ place_N[at] for at in seen])
    torch.testing.assert_close(out_N, expected_N)
    windowed_N = batch.layout.attend(0, query, key, value, scale=2.0, window=2).flatten()
    seen = [[0], [0, 1], [1, 2], [2, 3], [1, 4]]
    expected_N = torch.stack([torch.softmax(2 * score_N[at], -1) @ place_N[at] for at in seen])
    torch.testing.assert_close(windowed_N, expected_N)


def _standing_end_to_end(spans: list[Span], start: int) -> list[Span]:
    placed = []
    for span in spans:
        placed.append(Span(start, span.length, span.prefix_start, span.prefix_length))
        start += span.length
    return placed
