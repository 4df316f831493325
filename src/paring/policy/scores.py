"""What some models do to the scores of attention beside scale and mask: a soft cap (Gemma 2), sinks (GPT-OSS)."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Scores:
    """`cap`: the scores become cap tanh(score / cap). `sink_H`: of each head, the score of a key without a value, which
    takes a part of the softmax."""

    cap: float | None = None
    sink_H: Tensor | None = None

    def weights(self, score: Tensor, bias: Tensor) -> Tensor:
        """softmax over the last axis of scaled scores: fp32 [B, H_kv, H / H_kv, ..., K], written over. `bias` is 0
        where a query sees a key, and -inf elsewhere."""
        if self.cap is not None:
            score = self.cap * torch.tanh(score / self.cap)
        score.add_(bias)
        if self.sink_H is None:
            return score.softmax(-1)
        shape = score.shape
        sink = self.sink_H.float().view(shape[1], shape[2], *(1 for _ in shape[3:])).expand(*shape[:-1], 1)
        return torch.cat([score, sink], dim=-1).softmax(-1)[..., :-1]


PLAIN = Scores()
