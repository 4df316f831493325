"""The sizes of a model that decide its memory, read from its configuration; no weights are loaded."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from paring.adapters.linear import features_of
from paring.adapters.targets import Targets, linear_modules, targeted_modules
from paring.adapters.weightless import weightless
from paring.policy.context import context_of
from paring.policy.decoder import decoder, is_written_out
from paring.policy.model import by_transformers
from paring.policy.packing import Shared, pack
from paring.policy.probe import PROMPT, TOKENS, Misfit, attend_packed, reason_of_configuration, reasons
from paring.policy.sharding import Ends, Indivisible, layers_of
from paring.policy.wrappers import unweighted


@dataclass(frozen=True)
class Linear:
    """A linear module that can carry an adapter."""

    path: str
    inputs: int
    outputs: int

    @property
    def rank_cost(self) -> int:
        """Parameters of one rank of an adapter on it: a row of A and a column of B."""
        return self.inputs + self.outputs

    @property
    def source(self) -> tuple[str, int, bool]:
        """Modules of the same source read the same tensor: queries, keys and values do, and gate and up. The last
        product of a block reads another one, which may be as wide."""
        block, _, name = self.path.rpartition(".")
        return block, self.inputs, name in LAST_PRODUCTS


LAST_PRODUCTS = frozenset({"o_proj", "out_proj", "dense", "down_proj", "c_proj", "fc2"})
"""Names that transformers' decoders give to the last product of attention or MLP."""


@dataclass(frozen=True)
class Shapes:
    """The sizes of a model. `written_out`: whether our own forward pass serves it (policy/decoder.py). `packed`:
    whether its passes may be packed, by all that can be seen without weights (policy/probe.py).

    `intermediate` is the width that one token meets in an MLP: in a mixture of experts, that of its own experts.
    `numbers_per_token` is Decoder's count of the numbers that a layer keeps of a token, by which it chooses the layers
    to compute again; 0 where it does not serve."""

    name: str
    parameters: int
    linear: tuple[Linear, ...]
    head: int
    layers: int
    hidden: int
    intermediate: int
    heads: int
    key_heads: int
    head_size: int
    vocabulary: int
    context: int
    head_norms: bool
    written_out: bool
    packed: bool
    numbers_per_token: int
    in_layers: int
    """Numbers in the decoder's layers, which processes may divide; 0 where they have no one list."""
    at_ends: int
    """... and in embedding and head."""

    @property
    def linear_weights(self) -> int:
        return sum(module.inputs * module.outputs for module in self.linear)


def shapes_of(model: PreTrainedModel) -> Shapes:
    """The sizes of a model, which may stand on the meta device.

    Raises ValueError for architectures without attention heads, or whose output embeddings are not linear."""
    text = model.config.get_text_config()
    heads = getattr(text, "num_attention_heads", None)
    if not heads:
        raise ValueError(
            f"{type(model).__name__} has no attention heads: the plan knows decoders with attention only, and so does "
            "training (Llama, Qwen2, Qwen3, Mistral, Gemma, ...)"
        )
    head = model.get_output_embeddings()
    if not isinstance(head, nn.Linear):
        raise ValueError(f"{type(model).__name__} has no linear output embeddings, and its logits cannot be counted")
    written_out = is_written_out(model)
    hidden = text.hidden_size
    return Shapes(
        name=type(model).__name__,
        parameters=sum(parameter.numel() for parameter in model.parameters()),  # tied ones stand once
        linear=_as_linear({path: m for path, m in linear_modules(model).items() if m is not head}),
        head=head.weight.numel(),
        layers=text.num_hidden_layers,
        hidden=hidden,
        intermediate=_intermediate(text),
        heads=heads,
        key_heads=getattr(text, "num_key_value_heads", None) or heads,
        head_size=getattr(text, "head_dim", None) or hidden // heads,
        vocabulary=text.vocab_size,
        context=context_of(text),
        head_norms=any(path.endswith(".q_norm") for path, _ in model.named_modules()),
        written_out=written_out,
        packed=written_out or packs_by_form(model),
        numbers_per_token=decoder(model).bytes_per_token // model.dtype.itemsize if written_out else 0,
        in_layers=_in_layers(model),
        at_ends=sum(one.numel() for one in Ends(model).parameters()),
    )


def packs_by_form(model: PreTrainedModel) -> bool:
    """Whether a model on the meta device takes a packed pass, whatever it computes there."""
    if reason_of_configuration(model) is not None:
        return False
    own = model.config._attn_implementation or "eager"
    tokens = list(range(TOKENS))
    batch = pack([Shared(tokens[:PROMPT], [tokens[PROMPT:]])], torch.device("cpu"))
    try:
        with weightless(model), torch.no_grad(), reasons():
            attend_packed(model)
            by_transformers(model, batch.token_N[None], batch.position_N[None], batch.layout)
    except Misfit:
        return False
    finally:
        model.set_attn_implementation(own)
    return True


def targets_of(model: PreTrainedModel, targets: Targets) -> tuple[Linear, ...]:
    """The modules that would carry adapters. Raises ValueError as `attach` does."""
    return _as_linear(targeted_modules(model, targets))


def on_meta(config: PreTrainedConfig) -> PreTrainedModel:
    """The model on torch's meta device, where tensors have shapes and no memory.

    Raises ValueError where transformers cannot build it from its configuration."""
    try:
        with torch.device("meta"):
            return unweighted(config)
    except Exception as error:  # whatever transformers raises over odd configurations
        raise ValueError(f"transformers cannot build a {config.model_type} from its configuration: {error}") from error


def _as_linear(modules: Mapping[str, nn.Module]) -> tuple[Linear, ...]:
    features = {path: features_of(module) for path, module in modules.items()}
    return tuple(Linear(path, *given) for path, given in features.items() if given is not None)


def _in_layers(model: PreTrainedModel) -> int:
    try:
        return sum(one.numel() for one in layers_of(model).parameters())
    except Indivisible:
        return 0


def _intermediate(text: PreTrainedConfig) -> int:
    experts = getattr(text, "num_experts_per_tok", None)
    if experts and getattr(text, "moe_intermediate_size", None):
        return experts * text.moe_intermediate_size
    wide = getattr(text, "intermediate_size", None) or getattr(text, "n_inner", None) or 4 * text.hidden_size
    return (experts or 1) * max(wide if isinstance(wide, list) else [wide])
