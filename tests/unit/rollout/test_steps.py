"""Decoding steps by compiled code: the log-probs of the pass that trains, and the recording that it replays."""

import pytest
import torch

from paring.maths import compiled
from paring.policy.packing import packed
from paring.policy.recording import Recording
from paring.rollout import steps
from paring.rollout.engine import Sampling
from paring.rollout.local import LocalEngine
from paring.types import Key, Problem

PROMPTS = ("w5 w6 w7 w8 w9", "w9", "w1 w2 w3")
PROBLEMS = [Problem(prompt, ({"role": "user", "content": prompt},), "") for prompt in PROMPTS]
SHAPES = {
    "llama": ("llama", {}),
    "a window": ("mistral", {}),
    "biases": ("qwen2", {}),
    "norms of heads": ("qwen3", {"head_dim": 16}),
    "heads of 24, one key head": ("llama", {"hidden_size": 96, "num_key_value_heads": 1}),
    "five queries a key": ("llama", {"hidden_size": 80, "num_attention_heads": 10}),
}
built = pytest.mark.skipif(compiled.best_way() == "torch", reason="this installation had no C compiler")


@pytest.fixture
def calls(monkeypatch) -> list[str]:
    """The functions of the compiled code in the order in which decoding steps call them."""
    called, call = [], compiled.call

    def counted(work) -> None:
        called.append(type(work).__name__)
        call(work)

    monkeypatch.setattr(steps, "call", counted)
    return called


def sampled(policy, **engine):
    """Answers of different lengths, past a block of the cache: one token in thirty ends one."""
    policy.model.generation_config.eos_token_id = [1, 2]
    return LocalEngine(policy, **engine).sample(PROBLEMS, 4, Sampling(max_new_tokens=40), Key(3, 1))


@built
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("recorded", [False, True])
def test_log_probs_are_those_of_the_pass_that_trains(shape, recorded, make_policy, calls):
    family, changes = SHAPES[shape]
    policy = make_policy(family, **changes)
    with compiled.using("compiled"):
        groups = sampled(policy, rows=8, recording=Recording(1e9) if recorded else None)
    assert {"paring_norm", "paring_swiglu", "paring_attend"} <= set(calls)
    batch = packed(groups, policy.device)
    assert len({len(one.tokens) for group in groups for one in group.completions}) > 1, "rows leave at other steps"
    drawn = [torch.tensor(one.logprobs) for group in groups for one in group.completions]
    drawn_BT = torch.nn.utils.rnn.pad_sequence(drawn, batch_first=True)
    for replay in (False, True) if recorded else (False,):
        logp_BT = policy.log_probs(batch, temperature=1.0, replay=replay).detach()
        torch.testing.assert_close(logp_BT * batch.mask_BT, drawn_BT, rtol=1e-4, atol=1e-4)


@built
def test_a_layer_is_four_calls(make_policy, calls):
    """Norm, attention, norm, SwiGLU; and the norm before the first layer."""
    policy = make_policy("llama")
    with compiled.using("compiled"):
        LocalEngine(policy).sample(PROBLEMS[:1], 2, Sampling(max_new_tokens=2, temperature=0.0), Key(0, 0))
    layer = ["paring_attend", "paring_norm", "paring_swiglu", "paring_norm"]
    assert calls == ["paring_norm", *layer * 2]


def test_sizes_that_it_does_not_take_go_by_torch(make_policy, calls):
    policy = make_policy("qwen3", head_dim=12)
    LocalEngine(policy).sample(PROBLEMS[:1], 2, Sampling(max_new_tokens=3), Key(0, 0))
    assert calls == []


@built
def test_both_ways_draw_from_the_same_distribution(make_policy):
    """The log-probs of the tokens that both drew; a token on the edge of two may differ by rounding."""
    policy, found = make_policy("llama"), {}
    for way in ("torch", "compiled"):
        with compiled.using(way):
            found[way] = sampled(policy)
    pairs = [
        (one.logprobs, other.logprobs)
        for first, second in zip(found["torch"], found["compiled"], strict=True)
        for one, other in zip(first.completions, second.completions, strict=True)
        if one.tokens == other.tokens
    ]
    assert len(pairs) >= 10
    for one, other in pairs:
        assert one == pytest.approx(other, abs=1e-4)
