"""The head of a model: found, its answer measured, and what it receives from the model's own forward pass."""

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from paring.adapters.lowrank import LowRankLinear
from paring.maths.logprobs import Head

SMALL, LARGE = 2.0**-10, 2.0**20
"""A product that no cap bends, and one that every cap does."""
PRODUCTS = (0.0, SMALL, -SMALL, 0.5, -0.5, 3.0, -3.0, 20.0, -20.0, 300.0, -300.0, LARGE, -LARGE)
"""The head's products at which the model's answer is measured."""
ROUNDING = 1e-5
"""The error of fp32 in a division and a hyperbolic tangent."""


def linear_head(model: PreTrainedModel) -> nn.Linear:
    """The module that makes the logits. Raises ValueError where it is no linear layer, or has an adapter."""
    head = model.get_output_embeddings()
    if isinstance(head, LowRankLinear):
        raise ValueError("its output embeddings have an adapter: leave lm_head out of adapter.targets")
    if not isinstance(head, nn.Linear):
        raise ValueError("its output embeddings are not one linear layer, and log-probs need that")
    return head


@torch.no_grad()
def head_of(model: PreTrainedModel, token_1N: Tensor) -> Head:
    """The head with its scale and its soft cap, which are measured: the model is run on a few tokens, PRODUCTS stand in
    for the head's products, and what the model makes of them is its answer. So no setting of any name is missed, and
    products that a small model never has are tried too.

    Raises ValueError where the answer is no scale and no cap, or the head is not what makes the logits."""
    linear = linear_head(model)
    put_in = torch.tensor(PRODUCTS, device=model.device)
    asked: list[Tensor] = []

    def stand_in(module: nn.Module, given: tuple[Tensor, ...], product: Tensor) -> Tensor:
        if product.ndim != 3:
            raise ValueError("its head makes logits of several streams, and not of one sequence of tokens")
        asked.append(put_in.repeat(-(-product.shape[-1] // len(put_in)))[: product.shape[-1]])
        return asked[-1].expand(product.shape)

    with linear.register_forward_hook(stand_in):
        logits = model(input_ids=token_1N, use_cache=False).logits
    misfit = "its logits are something else than its head, a scale and a soft cap"
    if len(asked) != 1 or logits.ndim != 3 or logits.shape[-1] > len(asked[0]):
        raise ValueError(misfit)
    logit_V = logits[0, -1].float()
    vocabulary = len(logit_V)
    product_V = asked[0][:vocabulary]
    if vocabulary < len(PRODUCTS):
        raise ValueError(f"{misfit}, or its vocabulary of {vocabulary} is too small to tell")
    scale = float(logit_V[PRODUCTS.index(SMALL)]) / SMALL
    largest = float(logit_V[PRODUCTS.index(LARGE)])
    is_capped = abs(largest) < abs(scale) * LARGE * (1 - ROUNDING)
    is_whole = vocabulary == len(linear.weight)
    weight_VD, bias_V = linear.weight, linear.bias
    head = Head(
        weight_VD if is_whole else weight_VD[:vocabulary],
        bias_V if is_whole or bias_V is None else bias_V[:vocabulary],
        float(f"{scale:.6g}") if is_capped else scale,  # a tangent has rounded it
        float(f"{largest:.6g}") if is_capped else None,
    )
    if not torch.allclose(head.bounded(product_V.clone()), logit_V, rtol=ROUNDING, atol=ROUNDING * SMALL):
        raise ValueError(misfit)
    return head


def into_head(model: PreTrainedModel, **given: object) -> Tensor:
    """What the model's head receives: hidden states [B, N, D], with a gradient. No logits are made of them."""
    received: list[Tensor] = []

    def take(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        received.append(args[0])
        return (args[0][..., :0, :], *args[1:])

    with linear_head(model).register_forward_pre_hook(take):
        model(**given, use_cache=False)
    assert len(received) == 1, "head_of has seen to it that the head is asked once"
    return received[0]
