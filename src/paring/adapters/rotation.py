"""An adapter's components turned into the singular directions of its update in the metric of the function.

The update stays what it is. Before, components of one adapter share what they do, so that the worth of one says little;
after, they are independent and ordered."""

from dataclasses import dataclass

import torch
from torch import Tensor

from paring.adapters.importance import Seen, worths
from paring.adapters.lowrank import LowRankLinear


@dataclass(frozen=True)
class Turn:
    """B <- B diag(c) T, A <- T^-1 A, c <- 1: s B diag(c) A is unchanged.

    With the roots of `Seen` and singular values Lb' La = U S V', T = Lb^-T U diag(h). Any h > 0 gives the same update;
    this one gives each row of A the mean norm that the rows had.

    turn_RR, back_RR   T and T^-1
    gate_R             c before
    worth_R            S^2 / 2: KL in nats a token of removing each new component, largest first
    """

    turn_RR: Tensor
    back_RR: Tensor
    gate_R: Tensor
    worth_R: tuple[float, ...]


@torch.no_grad()
def turn(adapter: LowRankLinear, seen: Seen) -> Turn:
    """Turn the components, in place. No gate may be 0. Moments of an optimiser have to follow: `turned`."""
    assert adapter.c_R is not None and bool(adapter.c_R.all()), "a gate of 0 has no inverse"
    A_RI, gate_R = adapter.A_RI.double(), adapter.c_R.to(torch.float64, copy=True)
    La_RR, Lb_RR, inverse_RR = seen.roots()
    U_RR, S_R, _ = torch.linalg.svd(Lb_RR.T @ La_RR)
    turn_RR, back_RR = inverse_RR.T @ U_RR, U_RR.T @ Lb_RR.T
    h_R = (back_RR @ A_RI).norm(dim=1) / A_RI.norm(dim=1).mean()
    made = Turn(turn_RR * h_R, back_RR / h_R[:, None], gate_R, worths(S_R))
    adapter.A_RI.copy_(made.back_RR @ A_RI)
    adapter.B_OR.copy_((adapter.B_OR.double() * gate_R) @ made.turn_RR)
    adapter.c_R.fill_(1.0)
    return made


@torch.no_grad()
def turned(moment: Tensor, by: Turn, last: str, *, second: bool) -> Tensor:
    """The moment of a parameter `last` (A, B or c) after the turn.

    The gradient of A turns by T', that of B by (T^-1)' after division by the gates; second moments turn by the squares,
    as if the gradients of the components were independent. A gate of the new components is a new parameter."""
    if last == "c":
        return moment.mean().expand_as(moment).clone() if second else torch.zeros_like(moment)
    left_RR = by.turn_RR.T if last == "A" else by.back_RR / by.gate_R
    left_RR = left_RR.square() if second else left_RR
    value = moment.double()
    return (left_RR @ value if last == "A" else value @ left_RR.T).to(moment.dtype)
