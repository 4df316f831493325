"""Which linear modules can carry an adapter: a pass over eight tokens shows what the model does with each."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

import torch
from pydantic import Field, Strict
from torch import Tensor, nn

from paring.adapters.experts import lists_of_experts, routers
from paring.adapters.linear import features_of
from paring.adapters.paths import matches
from paring.adapters.weightless import weightless

# Strict settings take a list for a tuple only where that is declared, and TOML knows lists alone.
Names = Annotated[tuple[str, ...], Strict(False), Field(min_length=1)]
Targets = Literal["all-linear"] | Names
"""Every linear layer of the text model that can carry an adapter, but the output embeddings and routers; or module
names: whole paths or their last components, as in PEFT, or patterns with `*`."""

TOKENS = 8
"""The length of the pass. Some attention compresses four tokens into one, so that fewer would reach nothing."""


@runtime_checkable
class TextModel(Protocol):
    """A model that reads tokens and gives its token embeddings and its output embeddings (the head), as those of
    transformers do."""

    def get_input_embeddings(self) -> nn.Module: ...

    def get_output_embeddings(self) -> nn.Module | None: ...


class StandIn(nn.Module):
    """Stands where an adapter would stand, and notes what the model does there that an adapter could not serve."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base
        self.in_features, self.out_features = _features(base)
        self.called = False
        self.fault: str | None = None
        self.link = torch.zeros((), requires_grad=True)
        """Part of the output, so that the graph of the logits shows whether a gradient would come here."""

    def forward(self, *given: object, **named: object) -> object:
        """Zeros in place of a plain linear layer's output: no weight decides the choice, and no product is computed."""
        self.called = True
        x = given[0] if len(given) == 1 and not named else None
        if not isinstance(x, Tensor):
            self.fault = "the model calls it with more than one tensor"
            return self.base(*given, **named)
        if type(self.base).forward is nn.Linear.forward:
            return x.new_zeros(*x.shape[:-1], self.out_features) + 0 * x.sum() + self.link.to(x)
        y = self.base(x)
        if not isinstance(y, Tensor) or y.shape[-1] != self.out_features:
            self.fault = "its output is no tensor of its out-features, as of a router that chooses experts"
            return y
        return y + self.link.to(y)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            value = getattr(self.base, name)
            self.fault = f"the model reads its {name}, and would pass the adapter by"
            return value


def linear_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Path -> module of all that map features to features, output embeddings included, in the model's order."""
    return {path: module for path, module in model.named_modules() if path and features_of(module) is not None}


def targeted_modules(model: nn.Module, targets: Targets) -> dict[str, nn.Module]:
    """Path -> module of the linear modules that `targets` choose, in the model's order.

    "all-linear": all that can carry an adapter (see `faults`), but output embeddings, routers and gates of experts.
    Names: those that they match; a module that the model does not call is left out where others of its name are.

    Raises ValueError if a target matches nothing, if it matches a module that cannot carry an adapter, or output
    embeddings tied to the input's, and where the model does not run."""
    linear = linear_modules(model)
    is_text = isinstance(model, TextModel)
    head = model.get_output_embeddings() if is_text else None
    if targets == "all-linear":
        found, left_out = faults(model), routers(model)
        free = {path: module for path, module in linear.items() if found[path] is None and path not in left_out}
        chosen = {path: module for path, module in free.items() if module is not head}
        if not chosen:
            raise ValueError(
                "targets='all-linear' matches nothing: the model calls no module with in_ and out_features"
            )
        return chosen
    for target in targets:
        if not any(matches(path, target) for path in linear):
            names = ", ".join(sorted({path.rpartition(".")[2] for path in linear}))
            raise ValueError(f"target {target!r} matches no linear module of the model, whose last names are: {names}")
    found = faults(model)
    carrying: set[str] = set()
    for target in targets:
        matched = [path for path in linear if matches(path, target)]
        called = [path for path in matched if found[path] != UNCALLED]
        for path in called or matched:
            if found[path] is not None:
                raise ValueError(f"target {target!r} matches {path}, which cannot carry an adapter: {found[path]}")
            carrying.add(path)
    tied = set(model.get_input_embeddings().parameters()) if is_text else set()
    if any(linear[path] is head and not tied.isdisjoint(linear[path].parameters()) for path in carrying):
        raise ValueError("targets include the output embeddings, which share the weight of the input's: leave them out")
    return {path: module for path, module in linear.items() if path in carrying}


PLAIN = (None, "eager", "sdpa")
"""Attention functions of transformers that take tokens alone."""
UNCALLED = "the model does not call it when it reads text"


def faults(model: nn.Module) -> dict[str, str | None]:
    """Path of each linear module -> why it cannot carry an adapter; None where it can.

    An adapter serves a module that the model calls with one tensor, whose output is one of its out-features and reaches
    the logits with a gradient, and of which nothing else is read, such as its weight. A StandIn at each place sees all
    of that in a pass over a few tokens. They reach some experts of a list only, so that all are as the best of these.
    Weights do not matter, so a model on the meta device gives the same answer; torch's generator
    stays as it is. Without token embeddings there is no such pass, and all modules can.

    Raises ValueError where the model does not run."""
    linear = linear_modules(model)
    if not isinstance(model, TextModel) or not linear:
        return dict.fromkeys(linear)
    stand_ins = {path: StandIn(module) for path, module in linear.items()}
    with _in_place(model, stand_ins), weightless(model), _for_a_graph(model):
        device = next(model.get_input_embeddings().parameters()).device
        try:
            out = model(input_ids=torch.arange(TOKENS, device=device)[None], use_cache=False)
        except Exception as error:  # code of any architecture
            reason = str(error).strip().split("\n")[0] or type(error).__name__
            raise ValueError(f"{type(model).__name__} does not run on tokens alone ({reason})") from error
    learning = _leaves(out.logits)
    lists = lists_of_experts(model)
    alike: dict[str, list[StandIn]] = {}
    for path, one in stand_ins.items():
        alike.setdefault(_as_one_expert(path, lists), []).append(one)
    return {path: _fault_of(alike[_as_one_expert(path, lists)], learning) for path in stand_ins}


def _fault_of(alike: list[StandIn], learning: set[int]) -> str | None:
    if fault := next((one.fault for one in alike if one.fault is not None), None):
        return fault
    if not any(one.called for one in alike):
        return UNCALLED
    if not all(one.in_features and one.out_features for one in alike):
        return "it has no features, so that it computes nothing"
    reached = any(id(one.link) in learning for one in alike)
    return None if reached else "no gradient comes to it: its output only chooses, as that of an indexer"


def _leaves(tensor: Tensor) -> set[int]:
    """Identities of the leaves in the graph of a tensor."""
    found, seen, waiting = set[int](), set[object](), [tensor.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if variable is not None:
            found.add(id(variable))
        waiting += [below for below, _ in node.next_functions]
    return found


@contextmanager
def _for_a_graph(model: nn.Module) -> Iterator[None]:
    """Within it the model is in eval mode, as it is when used, and a pass makes a graph that keeps no tensor."""
    training = [module for module in model.modules() if module.training]
    attention = getattr(getattr(model, "config", None), "_attn_implementation", None)
    choose = getattr(model, "set_attn_implementation", None)
    model.eval()
    try:
        if choose is not None and attention not in PLAIN:
            choose("eager")  # another one may need more than tokens, as ours does
        with (
            torch.random.fork_rng(devices=[]),
            torch.enable_grad(),
            torch.autograd.graph.saved_tensors_hooks(_nothing, _nothing),
        ):
            yield
    finally:
        if choose is not None and attention not in PLAIN:
            choose(attention)
        for module in training:
            module.training = True


def _nothing(tensor: Tensor) -> Tensor:
    return tensor.new_empty(0)


@contextmanager
def _in_place(model: nn.Module, modules: Mapping[str, nn.Module]) -> Iterator[None]:
    """Within it these modules stand at their paths; afterwards those that stood there before."""
    before = {path: model.get_submodule(path) for path in modules}
    try:
        for path, module in modules.items():
            model.set_submodule(path, module)
        yield
    finally:
        for path, module in before.items():
            model.set_submodule(path, module)


def _features(module: nn.Module) -> tuple[int, int]:
    features = features_of(module)
    assert features is not None
    return features


def _as_one_expert(path: str, lists: list[str]) -> str:
    """The path with the number of the expert left out."""
    for experts in lists:
        if path.startswith(f"{experts}."):
            return experts + re.sub(r"^\.\d+", ".*", path.removeprefix(experts))
    return path
