"""Groups, or examples -> one packed row, in which each prompt stands once for all its completions.

The linear layers see every token once. Only attention sees a prompt several times: each completion's queries look at
the prompt's keys and at their own. Log-probs and gradients are those of the padded batch (tests/unit/policy).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from paring.policy.flex import TILE, FlexLayout, works_on
from paring.policy.layout import PackedLayout, Span
from paring.policy.recording import Known, known
from paring.types import Completion, Group, Recorded


@dataclass(frozen=True)
class PackedBatch:
    """One training pass: the packed row, and where its B completions' M predicted tokens stand in it."""

    token_N: Tensor
    position_N: Tensor
    layout: PackedLayout | FlexLayout
    predictor_M: Tensor
    target_M: Tensor
    mask_BT: Tensor
    slot_M: Tensor
    """Where they stand in a flat [B, T]."""
    known: Known | None = None
    """The rollout's pass over these tokens, where it was recorded."""

    def spread(self, value_M: Tensor) -> Tensor:
        """[M] -> [B, T], 0 where there is no token. Differentiable."""
        flat = torch.zeros_like(self.mask_BT).flatten()
        return flat.index_copy(0, self.slot_M, value_M).view_as(self.mask_BT)


@dataclass(frozen=True)
class Shared:
    """A prompt and the completions that follow it, as token ids; where a rollout has recorded them; and the runs of
    each completion's tokens [from, to) that are read and not learned, where there are any."""

    prompt: Sequence[int]
    completions: Sequence[Sequence[int]]
    trace: Recorded | None = None
    given: Sequence[Sequence[tuple[int, int]]] = ()

    def learned(self, member: int) -> list[int]:
        """The places of the learned tokens of a completion."""
        learned, done = [], 0
        for start, to in self.given[member] if self.given else ():
            learned += range(done, start)
            done = to
        return [*learned, *range(done, len(self.completions[member]))]


@dataclass(frozen=True)
class Labelled:
    """A sequence of token ids, and which of them are learned: predicted from those before, with a loss."""

    tokens: Sequence[int]
    learned: Sequence[bool]

    @property
    def targets(self) -> list[int]:
        """The places of the learned tokens. Nothing stands before the first token, so it is never one of them."""
        return [place for place, learned in enumerate(self.learned) if learned and place]

    @property
    def row(self) -> Sequence[int]:
        """The tokens that it takes in a row: those up to the one that predicts the last learned token."""
        return self.tokens[: self.targets[-1]]


class Packing:
    """A packed row as it grows: tokens, their positions, their spans, and the places of those that predict."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.positions: list[int] = []
        self.spans: list[Span] = []
        self.predictors: list[int] = []

    def add(self, tokens: Sequence[int], prefix: Span | None = None) -> Span:
        """Put tokens at the end of the row, which see themselves and the prefix, whose positions they continue."""
        first = 0 if prefix is None else prefix.length
        span = Span(len(self.tokens), len(tokens), 0 if prefix is None else prefix.start, first)
        self.tokens.extend(tokens)
        self.positions.extend(range(first, first + len(tokens)))
        self.spans.append(span)
        return span

    def batch(self, targets: Sequence[Sequence[int]], device: torch.device, known: Known | None = None) -> PackedBatch:
        """The tensors of the row, with B lists of targets, whose predictors stand in the same order."""
        length_B = torch.tensor([len(row) for row in targets], dtype=torch.int64)
        slots_T = torch.arange(int(length_B.max()) if targets else 0)
        mask_BT = slots_T < length_B[:, None]
        return PackedBatch(
            token_N=torch.tensor(self.tokens, device=device),
            position_N=torch.tensor(self.positions, device=device),
            layout=layout_for(len(self.tokens), device)(self.spans, device),
            predictor_M=torch.tensor(self.predictors, dtype=torch.int64, device=device),
            target_M=torch.tensor([token for row in targets for token in row], dtype=torch.int64, device=device),
            mask_BT=mask_BT.float().to(device),
            slot_M=mask_BT.flatten().nonzero()[:, 0].to(device),
            known=known,
        )


def layout_for(tokens: int, device: torch.device) -> type[PackedLayout] | type[FlexLayout]:
    """On a GPU one fused kernel, where it can be compiled. A row of one of its tiles would gain nothing and cost a
    compilation of its own."""
    return FlexLayout if device.type == "cuda" and tokens > TILE and works_on(device) else PackedLayout


def pack(shared: Sequence[Shared], device: torch.device) -> PackedBatch:
    """Pack prompts and completions; completion b of the batch is the b-th in order.

    A completion's last token predicts nothing, so it is a target only and takes no place in the row. Tokens that are
    not learned stand in the row and are no targets: mask_BT has the learned ones alone, one after the other."""
    row, targets = Packing(), []
    for group in shared:
        prompt = row.add(group.prompt)
        for member, completion in enumerate(group.completions):
            own, learned = row.add(completion[:-1], prompt), group.learned(member)
            before = [prompt.start + prompt.length - 1, *range(own.start, own.start + own.length)]
            row.predictors += [before[place] for place in learned]
            targets.append([completion[place] for place in learned])
    return row.batch(targets, device, known([group.trace for group in shared]))


def pack_examples(examples: Sequence[Labelled], device: torch.device) -> PackedBatch:
    """Pack sequences that do not see each other; row b of mask_BT has the learned tokens of the b-th.

    What follows the predictor of a sequence's last learned token is of no use to it and takes no place in the row."""
    row = Packing()
    for example in examples:
        own = row.add(example.row)
        row.predictors += [own.start + target - 1 for target in example.targets]
    return row.batch([[example.tokens[target] for target in example.targets] for example in examples], device)


def packed(groups: Sequence[Group], device: torch.device) -> PackedBatch:
    """All completions of these groups in one row."""
    return pack([shared_of(group, group.completions, group.trace) for group in groups], device)


def shared_of(group: Group, completions: Sequence[Completion], trace: Recorded | None = None) -> Shared:
    """The prompt of a group with some of its completions."""
    return Shared(group.prompt, [one.tokens for one in completions], trace, [one.given for one in completions])


def packed_tokens(shared: Sequence[Shared]) -> int:
    """Tokens that prompts and completions take in a packed row."""
    return sum(len(one.prompt) + sum(len(tokens) - 1 for tokens in one.completions) for one in shared)
