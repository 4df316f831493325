"""How the gates of L1RA move beside Adam's step on the loss: decoupled L1, and the projection onto [0, 1].

The only place that writes gates during training."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class GateRule(Protocol):
    """`lr` is Adam's learning rate for the gates: constant, with neither warm-up nor schedule."""

    lr: float

    def apply_(self, gates: Sequence[Tensor], signal: float = 1.0) -> None:
        """After Adam's step: L1 and projection, in place. `signal` is the share of the batch that had something to
        teach, 0 to 1."""
        ...


@dataclass(frozen=True)
class Proximal:
    """c <- min(max(c - tau, 0), 1), tau = shrink x signal      (proximal step of tau |c|; SoRA, arXiv 2311.11696)

    Zeros are exact. A batch that teaches nothing shrinks nothing: else silence would count as evidence."""

    lr: float
    shrink: float

    @torch.no_grad()
    def apply_(self, gates: Sequence[Tensor], signal: float = 1.0) -> None:
        torch._foreach_sub_(gates, self.shrink * signal)
        torch._foreach_clamp_min_(gates, 0.0)
        torch._foreach_clamp_max_(gates, 1.0)


@dataclass(frozen=True)
class DeadZone:
    """c <- c - tau (1[c > tau] - 1[c < -tau]), tau = lr x l1, then c <- min(max(c, 0), 1)

    AdamE's 32-bit update (bitsandbytes pull request 1314), and the clamp that the reference makes in its forward pass.
    A gate within [-tau, tau] is left where it is, so that exact zeros come from Adam's steps alone."""

    lr: float
    l1: float

    @torch.no_grad()
    def apply_(self, gates: Sequence[Tensor], signal: float = 1.0) -> None:
        tau = self.lr * self.l1
        for c_R in gates:
            c_R.sub_(tau * ((c_R > tau).to(c_R.dtype) - (c_R < -tau).to(c_R.dtype)))
            c_R.clamp_(0.0, 1.0)
