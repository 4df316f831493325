"""Ranks that move in place against an independent implementation that never moves anything: masks over slots."""

from dataclasses import dataclass, field

import pytest
import torch
from torch import nn

from paring.adapters.attach import apply_plan, attach, gates_of, parameters_by_name
from paring.adapters.gates import Proximal
from paring.adapters.kinds import L1ra
from paring.adapters.ranks import Move, RankPlan
from paring.training.optim import Adam, Optimiser

ADAM = Adam(lr=0.05, betas=(0.9, 0.99), weight_decay=0.1, max_grad_norm=1e9)
RULE = Proximal(lr=0.1, shrink=0.05)
SLOTS = 12
STEPS = 24


@dataclass
class Masked:
    """W x + s sum over live slots of c_i b_i (a_i . x), with Adam written out slot by slot, in float64."""

    weight_OI: torch.Tensor
    scale: float
    live: list[int]
    values: dict[str, torch.Tensor]
    first: dict[str, torch.Tensor] = field(default_factory=dict)
    second: dict[str, torch.Tensor] = field(default_factory=dict)
    step: int = 0
    weight: dict[int, float] = field(default_factory=dict)

    def __post_init__(self):
        self.first = {name: torch.zeros_like(value) for name, value in self.values.items()}
        self.second = {name: torch.zeros_like(value) for name, value in self.values.items()}

    def gradients(self, x_NI, target_NO):
        leaves = {name: value.clone().requires_grad_() for name, value in self.values.items()}
        y_NO = x_NI @ self.weight_OI.T
        for slot in self.live:
            y_NO = y_NO + self.scale * leaves["c"][slot] * torch.outer(x_NI @ leaves["A"][slot], leaves["B"][slot])
        loss = ((y_NO - target_NO) ** 2).mean()
        return loss, dict(zip(leaves, torch.autograd.grad(loss, leaves.values()), strict=True))

    def update(self, gradients, beta1=0.9, beta2=0.99):
        self.step += 1
        for name, gradient in gradients.items():
            lr, decay = (RULE.lr, 0.0) if name == "c" else (ADAM.lr, ADAM.weight_decay)
            for slot in self.live:
                m = self.first[name][slot] = beta1 * self.first[name][slot] + (1 - beta1) * gradient[slot]
                v = self.second[name][slot] = beta2 * self.second[name][slot] + (1 - beta2) * gradient[slot] ** 2
                direction = (m / (1 - beta1**self.step)) / ((v / (1 - beta2**self.step)).sqrt() + ADAM.epsilon)
                self.values[name][slot] = (1 - lr * decay) * self.values[name][slot] - lr * direction
        for slot in self.live:
            gate = max(float(self.values["c"][slot]), 0.0)
            self.values["c"][slot] = min(max(gate - RULE.shrink * self.weight.get(slot, 0.0), 0.0), 1.0)

    def move(self, kept, rows_RI):
        survivors = [self.live[place] for place in kept]
        free = [slot for slot in range(SLOTS) if slot not in survivors][: len(rows_RI)]
        for slot, row_I in zip(free, rows_RI, strict=True):
            self.values["A"][slot], self.values["B"][slot], self.values["c"][slot] = row_I, 0.0, 1.0
            for name in self.values:
                self.first[name][slot] = 0.0
                self.second[name][slot] = torch.stack([self.second[name][one] for one in survivors]).mean(0)
        self.live, self.weight = survivors + free, {}

    def weigh(self, weight_R):
        self.weight = dict(zip(self.live, weight_R, strict=True))


@pytest.fixture
def problem():
    """A layer of 7 inputs and 5 outputs whose weights should move by a matrix of rank 2, in float64."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(7, 5, bias=False)).double()
    model[0].weight.data.normal_(generator=generator)
    x_NI = torch.randn(20, 7, generator=generator, dtype=torch.float64)
    shift_OI = torch.randn(5, 2, generator=generator, dtype=torch.float64) @ torch.randn(2, 7, dtype=torch.float64)
    return model, x_NI, x_NI @ (model[0].weight.data + shift_OI).T


def both_ways(problem):
    model, x_NI, target_NO = problem
    adapters = attach(model, L1ra(rank=4, slack=1.0, alpha=2.0), seed=0)
    adapter = adapters["0"].double()
    slots = {
        "A": torch.zeros(SLOTS, 7, dtype=torch.float64),
        "B": torch.zeros(SLOTS, 5, dtype=torch.float64),
        "c": torch.zeros(SLOTS, dtype=torch.float64),
    }
    slots["A"][:4], slots["c"][:4] = adapter.A_RI.data, 1.0
    masked = Masked(adapter.base.weight.data, 0.5, [0, 1, 2, 3], slots)
    optimiser = Optimiser(parameters_by_name(adapters), ADAM, RULE)
    return adapters, optimiser, masked, x_NI, target_NO


def test_moving_in_place_is_masking(problem):
    """Prune, grow, both at once, and growth of what had been pruned: the same numbers after every step."""
    adapters, optimiser, masked, x_NI, target_NO = both_ways(problem)
    adapter = adapters["0"]
    plans = {4: ((0, 2, 3), 0), 8: ((0, 1, 2), 3), 14: ((1, 4, 5), 2), 20: ((0, 1, 2, 3, 4), 1)}
    weights = {5: (0.0, 1.0, 0.5), 15: (0.2, 0.0, 0.9, 0.0, 0.0)}
    for step in range(1, STEPS + 1):
        optimiser.zero_grad()
        loss = ((adapter(x_NI) - target_NO) ** 2).mean()
        loss.backward()
        expected, gradients = masked.gradients(x_NI, target_NO)
        torch.testing.assert_close(loss, expected, rtol=1e-10, atol=0)
        del loss  # a graph that lives on would keep the parameters' old shapes
        optimiser.step(ADAM.lr)
        masked.update(gradients)
        if step in plans:
            kept, grown = plans[step]
            before = adapter(x_NI).detach()
            plan = RankPlan({"0": Move(kept, grown)}, 0)
            gone_OI = adapter.delta_OI().detach()
            apply_plan(adapters, plan, L1ra().draw, seed=0, step=step)
            optimiser.transplant(plan.moves)
            masked.move(kept, adapter.A_RI.data[len(kept) :])
            gone_OI = (gone_OI - adapter.delta_OI()).double()
            # What changes of the function is what the removed components did, and nothing by growth.
            torch.testing.assert_close(before - adapter(x_NI), x_NI @ gone_OI.T, rtol=1e-4, atol=1e-5)
        if step in weights:
            optimiser.weigh({"0": weights[step]})
            masked.weigh(weights[step])
        live = masked.live
        for name, found in (("A", adapter.A_RI), ("B", adapter.B_OR.T), ("c", adapter.c_R)):
            torch.testing.assert_close(found.data, masked.values[name][live], rtol=1e-9, atol=1e-12)
        moments = optimiser.state()
        for name, axes in (("A", 0), ("B", 1), ("c", 0)):
            for slot, held in (("exp_avg", masked.first), ("exp_avg_sq", masked.second)):
                found = moments[f"0.{name}/{slot}"]
                found = found.T if axes else found
                torch.testing.assert_close(found, held[name][live], rtol=1e-9, atol=1e-14)


def test_growth_alone_changes_nothing_and_the_parameters_stay_the_same_objects(problem):
    adapters, optimiser, _, x_NI, target_NO = both_ways(problem)
    adapter = adapters["0"]
    optimiser.zero_grad()
    ((adapter(x_NI) - target_NO) ** 2).mean().backward()
    optimiser.step(ADAM.lr)
    objects, before = [id(p) for p in adapter.parameters()], adapter(x_NI).detach()
    plan = RankPlan({"0": Move((0, 1, 2, 3), 5)}, 0)
    apply_plan(adapters, plan, L1ra().draw, seed=0, step=1)
    optimiser.transplant(plan.moves)
    assert adapter.rank == 9 and [id(p) for p in adapter.parameters()] == objects
    torch.testing.assert_close(adapter(x_NI), before, rtol=1e-14, atol=1e-14)
    optimiser.zero_grad()
    ((adapter(x_NI) - target_NO) ** 2).mean().backward()
    assert adapter.B_OR.grad[:, 4:].abs().min() > 0  # the new ones learn at once
    optimiser.step(ADAM.lr)


def test_pruning_closed_components_changes_nothing(problem):
    adapters, _, _, x_NI, _ = both_ways(problem)
    adapter = adapters["0"]
    adapter.B_OR.data.normal_(generator=torch.Generator().manual_seed(3))
    adapter.c_R.data[[1, 3]] = 0.0
    assert gates_of(adapters) == {"0": (1.0, 0.0, 1.0, 0.0)}
    before = adapter(x_NI).detach()
    apply_plan(adapters, RankPlan({"0": Move((0, 2), 0)}, 0), L1ra().draw, seed=0, step=1)
    torch.testing.assert_close(adapter(x_NI), before, rtol=1e-14, atol=1e-14)


def test_the_first_steps_of_a_new_component_are_no_larger_than_the_others(problem):
    """From a second moment of 0 at an old step count, Adam would take steps of several learning rates (speed 3.2)."""
    adapters, optimiser, _, x_NI, target_NO = both_ways(problem)
    adapter = adapters["0"]

    def step():
        optimiser.zero_grad()
        ((adapter(x_NI) - target_NO) ** 2).mean().backward()
        before = adapter.B_OR.detach().clone()
        optimiser.step(0.001)
        return ((adapter.B_OR - before).abs() / 0.001).detach()

    for _ in range(200):
        step()
    plan = RankPlan({"0": Move((0, 1, 2, 3), 2)}, 0)
    apply_plan(adapters, plan, L1ra().draw, seed=0, step=200)
    optimiser.transplant(plan.moves)
    largest = max(float(step()[:, 4:].mean()) for _ in range(10))
    assert largest < 1.5
    for name in "ABc":
        held = optimiser.adamw.state[optimiser.named[f"0.{name}"]]
        axis = 1 if name == "B" else 0
        held["exp_avg"].narrow(axis, 4, 2).zero_()
        held["exp_avg_sq"].narrow(axis, 4, 2).zero_()
    assert max(float(step()[:, 4:].mean()) for _ in range(10)) > 2 * largest


def test_a_restart_forgets_everything(problem):
    adapters, optimiser, _, x_NI, target_NO = both_ways(problem)
    optimiser.zero_grad()
    ((adapters["0"](x_NI) - target_NO) ** 2).mean().backward()
    optimiser.step(ADAM.lr)
    optimiser.restart()
    left = optimiser.state()
    assert left.keys() == {"0.c/fresh", "0.c/weight"} and not any(value.any() for value in left.values())
