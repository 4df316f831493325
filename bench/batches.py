"""Training batches of random tokens in the shape of a rollout: prompts, and completions of mixed lengths."""

from collections.abc import Sequence

import torch

from paring.policy.packing import Shared

CUT_SHARE = 3 / 8
"""Share of the completions that are as long as allowed: a rollout cuts many off."""
SHORTEST = 3.1 / 128
"""The other completions' lengths rise evenly from this share of the longest to it: 2,847 tokens of 32 to 128."""


def evenly(first: float, last: float, count: int) -> list[int]:
    return [round(length) for length in torch.linspace(first, last, count).tolist()]


def mixed_lengths(rows: int, longest: int) -> list[int]:
    """Lengths of completions, in an order that mixes them over the groups."""
    cut = round(CUT_SHARE * rows)
    lengths = [longest] * cut + evenly(max(1, SHORTEST * longest), longest, rows - cut)
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(0))
    return [lengths[place] for place in order.tolist()]


def random_groups(prompts: Sequence[int], completions: Sequence[int], vocabulary: int) -> list[Shared]:
    """Groups of equal size from the lengths of all prompts and of all completions."""
    generator = torch.Generator().manual_seed(0)
    group = len(completions) // len(prompts)

    def tokens(length: int) -> list[int]:
        return torch.randint(vocabulary, (length,), generator=generator).tolist()

    return [
        Shared(tokens(prompt), [tokens(length) for length in completions[index * group : (index + 1) * group]])
        for index, prompt in enumerate(prompts)
    ]
