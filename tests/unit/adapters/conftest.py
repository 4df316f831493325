"""A tiny Llama with random weights: grouped-query attention, an untied head, 14 linear modules under it."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM


@pytest.fixture
def tiny_llama():
    """Makes the model; the same seed gives the same weights."""

    def make(seed: int = 0, **changes) -> LlamaForCausalLM:
        config = LlamaConfig(
            **{
                "hidden_size": 32,
                "intermediate_size": 48,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "vocab_size": 64,
                "tie_word_embeddings": False,
            }
            | changes
        )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = LlamaForCausalLM(config)
            # Llama's own initialisation (0.02) gives logits so small that a wrong adapter could hide in a tolerance.
            for parameter in model.parameters():
                if parameter.ndim == 2:
                    parameter.data.normal_(0, 0.2)
        return model.eval()

    return make


@pytest.fixture
def tokens():
    return torch.randint(64, (2, 7), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def randomise():
    """Gives adapters a B that is not zero, so that they change the function."""

    def fill(adapters, seed: int = 2) -> None:
        generator = torch.Generator().manual_seed(seed)
        for adapter in adapters.values():
            adapter.B_OR.data.normal_(0, 0.2, generator=generator)

    return fill
