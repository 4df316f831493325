"""How the gates of L1RA move beside Adam's step on the loss: decoupled L1, and the projection onto [0, 1].

The only place that writes gates during training."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

# torch's hints leave out its operators on lists of tensors.
_clamp_min_, _clamp_max_, _sub_ = torch._foreach_clamp_min_, torch._foreach_clamp_max_, torch._foreach_sub_  # pyright: ignore[reportPrivateImportUsage]

Budget = Literal["parameters", "ranks"]


@dataclass(frozen=True)
class Factors:
    """The live parameters of one adapter: A [R, I], B [O, R], c [R]. The last `fresh` components came in at the last
    rank event."""

    A_RI: Tensor
    B_OR: Tensor
    c_R: Tensor
    fresh: int = 0


@dataclass(frozen=True)
class Proximal:
    """c_i <- min(max(c_i - tau w_i, 0), 1), tau = shrink x signal, w_i = max(0, 1 - v_i / (nominate mean v))

    v_i = c_i |a_i| |b_i| / price is the importance of component i for what it costs. The proximal step of
    tau sum w_i |c_i| (SoRA, arXiv 2311.11696), with the weights of the adaptive lasso (Zou, JASA 2006) so that what
    matters is not made smaller: importance nominates, and the gate tests whether the loss holds it up. Zeros are exact.
    New components have w = 0 up to the next event, for they begin with B = 0. A batch that teaches nothing shrinks
    nothing: else silence would count as evidence."""

    lr: float
    shrink: float
    nominate: float = 0.5
    budget: Budget = "parameters"

    @torch.no_grad()
    def apply_(self, adapters: Sequence[Factors], signal: float = 1.0) -> None:
        gates = [one.c_R for one in adapters]
        _clamp_min_(gates, 0.0)  # what Adam drove below 0 has no negative importance
        value_Z = torch.cat([self._values(one) for one in adapters])
        # As long as B is 0 all values are, and 0 / 0 stands for no weight.
        weight_Z = (1 - value_Z / (self.nominate * value_Z.mean())).clamp(min=0).nan_to_num(0.0)
        is_old = [(one.c_R.new_ones(len(one.c_R) - one.fresh), one.c_R.new_zeros(one.fresh)) for one in adapters]
        weight_Z *= torch.cat([part for pair in is_old for part in pair])
        taus = (self.shrink * signal * weight_Z).split([len(c_R) for c_R in gates])
        _sub_(gates, taus)
        _clamp_min_(gates, 0.0)
        _clamp_max_(gates, 1.0)

    def _values(self, one: Factors) -> Tensor:
        """v [R]."""
        price = one.A_RI.shape[1] + one.B_OR.shape[0] if self.budget == "parameters" else 1
        return one.c_R * one.A_RI.norm(dim=1) * one.B_OR.norm(dim=0) / price


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


GateRule = Proximal | DeadZone
"""`lr` is Adam's learning rate for the gates: constant, with neither warm-up nor schedule. `apply_` comes after Adam's
step: L1 and projection, in place; `signal` is the share of the batch that had something to teach, 0 to 1."""
