"""Models of real shapes with random weights, made where they are used: nothing is fetched, and little has to travel."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from paring.adapters.attach import attach
from paring.adapters.kinds import Lora
from paring.policy.attention import use_own, use_packed
from paring.policy.model import Policy
from paring.types import Problem

QWEN = {"vocab_size": 151_936, "num_key_value_heads": 2, "tie_word_embeddings": True, "rope_theta": 1e6}
LLAMA = {"vocab_size": 128_256, "num_key_value_heads": 8, "tie_word_embeddings": False, "rope_theta": 5e5}
KINDS = {"qwen": (Qwen2ForCausalLM, Qwen2Config, QWEN), "llama": (LlamaForCausalLM, LlamaConfig, LLAMA)}
# Family, hidden, intermediate, layers, query heads: Qwen2.5 of three sizes, and Llama 3.1 of two.
SHAPES = {
    "0.5b": ("qwen", 896, 4864, 24, 14),
    "1.5b": ("qwen", 1536, 8960, 28, 12),
    "3b": ("qwen", 2048, 11_008, 36, 16),
    "8b": ("llama", 4096, 14_336, 32, 32),
    "70b": ("llama", 8192, 28_672, 80, 64),
    "tiny": ("qwen", 64, 160, 2, 4),
}
TINY_VOCABULARY = 500
CONTEXT = 8192
SPREAD_OF_B = 0.01
"""Enough for the adapters to change the tokens."""


def config_of(name: str) -> PreTrainedConfig:
    family, hidden, intermediate, layers, heads = SHAPES[name]
    _, config, own = KINDS[family]
    vocabulary = TINY_VOCABULARY if name == "tiny" else own["vocab_size"]
    sizes = {"hidden_size": hidden, "intermediate_size": intermediate, "num_hidden_layers": layers}
    sizes |= {"num_attention_heads": heads, "vocab_size": vocabulary, "max_position_embeddings": CONTEXT}
    ends = {"bos_token_id": None, "pad_token_id": 0, "eos_token_id": vocabulary - 1}
    return config(**own | sizes | ends)


def random_model(name: str, dtype: torch.dtype, device: torch.device) -> PreTrainedModel:
    """The same name and device give the same weights, frozen and in eval mode."""
    kind, config = KINDS[SHAPES[name][0]][0], config_of(name)
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = kind(config)
    finally:
        torch.set_default_dtype(before)
    return model.eval().requires_grad_(False)


def word_tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    """The word w<n> is token n, for every n; the last one ends an answer."""
    words = Tokenizer(models.WordLevel({f"w{token}": token for token in range(vocabulary)}, unk_token="w0"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, eos_token=f"w{vocabulary - 1}", pad_token="w0")


def random_policy(name: str, dtype: torch.dtype, device: torch.device, *, rank: int) -> Policy:
    """Adapters of scale 1 on all linear modules, with a B that is not 0."""
    model = random_model(name, dtype, device)
    adapters = attach(model, Lora(rank=rank, alpha=float(rank)), seed=0)
    generator = torch.Generator(device).manual_seed(0)
    with torch.no_grad():
        for adapter in adapters.values():
            adapter.B_OR.normal_(0, SPREAD_OF_B, generator=generator)
    return Policy(model, word_tokenizer(model.config.vocab_size), adapters)


def random_problems(count: int, tokens: int, vocabulary: int) -> list[Problem]:
    """Prompts of so many random words."""
    generator = torch.Generator().manual_seed(0)
    words = torch.randint(1, vocabulary - 1, (count, tokens), generator=generator).tolist()
    return [
        Problem(f"words/{index}", ({"role": "user", "content": " ".join(f"w{word}" for word in row)},), "")
        for index, row in enumerate(words)
    ]


def in_precision(model: PreTrainedModel, dtype: torch.dtype) -> None:
    """The weights of the base in another type; those of the adapters stay."""
    for parameter in model.parameters():
        if not parameter.requires_grad:
            parameter.data = parameter.data.to(dtype)


@contextmanager
def by_transformers(model: PreTrainedModel) -> Iterator[PreTrainedModel]:
    """Within it, the model attends as transformers does by default: its own forward pass and `generate` can be used."""
    use_own(model)
    try:
        yield model
    finally:
        use_packed(model)
