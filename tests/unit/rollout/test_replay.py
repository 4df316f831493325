"""A recorded rollout replayed: log-probs and gradients are those of a forward pass of its own."""

import pytest
import torch

from paring.adapters import lowrank
from paring.adapters.attach import attach, parameters_by_name
from paring.adapters.kinds import L1ra, Lora
from paring.maths.objectives import Grpo, Rgra
from paring.policy.model import Policy
from paring.policy.packing import packed
from paring.policy.recording import Recording
from paring.rollout.engine import Rollout, Sampling
from paring.rollout.local import LocalEngine
from paring.runtime.machine import Stopwatch
from paring.training.optim import Adam, Optimiser
from paring.training.update import Worth, improve
from paring.types import Key, Problem

SAMPLING = Sampling(max_new_tokens=12, temperature=1.0)
PROMPTS = ("w5 w6 w7 w8 w9", "w9", "w1 w2 w3")
PROBLEMS = [Problem(prompt, ({"role": "user", "content": prompt},), "") for prompt in PROMPTS]


def sampled(policy, recording, **engine):
    """Answers of different lengths: one token in ten ends one."""
    policy.model.generation_config.eos_token_id = [1, 2, 3, 4, 5, 6]
    return LocalEngine(policy, recording=recording, **engine).sample(PROBLEMS, 4, SAMPLING, Key(3, 1))


def gradients(policy, batch, *, replay):
    """The gradient of a sum in which every log-prob weighs something else."""
    named = parameters_by_name(policy.adapters)
    for parameter in named.values():
        parameter.grad = None
    logp_BT = policy.log_probs(batch, temperature=0.8, replay=replay)
    weight_BT = torch.linspace(-1, 2, logp_BT.numel()).view_as(logp_BT)
    (logp_BT * weight_BT).sum().backward()
    return logp_BT.detach(), {name: parameter.grad.clone() for name, parameter in named.items()}


def assert_same(policy, batch):
    assert batch.known is not None
    logp_BT, expected = gradients(policy, batch, replay=False)
    replayed_BT, found = gradients(policy, batch, replay=True)
    torch.testing.assert_close(replayed_BT, logp_BT, rtol=1e-5, atol=2e-5)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=2e-4, atol=2e-4 * float(gradient.abs().max()))


@pytest.mark.parametrize("rows", [4, 100])
def test_log_probs_and_gradients_are_those_of_a_forward_pass(family, make_policy, rows):
    policy = make_policy(family)
    groups = sampled(policy, Recording(1e9), rows=rows)
    lengths = {len(completion.tokens) for group in groups for completion in group.completions}
    assert len(lengths) > 1, "rows must have left while others went on"
    assert_same(policy, packed(groups, policy.device))
    assert_same(policy, packed(groups[2:0:-1], policy.device))


def test_a_replay_computes_no_product_of_the_base_again(make_policy, monkeypatch):
    policy = make_policy("llama")
    batch = packed(sampled(policy, Recording(1e9)), policy.device)

    def forbidden(*_):
        raise AssertionError("a linear module of the base was run")

    monkeypatch.setattr(lowrank, "frozen_linear", forbidden)
    gradients(policy, batch, replay=True)
    with pytest.raises(AssertionError, match="was run"):
        gradients(policy, batch, replay=False)


@pytest.mark.parametrize("kind", [L1ra(rank=3), Lora(rank=3, targets=["q_proj", "down_proj"])], ids=["l1ra", "some"])
def test_gates_and_modules_without_an_adapter(tiny, tokenizer, kind):
    base = tiny("qwen2")
    adapters = attach(base, kind, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for adapter in adapters.values():
            adapter.B_OR.normal_(0, 0.2, generator=generator)
            if adapter.c_R is not None:
                adapter.c_R.uniform_(0.2, 1.0, generator=generator)
    policy = Policy(base, tokenizer, adapters)
    assert_same(policy, packed(sampled(policy, Recording(1e9)), policy.device))


def test_adapters_on_the_upper_layers_alone(tiny, tokenizer):
    base = tiny("llama", num_hidden_layers=3)
    adapters = attach(base, Lora(rank=3, targets=["layers.2.self_attn.v_proj", "layers.2.mlp.down_proj"]), seed=1)
    for adapter in adapters.values():
        torch.nn.init.normal_(adapter.B_OR, std=0.2)
    policy = Policy(base, tokenizer, adapters)
    assert policy.hidden.first_adapted == 2
    assert_same(policy, packed(sampled(policy, Recording(1e9)), policy.device))


def test_what_finds_no_room_is_not_traced(make_policy):
    policy = make_policy("llama")
    recording = Recording(1e9)
    whole = sampled(policy, recording)
    row_bytes = sum(part[:, 0].nbytes for part in recording.parts.values())
    exact = sampled(policy, Recording(row_bytes * recording.rows))
    short = sampled(policy, Recording(row_bytes * recording.rows - 1))
    assert all(group.trace is not None for group in whole + exact)
    assert all(group.trace is None for group in short)
    assert whole == exact == short == sampled(policy, None)
    assert packed(short, policy.device).known is None


def test_a_trace_holds_until_the_next_rollout(make_policy):
    policy = make_policy("llama")
    recording = Recording(1e9)
    first = sampled(policy, recording)
    memory = {name: part.data_ptr() for name, part in recording.parts.items()}
    assert packed(first, policy.device).known is not None
    second = sampled(policy, recording)
    assert packed(first, policy.device).known is None and packed([first[0], second[1]], policy.device).known is None
    assert_same(policy, packed(second, policy.device))
    assert memory == {name: part.data_ptr() for name, part in recording.parts.items()}, "memory must be used again"


@pytest.mark.parametrize("objective", [Rgra(), Rgra(kl_coef=0.3), Grpo()], ids=str)
@pytest.mark.parametrize("changes", [{}, {"updates": 3}, {"minibatches": 3}, {"tokens_per_pass": 20}], ids=str)
def test_an_update_is_the_same_with_and_without_a_recording(make_policy, objective, changes):
    advantage_PG = torch.tensor([[1.0, -0.5, 0.0, -0.5], [0.0] * 4, [0.3, 0.3, 0.0, -0.6]], dtype=torch.float64)
    after = {}
    for recording in (None, Recording(1e9)):
        policy = make_policy("llama")
        optimiser = Optimiser(parameters_by_name(policy.adapters), Adam(lr=1e-2, epsilon=1e-3))
        cuts = {"tokens_per_pass": 10_000} | changes
        repeats = {name: cuts.pop(name) for name in ("updates", "minibatches") if name in cuts}
        rollout = Rollout(problems=3, group_size=4, max_new_tokens=9, **repeats)
        worth = Worth(sampled(policy, recording), advantage_PG, torch.ones_like(advantage_PG, dtype=torch.bool), 1)
        others = {"lr": 1e-2, "seed": 0, "watch": Stopwatch()}
        measures = improve(policy, optimiser, worth, objective, rollout, **cuts, **others).measures
        values = {name: one.detach().clone() for name, one in parameters_by_name(policy.adapters).items()}
        after[recording is None] = values, measures
    for name, value in after[True][0].items():
        torch.testing.assert_close(after[False][0][name], value, rtol=1e-3, atol=1e-4)
    for name, measure in after[True][1].items():
        assert after[False][1][name] == pytest.approx(measure, rel=1e-3, abs=1e-4)
