"""Who can carry an adapter: by what the model does with each module, on weights or on the meta device."""

from types import SimpleNamespace

import pytest
import torch
import transformers
from torch import nn

from paring.adapters.attach import attach
from paring.adapters.experts import routers
from paring.adapters.kinds import Lora
from paring.adapters.targets import UNCALLED, faults, linear_modules, targeted_modules

SIZES = dict(
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    vocab_size=64,
    max_position_embeddings=64,
    num_experts=4,
    num_local_experts=4,
    num_experts_per_tok=2,
    moe_intermediate_size=16,
    shared_expert_intermediate_size=16,
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=2,
)


def made(family: str, **changes) -> nn.Module:
    config = getattr(transformers, f"{family}Config")(**SIZES | changes)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return getattr(transformers, f"{family}ForCausalLM")(config).eval()


class Routed(nn.Linear):
    def forward(self, x):
        scores = super().forward(x)
        return scores.softmax(-1), scores.argmax(-1)


class Odd(nn.Module):
    """A text model in which each linear module is used in a way of its own."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(16, 8), nn.Linear(8, 16)
        self.plain, self.read, self.unused = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.router, self.chooser = Routed(8, 4), nn.Linear(8, 3)
        self.dated = nn.Linear(8, 8)
        self.gate = nn.Parameter(torch.zeros(6, 8))
        self.experts = nn.ModuleList(nn.Linear(8, 8) for _ in range(6))
        self.unlike = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))

    def get_input_embeddings(self):
        return self.embed

    def get_output_embeddings(self):
        return self.head

    def forward(self, input_ids, use_cache=False):
        x = self.plain(self.embed(input_ids))
        x = x @ self.read.weight
        x = x * self.router(x)[0].sum(-1, keepdim=True)
        x = x[:, torch.argsort(self.chooser(x).sum(-1)[0])]
        x = self.dated(x.to(self.dated.weight.dtype))
        chosen = int((x @ self.gate.T)[0, 0].argmax())
        x = self.unlike[0](self.experts[chosen](x))
        return SimpleNamespace(logits=self.head(x))


def test_what_the_model_does_with_a_module_decides():
    model = Odd()
    before = torch.random.get_rng_state()
    found = faults(model)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert [path for path, fault in found.items() if fault is None] == [
        "head", "plain", *(f"experts.{number}" for number in range(6)), "unlike.0",
    ]  # fmt: skip
    assert "reads its weight" in found["read"] and "reads its weight" in found["dated"]
    assert "no tensor of its out-features" in found["router"]
    assert found["unused"] == found["unlike.1"] == UNCALLED
    assert "no gradient comes to it" in found["chooser"]
    assert model.training and list(linear_modules(model)) == list(found)  # as it was


@pytest.mark.parametrize(
    ("target", "reason"),
    [("read", "read, which cannot carry an adapter: the model reads its weight"), ("unused", UNCALLED)],
)
def test_a_named_target_that_cannot_carry_one_is_refused_with_its_reason(target, reason):
    model = Odd()
    with pytest.raises(ValueError, match=reason):
        attach(model, Lora(targets=("plain", target)), seed=0)
    assert all(parameter.requires_grad for parameter in model.parameters())
    # "1" names an expert, and a module that is not called.
    assert list(targeted_modules(model, ("1",))) == ["experts.1"]


def test_a_model_that_does_not_run_is_refused():
    model = Odd()
    model.embed = nn.Embedding(2, 8)
    with pytest.raises(ValueError, match="Odd does not run on tokens alone"):
        attach(model, Lora(), seed=0)


FAMILIES = {
    "Llama": {},
    "Mixtral": {},
    "Qwen2Moe": {},
    "Phimoe": {},
    "Mamba": {"state_size": 8},
    "Jamba": {"mamba_d_state": 4, "mamba_dt_rank": 4, "num_hidden_layers": 8},
    "Rwkv": {"attention_hidden_size": 32},
    "JetMoe": {"kv_channels": 8, "num_attention_heads": 4},
}
LEFT_OUT = {
    "Mamba": {"dt_proj"},
    "Jamba": {"dt_proj"},
    "Phimoe": {"router"},
    "Qwen2Moe": {"shared_expert_gate"},
    "Rwkv": {"output", "value"},
    "JetMoe": {"layer"},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_all_linear_learns_and_leaves_out_what_the_model_reads_or_routes_by(family):
    model = made(family, **FAMILIES[family])
    tokens = torch.arange(3, 15)[None]
    logits = made(family, **FAMILIES[family])(input_ids=tokens, use_cache=False).logits.detach()
    with torch.device("meta"):
        on_meta = type(model)(model.config)
    planned = list(targeted_modules(on_meta, "all-linear"))
    every = [path for path in linear_modules(model) if "head" not in path]
    adapters = attach(model, Lora(rank=2), seed=0)
    assert list(adapters) == planned
    left_out = {path.rpartition(".")[2] for path in every if path not in adapters}
    assert left_out == LEFT_OUT.get(family, set())
    again = model(input_ids=tokens, use_cache=False).logits
    assert torch.equal(again, logits)
    again.square().sum().backward()
    assert all(adapter.B_OR.grad.abs().sum() > 0 for adapter in adapters.values())


def test_a_router_of_several_layers_is_left_out_and_a_shared_expert_is_not():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.experts = nn.ModuleList(nn.Linear(8, 8) for _ in range(4))
            self.router = nn.Sequential(nn.Linear(8, 6), nn.GELU(), nn.Linear(6, 5))  # one for none of them
            self.shared = nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 8))  # as wide as there are experts
            self.gate = nn.Linear(8, 1)

    assert routers(nn.ModuleDict({"mlp": Block()})) == {"mlp.router.0", "mlp.router.2", "mlp.gate"}


def test_a_module_without_features_carries_nothing():
    """Shared experts of which there are none: transformers makes layers of width 0."""
    model = made("AriaText", moe_num_experts=4, moe_topk=2, moe_num_shared_experts=0)
    adapters = attach(model, Lora(rank=2), seed=1)
    assert not [path for path in adapters if "shared_experts" in path]
    assert (
        faults(model)["model.layers.0.mlp.shared_experts.up_proj"] == "it has no features, so that it computes nothing"
    )
