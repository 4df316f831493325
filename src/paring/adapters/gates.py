"""How the gates of L1RA move beside Adam's step on the loss: decoupled L1, and the projection onto [0, 1].

The only place that writes gates during training."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# torch's hints leave out its operators on lists of tensors.
_clamp_min_, _clamp_max_, _add_ = torch._foreach_clamp_min_, torch._foreach_clamp_max_, torch._foreach_add_  # pyright: ignore[reportPrivateImportUsage]


@dataclass(frozen=True)
class Factors:
    """The live parameters of one adapter: A [R, I], B [O, R], c [R]; the weight of L1 on each component, [R]. The last
    `fresh` components came in at the last rank event."""

    A_RI: Tensor
    B_OR: Tensor
    c_R: Tensor
    weight_R: Tensor
    fresh: int = 0


@dataclass(frozen=True)
class Proximal:
    """c_i <- min(max(c_i - tau w_i, 0), 1), tau = shrink x signal

    The proximal step of tau sum w_i |c_i| (SoRA, arXiv 2311.11696), with weights as in the adaptive lasso (Zou, JASA
    2006), set at each rank event from what a component does to the function: what matters is not made smaller.
    Importance nominates, and the gate tests whether the loss holds a component up. Zeros are exact. A batch that
    teaches nothing shrinks nothing: else silence would count as evidence."""

    lr: float
    shrink: float

    @torch.no_grad()
    def apply_(self, adapters: Sequence[Factors], signal: float = 1.0) -> None:
        gates = [one.c_R for one in adapters]
        _clamp_min_(gates, 0.0)  # what Adam drove below 0 has no negative importance
        _add_(gates, [one.weight_R for one in adapters], alpha=-self.shrink * signal)
        _clamp_min_(gates, 0.0)
        _clamp_max_(gates, 1.0)


@dataclass(frozen=True)
class DeadZone:
    """c <- c - tau (1[c > tau] - 1[c < -tau]), tau = lr x l1, then c <- min(max(c, 0), 1)

    AdamE's 32-bit update (bitsandbytes pull request 1314), and the clamp that the reference makes in its forward pass.
    A gate within [-tau, tau] is left where it is, so that exact zeros come from Adam's steps alone."""

    lr: float
    l1: float

    @torch.no_grad()
    def apply_(self, adapters: Sequence[Factors], signal: float = 1.0) -> None:
        tau = self.lr * self.l1
        for one in adapters:
            above, below = (one.c_R > tau).to(one.c_R.dtype), (one.c_R < -tau).to(one.c_R.dtype)
            one.c_R.sub_(tau * (above - below)).clamp_(0.0, 1.0)


@dataclass(frozen=True)
class SoftThreshold:
    """c <- max(c - xi, 0), xi = shrink x signal

    The proximal step of xi sum |c_i| after Adam's (SoRA, arXiv 2311.11696, eq. 8 and 9), on gates that begin at 1: the
    sign of a component is left to B. All are shrunk alike, and have no bound above."""

    lr: float
    shrink: float

    @torch.no_grad()
    def apply_(self, adapters: Sequence[Factors], signal: float = 1.0) -> None:
        gates = [one.c_R for one in adapters]
        _add_(gates, -self.shrink * signal)
        _clamp_min_(gates, 0.0)


GateRule = Proximal | DeadZone | SoftThreshold
"""`lr` is Adam's learning rate for the gates: constant, with neither warm-up nor schedule. `apply_` comes after Adam's
step: L1 and projection, in place; `signal` is the share of the batch that had something to teach, 0 to 1."""
