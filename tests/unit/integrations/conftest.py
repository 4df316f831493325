"""Small models for the integrations."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM


@pytest.fixture
def tiny_llama() -> Callable[[], LlamaForCausalLM]:
    """Builds two-layer models with equal random weights."""

    def build() -> LlamaForCausalLM:
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=40,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
        )
        return LlamaForCausalLM(config).eval()

    return build


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randint(0, 40, (2, 9), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def pair() -> Callable[[], nn.Sequential]:
    """Builds a model of two linear modules, called 0 and 1."""

    def build() -> nn.Sequential:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 4)).eval()

    return build
