"""Rows that a GPU's memory holds: by hand, and against what decoding really keeps."""

from types import SimpleNamespace

import pytest
import torch
from transformers import LlamaConfig, Qwen3Config

from paring.rollout import room, static
from paring.rollout.engine import Sampling
from paring.rollout.noise import uniforms
from paring.rollout.packed_policy import Sampler
from paring.rollout.room import bytes_of_group, groups_that_fit, key_value_bytes
from paring.rollout.static_rows import StaticRows
from paring.types import Key


def test_512_rows_of_4_thousand_tokens_are_no_bound(monkeypatch):
    """36 layers, 8 key heads of 128, bf16: 147,456 bytes a token, 309 GB in all."""
    token = key_value_bytes(layers=36, key_heads=8, head_size=128, itemsize=2)
    assert token == 147_456
    assert 512 * 4096 * token / 1e9 == pytest.approx(309, abs=0.5)
    config = Qwen3Config(
        num_hidden_layers=36, num_key_value_heads=8, num_attention_heads=32, head_dim=128, hidden_size=4096
    )
    group = bytes_of_group(config, itemsize=2, prompt=96, new_tokens=4000, group_size=8)
    assert group_bytes_of_tokens(token) < group < 1.2 * group_bytes_of_tokens(token)
    # 80 GB, of which the weights take 16.
    monkeypatch.setattr(room, "free_bytes", lambda device: 64_000_000_000)
    model = SimpleNamespace(config=config, dtype=torch.bfloat16, device=None)
    assert groups_that_fit(model, prompt=96, new_tokens=4000, group_size=8) == int(0.8 * 64e9) // group == 10
    monkeypatch.setattr(room, "free_bytes", lambda device: 1000)
    assert groups_that_fit(model, prompt=96, new_tokens=4000, group_size=8) == 1  # less cannot be decoded


def group_bytes_of_tokens(token: int) -> int:
    return token * (96 + 8 * 4000)


@torch.no_grad()
def test_keys_and_values_are_what_decoding_keeps(make_policy, monkeypatch):
    policy = make_policy("qwen2")
    made: list[StaticRows] = []
    monkeypatch.setattr(static, "StaticRows", lambda *sizes: made.append(StaticRows(*sizes)) or made[0])
    noise_BT = torch.stack([torch.from_numpy(uniforms(Key(0, 0), "p", member, 6)) for member in range(4)]).numpy()
    decoding = static.StaticDecoding(
        Sampler(policy.hidden, policy.logits), [(1, 2, 3)], 4, Sampling(max_new_tokens=6), noise_BT, (), policy.device
    )
    decoding.run(1)
    layers = (made[0].prompt_layers, made[0].own_layers)
    kept = sum(part.nbytes for one in layers for pair in one.values() for part in pair)
    token = key_value_bytes(layers=2, key_heads=2, head_size=8, itemsize=4)
    assert kept == token * (3 + 4 * 6)


def test_a_config_without_head_size_divides_the_hidden_size():
    given = dict(hidden_size=64, num_attention_heads=4, num_hidden_layers=1, intermediate_size=10, vocab_size=7)
    config = LlamaConfig(**given, num_key_value_heads=2)
    # 2 x 2 heads of 16 in bf16 a token; 5 x 7 logits and 3 x 4 x 5 scores a row; 3 x (10 + 64) numbers of the prompt.
    assert bytes_of_group(config, itemsize=2, prompt=3, new_tokens=2, group_size=1) == (
        2 * 2 * 16 * 2 * (3 + 2) + (5 * 7 + 3 * 4 * 5) * 4 + 3 * 3 * (10 + 64) * 2
    )
