"""The optimiser of somebody else's trainer: a group of its own for the gates, and its state through rank events."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from accelerate.optimizer import AcceleratedOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.optimizer import StateDict

from paring.adapters.attach import ranks_of
from paring.adapters.lowrank import LowRankLinear
from paring.adapters.moments import RANK_AXIS, moved
from paring.adapters.ranks import Move
from paring.adapters.rotation import Turn, turned
from paring.integrations.peft.l1ra_model import config_of

FIRST = frozenset({"exp_avg", "momentum_buffer", "state1"})
SECOND = frozenset({"exp_avg_sq", "max_exp_avg_sq", "state2"})
"""The names of the moments in Adam of torch and of bitsandbytes (in 32 bit)."""


def l1ra_param_groups(
    model: nn.Module, *, lr: float, steps: int, weight_decay: float = 0.0, adapter: str = "default"
) -> list[dict[str, object]]:
    """Two groups for any optimiser: all else that is trained, and the gates, at their own constant learning rate and
    without weight decay. For `optimizers=(AdamW(groups), None)`; L1raCallback alone makes the same groups."""
    gates = [
        parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and name.endswith(f".l1ra_c.{adapter}.weight")
    ]
    ids = {id(gate) for gate in gates}
    others = [parameter for parameter in model.parameters() if parameter.requires_grad and id(parameter) not in ids]
    rule = config_of(model, adapter).method.gate_rule(steps)
    return [
        {"params": others, "lr": lr, "weight_decay": weight_decay},
        {"params": gates, "lr": rule.lr, "weight_decay": 0.0},
    ]


def bare(optimizer: Optimizer) -> Optimizer:
    """The optimiser itself, out of accelerate's wrapping."""
    return optimizer.optimizer if isinstance(optimizer, AcceleratedOptimizer) else optimizer


def separate(optimizer: Optimizer, gates: Sequence[Tensor], lr: float) -> dict[str, object]:
    """The optimiser's group of the gates, made where there is none: `lr`, no weight decay.

    What the optimiser saves keeps the groups that it had before: Trainer builds a new optimiser with these and loads
    the state before it calls any callback. Raises ValueError where the optimiser does not hold all gates.
    """
    ids = {id(gate) for gate in gates}
    holders = [group for group in optimizer.param_groups if any(id(one) in ids for one in group["params"])]
    if sum(id(one) in ids for group in holders for one in group["params"]) != len(gates):
        raise ValueError("the optimiser does not hold all gates of the adapter: build it after get_peft_model")
    if len(holders) > 1 or len(holders[0]["params"]) > len(gates):
        layout = [list(group["params"]) for group in optimizer.param_groups]
        for group in holders:
            group["params"] = [one for one in group["params"] if id(one) not in ids]
        optimizer.add_param_group({**holders[0], "params": list(gates)})
        _save_as(optimizer, layout)
        holders = optimizer.param_groups[-1:]
    (group,) = holders
    group |= {"lr": lr, "initial_lr": lr, "weight_decay": 0.0}
    return group


def follow(lr_scheduler: LRScheduler, optimizer: Optimizer, group: Mapping[str, object]) -> None:
    """Let a scheduler know of the gates' group, whose learning rate is constant. Schedulers go through the groups by
    their numbers; one that was loaded may have more entries than the new one has functions."""
    known = vars(lr_scheduler)
    number = next(place for place, one in enumerate(optimizer.param_groups) if one is group)
    for name, value in (("base_lrs", group["lr"]), ("lr_lambdas", _constant)):
        if name in known:
            entries = known[name][: len(optimizer.param_groups)]
            entries += [value] * (len(optimizer.param_groups) - len(entries))
            entries[number] = value
            known[name][:] = entries


class Following:
    """The optimiser of somebody else's trainer as it follows the adapters (adapters/moving.py). What is not stored
    element by element, such as 8-bit moments, starts anew, with a warning."""

    def __init__(self, optimizer: Optimizer, adapters: Mapping[str, LowRankLinear]) -> None:
        self.optimizer, self.adapters, self.ranks = optimizer, adapters, ranks_of(adapters)

    def transplant(self, moves: Mapping[str, Move]) -> None:
        for path, move in moves.items():
            for held, last in self._held(path):
                for slot in _moments(held):
                    held[slot] = moved(held[slot], move, RANK_AXIS[last], second=slot in SECOND)
        self.ranks = ranks_of(self.adapters)

    def turn(self, path: str, by: Turn) -> None:
        for held, last in self._held(path):
            for slot in _moments(held):
                held[slot] = turned(held[slot], by, last, second=slot in SECOND)

    def restart(self) -> None:
        self.optimizer.state.clear()

    def _held(self, path: str) -> Iterator[tuple[dict[str, Any], str]]:
        """The state held for each parameter of an adapter, where it can follow."""
        one = self.adapters[path]
        assert one.c_R is not None, f"{path} has no gates"
        for parameter, last in zip((one.A_RI, one.B_OR, one.c_R), RANK_AXIS, strict=True):
            held = self.optimizer.state.get(parameter)
            if not held:
                continue  # no step was made yet
            if _is_plain(held, parameter, RANK_AXIS[last], self.ranks[path]):
                yield held, last
                continue
            del self.optimizer.state[parameter]
            warnings.warn(
                f"{type(self.optimizer).__name__} keeps moments that cannot follow a rank event; those of the modules "
                "whose ranks moved start anew. torch's AdamW (optim='adamw_torch') keeps them.",
                stacklevel=2,
            )


def _moments(held: Mapping[str, object]) -> list[str]:
    """The moments among what is held: SGD has no momentum before its first step."""
    return [slot for slot in held.keys() & (FIRST | SECOND) if held[slot] is not None]


def _constant(step: int) -> float:
    return 1.0


def _is_plain(held: Mapping[str, object], parameter: nn.Parameter, axis: int, old_rank: int) -> bool:
    """Whether all that is held of a parameter is numbers, and moments of its shape before the event."""
    shape = list(parameter.shape)
    shape[axis] = old_rank
    for slot, value in held.items():
        if not isinstance(value, Tensor) or value.dim() == 0:
            continue
        if slot not in FIRST | SECOND or list(value.shape) != shape or not value.is_floating_point():
            return False
    return True


def _save_as(optimizer: Optimizer, layout: list[list[nn.Parameter]]) -> None:
    """Save, and load, as if the groups were still `layout`, to which one group has been added since."""
    place = {id(one): number for number, one in enumerate(one for params in layout for one in params)}

    def numbers() -> list[int]:
        return [place[id(one)] for group in optimizer.param_groups for one in group["params"]]

    def saved(_: Optimizer, packed: StateDict) -> StateDict:
        to_layout = numbers()
        groups = [
            {**group, "params": [place[id(one)] for one in params]}
            for group, params in zip(packed["param_groups"], layout, strict=False)
        ]
        return {**packed, "param_groups": groups, "state": {to_layout[n]: held for n, held in packed["state"].items()}}

    def loaded(_: Optimizer, packed: StateDict) -> StateDict | None:
        if len(packed["param_groups"]) != len(layout):
            return None
        from_layout = {old: new for new, old in enumerate(numbers())}
        groups, first = [], 0
        source = [*packed["param_groups"], optimizer.param_groups[-1]]
        for group, options in zip(optimizer.param_groups, source, strict=True):
            groups.append({**options, "params": list(range(first, first + len(group["params"])))})
            first += len(group["params"])
        return {"param_groups": groups, "state": {from_layout[n]: held for n, held in packed["state"].items()}}

    optimizer.register_state_dict_post_hook(saved)
    optimizer.register_load_state_dict_pre_hook(loaded)
