"""The optimiser of the adapters: settings, learning-rate schedule, its state by parameter name, the guard of a step."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import torch
from pydantic import Field, Strict
from torch import Tensor
from torch.nn import Parameter

from paring.adapters.gates import Factors, GateRule
from paring.adapters.gradient_scores import GradientWatch
from paring.adapters.moments import RANK_AXIS, moved
from paring.adapters.ranks import Move
from paring.adapters.rotation import Turn, turned
from paring.settings.declare import Count, CountOrZero, NotNegative, Positive, settings

WATCH = "watch/"
"""The beginning of the names of what a GradientWatch holds."""
SLOTS = ("step", "exp_avg", "exp_avg_sq")
"""The state that AdamW holds for each parameter."""

Beta = Annotated[float, Field(ge=0, lt=1)]


@settings
class Adam:
    """Adam with decoupled weight decay (AdamW, arXiv 1711.05101), warm-up, schedule and gradient clipping."""

    lr: Annotated[Positive, Field(le=1, description="adapters learn between about 1e-6 and 1e-2")] = 1e-4
    betas: Annotated[tuple[Beta, Beta], Strict(False)] = (0.9, 0.999)
    epsilon: Positive = 1e-8
    weight_decay: NotNegative = 0.0
    warmup: CountOrZero = 0
    """Steps over which the learning rate rises to lr, in a straight line."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """The course after the warm-up; linear and cosine would reach 0 one step after the last."""
    max_grad_norm: Positive = 1.0
    tokens_per_pass: Count = 2048
    """Packed tokens of one forward and backward pass. It bounds memory; the gradient does not depend on it."""
    activations_gb: NotNegative = 0.0
    """Activation checkpointing: at most about so many 10^9 bytes are kept of a pass for its backward, and what does not
    fit is computed again. 0: off, all is kept."""

    @property
    def activation_bytes(self) -> float:
        return self.activations_gb * 1e9 or math.inf


def learning_rate(adam: Adam, step: int, steps: int) -> float:
    """The learning rate of step `step`, from 1, of a run of `steps`."""
    if step <= adam.warmup:
        return adam.lr * step / adam.warmup
    share = (step - 1 - adam.warmup) / max(1, steps - adam.warmup)
    fall = {"constant": 1.0, "linear": 1 - share, "cosine": (1 + math.cos(math.pi * share)) / 2}
    return adam.lr * fall[adam.schedule]


class Optimiser:
    """AdamW over parameters that it knows by name. Gates (`<path>.c`) have the learning rate of their rule and no
    weight decay, and after each step the rule moves them on. `<path>.B` learns at `b_rate` times the learning rate
    (LoRA+, arXiv 2402.12354)."""

    def __init__(
        self,
        named: dict[str, Parameter],
        adam: Adam,
        gate_rule: GateRule | None = None,
        watch: GradientWatch | None = None,
        *,
        b_rate: float = 1.0,
    ) -> None:
        self.named = named
        self.lr, self.max_grad_norm = adam.lr, adam.max_grad_norm
        self.gate_rule, self.watch = gate_rule, watch
        gates = {name.removesuffix(".c"): gate for name, gate in named.items() if name.endswith(".c")}
        assert bool(gates) == (gate_rule is not None), "gates need a rule, and a rule gates"
        self.gated = {
            path: Factors(named[f"{path}.A"], named[f"{path}.B"], gate, torch.zeros_like(gate.data))
            for path, gate in gates.items()
        }
        faster = [parameter for name, parameter in named.items() if name.endswith(".B")]
        others = [parameter for name, parameter in named.items() if not name.endswith((".B", ".c"))]
        groups = [{"params": others, "weight_decay": adam.weight_decay}]
        groups.append({"params": faster, "weight_decay": adam.weight_decay})
        self.rates = (1.0, b_rate)
        if gate_rule is not None:
            groups.append({"params": list(gates.values()), "lr": gate_rule.lr, "weight_decay": 0.0})
        self.adamw = torch.optim.AdamW(groups, lr=adam.lr, betas=adam.betas, eps=adam.epsilon, foreach=True)

    def zero_grad(self) -> None:
        """Gradients of 0, not of None: without any signal Adam still follows its momentum, as it would have."""
        for parameter in self.named.values():
            parameter.grad = torch.zeros_like(parameter)

    def clip(self) -> float:
        """Scale the gradient to at most max_grad_norm; the norm before. Not finite where any entry is not."""
        return float(torch.nn.utils.clip_grad_norm_(self.named.values(), self.max_grad_norm))

    def step(self, lr: float, signal: float = 1.0) -> None:
        """Move the matrices at `lr`, those of B at `b_rate` times it, then the gates. `signal`: see GateRule."""
        if self.watch is not None:
            self.watch.observe(self.named)
        for group, rate in zip(self.adamw.param_groups, self.rates, strict=False):
            group["lr"] = lr * rate
        self.adamw.step()
        if self.gate_rule is not None:
            self.gate_rule.apply_(list(self.gated.values()), signal)

    def transplant(self, moves: Mapping[str, Move]) -> None:
        """Follow the adapters through a rank event (adapters/moments.py)."""
        for path, move in moves.items():
            for last, axis in RANK_AXIS.items():
                if f"{path}.{last}" not in self.named:
                    continue  # no gates
                held = self.adamw.state[self.named[f"{path}.{last}"]]
                if not held:
                    continue  # no step was made yet
                held["exp_avg"] = moved(held["exp_avg"], move, axis, second=False)
                held["exp_avg_sq"] = moved(held["exp_avg_sq"], move, axis, second=True)
        if self.watch is not None:
            self.watch.transplant(moves)
        self._freshen({path: move.grown for path, move in moves.items()})

    def turn(self, path: str, by: Turn) -> None:
        """Follow an adapter whose components were turned (adapters/rotation.py)."""
        for last in RANK_AXIS:
            held = self.adamw.state[self.named[f"{path}.{last}"]]
            for slot, second in (("exp_avg", False), ("exp_avg_sq", True)):
                if slot in held:
                    held[slot] = turned(held[slot], by, last, second=second)

    def weigh(self, weights: Mapping[str, Sequence[float]]) -> None:
        """Set the weight of L1 on each component until the next rank event, by adapter."""
        for path, weight_R in weights.items():
            self.gated[path] = replace(self.gated[path], weight_R=self.gated[path].c_R.new_tensor(weight_R))

    @property
    def fresh(self) -> dict[str, int]:
        """How many components of each adapter, its last, came in at the last rank event."""
        return {path: one.fresh for path, one in self.gated.items()}

    def restart(self) -> None:
        """Forget all moments and step counts, as a new optimiser would."""
        self.adamw.state.clear()

    def state(self) -> dict[str, Tensor]:
        """Adam's tensors as `<parameter>/<slot>`; the step count is one of them. For gates also how many components
        came in at the last rank event, as `<path>.c/fresh`, and the weights of L1, as `<path>.c/weight`."""
        held = self.adamw.state
        adam = {f"{name}/{slot}": value for name, p in self.named.items() for slot, value in held[p].items()}
        watched = {f"{WATCH}{name}": value for name, value in self.watch.state.items()} if self.watch else {}
        fresh = {f"{path}.c/fresh": torch.tensor(one.fresh) for path, one in self.gated.items()}
        weight = {f"{path}.c/weight": one.weight_R for path, one in self.gated.items()}
        return adam | watched | fresh | weight

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Take over what `state` gave. Raises ValueError where names or shapes are not this optimiser's."""
        fresh = {name: int(value) for name, value in tensors.items() if name.endswith("/fresh")}
        self._freshen({name.removesuffix(".c/fresh"): count for name, count in fresh.items()})
        weights = {name: value for name, value in tensors.items() if name.endswith("/weight")}
        self.weigh({name.removesuffix(".c/weight"): value.tolist() for name, value in weights.items()})
        tensors = {name: value for name, value in tensors.items() if name not in fresh and name not in weights}
        if self.watch is not None:
            watched = {name.removeprefix(WATCH): tensors.pop(name) for name in list(tensors) if name.startswith(WATCH)}
            self.watch.state = {name: self._placed(name, value) for name, value in watched.items()}
        whole = {f"{name}/{slot}" for name in self.named for slot in SLOTS}
        if tensors and tensors.keys() != whole:
            odd = sorted(tensors.keys() ^ whole)
            raise ValueError(f"the optimiser's state does not fit this run: {len(odd)} names differ, such as {odd[0]}")
        for key, value in tensors.items():
            name, _, slot = key.rpartition("/")
            if value.shape != (() if slot == "step" else self.named[name].shape) or not value.is_floating_point():
                held = f"{tuple(value.shape)} of {value.dtype}"
                raise ValueError(f"optimiser state {key} {held} belongs to no parameter of this run")
            self.adamw.state[self.named[name]][slot] = self._placed(key, value)

    def _placed(self, key: str, value: Tensor) -> Tensor:
        """A tensor `<parameter>/<slot>` where its parameter is; a count stays on the CPU."""
        return value.to(self.named[key.rpartition("/")[0]].device) if value.dim() else value

    def _freshen(self, counts: Mapping[str, int]) -> None:
        """How many components of each adapter came in at the last rank event. No component is shrunk yet."""
        self.gated = {
            path: replace(one, fresh=counts.get(path, 0), weight_R=torch.zeros_like(one.c_R.data))
            for path, one in self.gated.items()
        }


@dataclass
class Update:
    """The record of a batch: the tokens that a pass over it trains on, how many passes were begun, optimiser steps
    applied, whether the guard dropped one, and the measures of the last pass."""

    tokens: int
    passes: int = 1
    applied: int = 0
    dropped: bool = False
    measures: dict[str, float] = field(default_factory=dict)


def step_if_finite(optimiser: Optimiser, update: Update, lr: float, signal: float = 1.0) -> None:
    """The guard before the step: a loss or gradient that is not finite drops it, before anything has moved. `signal` is
    the share of the batch that had something to teach: see GateRule."""
    update.measures["grad_norm"] = optimiser.clip()
    update.dropped = not all(math.isfinite(update.measures[name]) for name in ("loss", "grad_norm"))
    if not update.dropped:
        optimiser.step(lr, signal)
        update.applied += 1
