"""How much of a model its adapters cover, and what they do not stand on."""

from collections.abc import Collection

from torch import nn

from paring.adapters.experts import stacked_experts
from paring.adapters.linear import features_of
from paring.adapters.lowrank import LowRankLinear
from paring.adapters.targets import TextModel

ADAPTED, EMBEDDINGS, EXPERTS = "adapted", "embeddings", "stacked experts"
LINEAR, REST = "other linear layers", "the rest"
KINDS: tuple[str, ...] = (ADAPTED, EMBEDDINGS, EXPERTS, LINEAR, REST)


def coverage(model: nn.Module, planned: Collection[nn.Module] = ()) -> dict[str, float]:
    """The share of a model's matrix parameters by what stands on them, of KINDS those that it has: adapters; or none,
    for they are token or output embeddings, experts stacked in one parameter, linear layers, or something else.
    Adapters that are `planned` for modules count as those that are there.

    A parameter of two dimensions or more is a matrix; one that is used in two places counts once."""
    sizes = dict.fromkeys(KINDS, 0)
    seen: set[int] = set()

    def add(kind: str, parameter: object, size: int) -> None:
        if id(parameter) not in seen:
            sizes[kind] += size
        seen.add(id(parameter))

    embeddings = [model.get_input_embeddings(), model.get_output_embeddings()] if isinstance(model, TextModel) else []
    for embedding in embeddings:
        for parameter in embedding.parameters(recurse=False) if embedding is not None else ():
            add(EMBEDDINGS, parameter, parameter.numel() if parameter.ndim > 1 else 0)
    adapted = {*planned, *(one.base for one in model.modules() if isinstance(one, LowRankLinear))}
    for module in model.modules():
        features = features_of(module)
        for name, parameter in module.named_parameters(recurse=False):
            if isinstance(module, LowRankLinear) or parameter.ndim < 2:
                continue
            if features is not None and name == "weight":
                # By its features, for a quantised weight is packed.
                add(ADAPTED if module in adapted else LINEAR, parameter, features[0] * features[1])
            else:
                add(EXPERTS if stacked_experts(module) else REST, parameter, parameter.numel())
    total = sum(sizes.values())
    return {kind: size / total for kind, size in sizes.items() if size}


def in_words(shares: dict[str, float]) -> str:
    """As in "on 79 % of its matrix parameters, not on embeddings (21 %)"."""
    rest = [f"{kind} ({_percent(share)})" for kind, share in shares.items() if kind != ADAPTED]
    without = f", not on {', '.join(rest)}" if rest else ""
    return f"on {_percent(shares.get(ADAPTED, 0.0))} of its matrix parameters{without}"


def _percent(share: float) -> str:
    return "< 1 %" if 0 < share < 0.005 else f"{share:.0%}".replace("%", " %")
