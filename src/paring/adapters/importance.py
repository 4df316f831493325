"""The effect of an adapter's components on the function, from the inputs of its module and the gradients that reach it.

To second order, an update delta of a module's weight changes the policy by KL = 1/2 tr(delta' D delta X) nats a token,
with X = E[x x'] over the module's inputs and D = E[d d'] over the gradients d of log-probs with respect to its outputs:
the Fisher matrix of the weight, factored (K-FAC, arXiv 1503.05671). It is one unit for modules of all shapes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from paring.adapters.lowrank import LowRankLinear

RIDGE = 1e-6
"""Added to a spectrum before it is inverted, as a share of its mean: a component of B = 0 has one of 0."""


@dataclass
class Seen:
    """Sums over a pass, of one adapter, whose update is delta = s B diag(c) A. They are of the size of its rank.

    inner_RR   u u' with u = A x
    outer_RR   w w' with w = s diag(c) B' d
    x2, d2     |x|^2 and |d|^2
    inputs     tokens that the module has seen
    places     log-probs whose sum the gradients are of; 1 / n where they are of the mean of n
    """

    inner_RR: Tensor
    outer_RR: Tensor
    x2: Tensor
    d2: Tensor
    inputs: int = 0
    places: float = 1

    def __add__(self, other: "Seen") -> "Seen":
        """The sums over both passes."""
        return Seen(
            self.inner_RR + other.inner_RR,
            self.outer_RR + other.outer_RR,
            self.x2 + other.x2,
            self.d2 + other.d2,
            self.inputs + other.inputs,
            self.places + other.places,
        )

    def only(self, places: Sequence[int]) -> "Seen":
        """The same sums of the components at these places."""
        chosen = list(places)
        inner_RR, outer_RR = self.inner_RR[chosen][:, chosen], self.outer_RR[chosen][:, chosen]
        return replace(self, inner_RR=inner_RR, outer_RR=outer_RR)

    def roots(self) -> tuple[Tensor, Tensor, Tensor]:
        """La, Lb and Lb^-1, with La La' = E[u u'] and Lb Lb' = E[w w']: [R, R] each."""
        inner_R, inner_RR = _spectrum(self.inner_RR / max(1, self.inputs))
        outer_R, outer_RR = _spectrum(self.outer_RR / self.places)
        return inner_RR * inner_R.sqrt(), outer_RR * outer_R.sqrt(), (outer_RR / outer_R.sqrt()).T

    def worth_R(self) -> tuple[float, ...]:
        """KL of removing each singular direction of the update, in the metric of the function; largest first, and their
        sum is that of the whole update."""
        La_RR, Lb_RR, _ = self.roots()
        return worths(torch.linalg.svdvals(Lb_RR.T @ La_RR))

    def null(self, adapter: LowRankLinear) -> float:
        """KL of an update of the same norm in a random direction: |delta|^2 / 2 E|x|^2 E|d|^2 / (in out)."""
        each = self.x2 / max(1, self.inputs) * self.d2 / self.places / (adapter.in_features * adapter.out_features)
        return _short(float(adapter.delta_norm() ** 2 / 2 * each))


def worths(S_R: Tensor) -> tuple[float, ...]:
    """S^2 / 2, to four digits, as they stand in the record of a run: what is decided by them can be decided again."""
    return tuple(_short(value) for value in (S_R.square() / 2).tolist())


@contextmanager
def watched(modules: Mapping[str, nn.Module], adapters: Mapping[str, LowRankLinear]) -> Iterator[dict[str, Seen]]:
    """Within it, a forward and a backward pass fill the sums, by module path. `modules` are those that run, `adapters`
    what stands on them. Between the two passes, u alone is kept of a token."""
    sums = {path: _empty(adapter) for path, adapter in adapters.items()}
    hooks = [module.register_forward_hook(_recorder(adapters[path], sums[path])) for path, module in modules.items()]
    try:
        yield sums
    finally:
        for hook in hooks:
            hook.remove()


def _empty(adapter: LowRankLinear) -> Seen:
    zero_RR = torch.zeros(adapter.rank, adapter.rank, dtype=torch.float64, device=adapter.A_RI.device)
    return Seen(zero_RR.clone(), zero_RR.clone(), zero_RR.new_zeros(()), zero_RR.new_zeros(()))


def _recorder(adapter: LowRankLinear, sums: Seen) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def forward(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if not output.requires_grad:
            return  # a pass whose activations will be computed again
        x_NI = inputs[0].detach().reshape(-1, adapter.in_features)
        A_RI, outer_OR = adapter.A_RI.detach(), adapter.scale * adapter.gated_OR.detach()
        u_NR, x2 = x_NI.to(A_RI.dtype) @ A_RI.T, x_NI.float().square().sum()

        def backward(d: Tensor) -> None:
            d_NO = d.reshape(-1, adapter.out_features)
            w_NR = d_NO.to(outer_OR.dtype) @ outer_OR
            sums.inner_RR += u_NR.T @ u_NR
            sums.outer_RR += w_NR.T @ w_NR
            sums.x2 += x2
            sums.d2 += d_NO.float().square().sum()
            sums.inputs += len(u_NR)

        output.register_hook(backward)

    return forward


def _spectrum(square_RR: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, raised by RIDGE so that none is 0, and eigenvectors."""
    value_R, vector_RR = torch.linalg.eigh(square_RR)
    value_R = value_R.clamp(min=0)
    return value_R + RIDGE * value_R.mean() + torch.finfo(torch.float32).tiny, vector_RR


def _short(value: float) -> float:
    return float(f"{value:.4g}")
