"""Sensitivities of components and modules by the gradients of a run: they follow each step, and move with the ranks."""

from collections.abc import Mapping
from math import sqrt
from typing import Protocol

import torch
from torch import Tensor

from paring.adapters.moments import RANK_AXIS, moved
from paring.adapters.ranks import Move

Named = Mapping[str, Tensor]
"""The parameters by name, `<path>.A` [R, I] and `<path>.B` [O, R], with their gradients."""


class GradientWatch(Protocol):
    """Looks at the gradients before each step of the optimiser, and at nothing else. `state` holds tensors by name."""

    state: dict[str, Tensor]

    def observe(self, named: Named) -> None: ...

    def transplant(self, moves: Mapping[str, Move]) -> None:
        """Follow the adapters through a rank event."""
        ...


class Sensitivity:
    """The importance of components by AdaLoRA (arXiv 2303.10512, sec. 3.2), for the factors of LoRA.

    I = |w dL/dw|, its mean I' <- beta I' + (1 - beta) I, and its spread U <- beta U + (1 - beta) |I - I'| (eq. 8 to 10)
    s = I' U for each weight, and S_i = mean_j s(a_ij) + mean_j s(b_ji) for component i  (eq. 7 and 11)

    AdaLoRA's component has a third part, its singular value, which LoRA's does not have."""

    BETA = 0.85
    """AdaLoRA's beta_1 = beta_2."""

    def __init__(self) -> None:
        self.state: dict[str, Tensor] = {}

    @torch.no_grad()
    def observe(self, named: Named) -> None:
        for name, weight in named.items():
            assert weight.grad is not None, name
            importance = (weight * weight.grad).abs()
            mean = self.state.setdefault(f"{name}/mean", torch.zeros_like(importance))
            spread = self.state.setdefault(f"{name}/spread", torch.zeros_like(importance))
            mean.lerp_(importance, 1 - self.BETA)
            spread.lerp_((importance - mean).abs(), 1 - self.BETA)

    def transplant(self, moves: Mapping[str, Move]) -> None:
        for path, move in moves.items():
            for last in ("A", "B"):
                for part in ("mean", "spread"):
                    name = f"{path}.{last}/{part}"
                    self.state[name] = moved(self.state[name], move, RANK_AXIS[last], second=False)

    def scores(self, path: str) -> tuple[float, ...]:
        """S of each component of a module."""
        parts = [
            (self.state[f"{path}.{last}/mean"] * self.state[f"{path}.{last}/spread"]).mean(1 - RANK_AXIS[last])
            for last in ("A", "B")
        ]
        return tuple((parts[0] + parts[1]).tolist())


class GradientNorm:
    """The norm of the loss's gradient by each weight W: root of the sum over steps of |dL/dW|^2.

    It is read off that of B, which begins as s dL/dW A'. A random direction a has E |dL/dW a|^2 = |a|^2 |dL/dW|^2 / in,
    so that |dL/dW|^2 = in |dL/dB|^2 / (s^2 |A|^2) on average, exact where A is square and orthogonal. s is the same for
    all modules and left out."""

    def __init__(self) -> None:
        self.state: dict[str, Tensor] = {}

    @torch.no_grad()
    def observe(self, named: Named) -> None:
        for name, B_OR in named.items():
            path, _, last = name.rpartition(".")
            if last == "B":
                A_RI = named[f"{path}.A"]
                assert B_OR.grad is not None, name
                squared = A_RI.shape[1] * B_OR.grad.square().sum() / A_RI.square().sum()
                self.state[f"{path}/squares"] = self.state.get(f"{path}/squares", torch.zeros(())) + squared.cpu()

    def transplant(self, moves: Mapping[str, Move]) -> None:
        """A module's number is not one of its components."""

    def norm(self, path: str) -> float:
        """The norm at a module, divided by s; 0 where no step was made."""
        return sqrt(float(self.state.get(f"{path}/squares", 0.0)))
