"""The share of a model that adapters cover: counted by hand."""

import pytest
from transformers import GPT2Config, GPT2LMHeadModel, Qwen3MoeConfig, Qwen3MoeForCausalLM

from paring.adapters.attach import attach
from paring.adapters.coverage import coverage, in_words
from paring.adapters.kinds import Lora


@pytest.mark.parametrize("tied", [False, True])
def test_a_dense_model(tiny_llama, tied):
    model = tiny_llama(tie_word_embeddings=tied)
    attach(model, Lora(rank=2), seed=0)
    # A layer: 2 x 32 x 32 + 2 x 32 x 16 + 3 x 32 x 48 = 7,680. Embeddings: 64 x 32 each, once where they are tied.
    linear, embeddings = 2 * 7_680, 2_048 * (1 if tied else 2)
    total = linear + embeddings
    assert coverage(model) == {"adapted": linear / total, "embeddings": embeddings / total}


def test_some_targets_and_a_layer_of_experts(tiny_llama):
    model = tiny_llama()
    attach(model, Lora(rank=2, targets=("q_proj",)), seed=0)
    shares = coverage(model)
    assert shares["other linear layers"] == (2 * 7_680 - 2_048) / (2 * 7_680 + 4_096)
    experts = Qwen3MoeForCausalLM(
        Qwen3MoeConfig(
            hidden_size=32, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
            vocab_size=64, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16, tie_word_embeddings=True,
        )
    )  # fmt: skip
    attach(experts, Lora(rank=2), seed=0)
    # Attention 3,072; 4 experts of 3 x 32 x 16; a router of 4 x 32; embeddings 2,048.
    total = 3_072 + 6_144 + 128 + 2_048
    shares = coverage(experts)
    assert shares == {
        "adapted": 3_072 / total, "embeddings": 2_048 / total, "stacked experts": 6_144 / total,
        "the rest": 128 / total,
    }  # fmt: skip
    assert in_words(shares) == (
        "on 27 % of its matrix parameters, not on embeddings (18 %), stacked experts (54 %), the rest (1 %)"
    )


def test_transposed_layers_count_like_others():
    model = GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=1, n_head=4, vocab_size=64, n_positions=16))
    attach(model, Lora(rank=2), seed=0)
    # 12 x 32 x 32; the tied embedding 64 x 32, the positions 16 x 32.
    total = 12_288 + 2_048 + 512
    assert coverage(model) == {"adapted": 12_288 / total, "embeddings": 2_048 / total, "the rest": 512 / total}
