"""Weights for answers that another policy has sampled than the one that is trained: importance sampling, bounded."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from paring.maths.kl import LARGEST_LOG_RATIO

CorrectionKind = Literal["tis", "sequence-tis", "mis", "icepop"]


@dataclass(frozen=True)
class Correction:
    """How w_bt = pi_bt / pi_sampled_bt, the ratio of what is trained to what sampled, becomes a token's weight.

    most is C and least is c:

    - tis: min(w_bt, C), truncated importance sampling (Ionides 2008; for language models Yao et al. 2025, "Your
      efficient RL framework secretly brings you off-policy RL training")
    - sequence-tis: min(w_b, C) at every token, with w_b = prod_t w_bt. Without the bound the gradient is that of the
      trained policy; that of `tis` is so for the next token alone, not for the text before it
    - mis: w_b where w_b <= C, else 0, masked importance sampling (Liu et al. 2025, "When speed kills stability")
    - icepop: w_bt where c <= w_bt <= C, else 0 (arXiv 2510.18855, whose bounds are 0.5 and 5)
    """

    kind: CorrectionKind
    most: float
    least: float = 0.0

    def weight(self, log_ratio_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """The weights by log w_bt, in nats: [B, T], without a gradient."""
        ratio_BT = self._ratio(log_ratio_BT, mask_BT)
        if self.kind in ("tis", "sequence-tis"):
            return ratio_BT.clamp(max=self.most)
        return ratio_BT.masked_fill(self._is_outside(ratio_BT), 0.0)

    def acts(self, log_ratio_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """The tokens whose weight is bounded or 0: bool [B, T]."""
        return self._is_outside(self._ratio(log_ratio_BT, mask_BT))

    def _ratio(self, log_ratio_BT: Tensor, mask_BT: Tensor) -> Tensor:
        log_ratio_BT = log_ratio_BT.detach() * mask_BT
        if self.kind in ("sequence-tis", "mis"):
            log_ratio_BT = log_ratio_BT.sum(-1, keepdim=True).expand_as(log_ratio_BT)
        return log_ratio_BT.clamp(max=LARGEST_LOG_RATIO).exp()

    def _is_outside(self, ratio_BT: Tensor) -> Tensor:
        above_BT = ratio_BT > self.most
        return above_BT | (ratio_BT < self.least) if self.kind == "icepop" else above_BT
