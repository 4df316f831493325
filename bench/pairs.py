"""Pairs of random tokens to be learned by heart."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from paring.policy.model import Policy
from paring.policy.packing import Labelled, PackedBatch, pack_examples
from planted_teacher import log_probs
from students import Line

QUESTION, ANSWER = 4, 8
"""Tokens of a pair."""
ROWS, PROBE = 16, 64
"""Pairs of a step, and of a measurement."""


@dataclass(frozen=True)
class Pairs:
    """Random tokens: the first QUESTION of a row are given, the others are learned."""

    token_NT: Tensor
    seed: int

    @classmethod
    def drawn(cls, count: int, vocabulary: int, seed: int) -> "Pairs":
        draw = torch.Generator().manual_seed(seed)
        return cls(torch.randint(vocabulary, (count, QUESTION + ANSWER), generator=draw), seed)

    def batch(self, row_BT: Tensor) -> PackedBatch:
        learned = [False] * QUESTION + [True] * ANSWER
        return pack_examples([Labelled(row, learned) for row in row_BT.tolist()], row_BT.device)

    def rows(self, step: int) -> Tensor:
        """The pairs of a step, from 1; every epoch is an order of its own."""
        epoch, place = divmod((step - 1) * ROWS, len(self.token_NT))
        order = torch.randperm(
            len(self.token_NT), generator=torch.Generator().manual_seed(1_000_003 * self.seed + epoch)
        )
        return self.token_NT[order[place : place + ROWS]]

    def loss(self, student: Policy, step: int) -> Tensor:
        return cross_entropy(log_probs(student, self.batch(self.rows(step))), self.rows(step))

    def probe(self, step: int) -> PackedBatch:
        draw = torch.Generator().manual_seed(1_000_003 * self.seed - step)
        return self.batch(self.token_NT[torch.randperm(len(self.token_NT), generator=draw)[:PROBE]])

    @torch.no_grad()
    def measured(self, student: Policy) -> Line:
        """Over all pairs: the loss in nats a token, and the share of tokens that are the likeliest."""
        losses, right = [], []
        for row_BT in self.token_NT.split(PROBE):
            logp_MV = log_probs(student, self.batch(row_BT))
            losses.append(float(cross_entropy(logp_MV, row_BT)) * len(row_BT))
            right.append(int((logp_MV.argmax(-1) == row_BT[:, QUESTION:].flatten()).sum()))
        return {"loss": sum(losses) / len(self.token_NT), "right": sum(right) / (ANSWER * len(self.token_NT))}


def cross_entropy(logp_MV: Tensor, row_BT: Tensor) -> Tensor:
    return functional.nll_loss(logp_MV, row_BT[:, QUESTION:].flatten())
