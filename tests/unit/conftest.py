"""Tiny models with random weights of the families that must work, a tokenizer of plain words, policies of both."""

from collections import Counter
from collections.abc import Iterator

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.overrides import TorchFunctionMode
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from typer.testing import CliRunner

from paring.adapters.attach import attach
from paring.adapters.kinds import Lora
from paring.cli import app
from paring.maths import compiled
from paring.policy.model import Policy

VOCABULARY = 64
FAMILIES = {
    "llama": (LlamaForCausalLM, LlamaConfig, {}),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, {}),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, {"head_dim": 12}),
    "mistral": (MistralForCausalLM, MistralConfig, {"sliding_window": 6}),
}


HOSTILE = (
    "<script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    "\x1b[2J\x1b]0;title\x07 | *bold* [link](javascript:alert(1))",
    "\u202egnp.exe \u200b\x00\x08",
    "half \ud800 a pair",
    "a\nb\r\nc\td",
)


@pytest.fixture(params=HOSTILE, ids=range(len(HOSTILE)))
def hostile(request) -> str:
    return request.param


@pytest.fixture(params=FAMILIES)
def family(request) -> str:
    return request.param


@pytest.fixture(params=["torch", "compiled"])
def way(request) -> Iterator[str]:
    """Decoding steps by each way that this installation has."""
    if request.param == "compiled" and compiled.best_way() == "torch":
        pytest.skip("this installation had no C compiler")
    with compiled.using(request.param):
        yield request.param


@pytest.fixture(scope="session")
def tiny():
    """Makes a model of a family, two query heads a key head; the same seed gives the same weights."""

    def make(family: str = "llama", seed: int = 0, **changes):
        kind, config_kind, own = FAMILIES[family]
        shape = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
        shape |= dict(num_key_value_heads=2, vocab_size=VOCABULARY, max_position_embeddings=256)
        shape |= dict(tie_word_embeddings=False, eos_token_id=VOCABULARY - 1, pad_token_id=0, bos_token_id=None)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = kind(config_kind(**shape | own | changes))
            # At the families' own initialisation (0.02) all tokens are as likely: an error would hide in a tolerance.
            for parameter in model.parameters():
                parameter.data.normal_(1 if parameter.ndim == 1 else 0, 0.3)
        return model.eval().requires_grad_(False)

    return make


ANY = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)
ANY |= dict(vocab_size=VOCABULARY, max_position_embeddings=256, eos_token_id=63, pad_token_id=0, bos_token_id=None)
EXPERTS = dict(num_experts=4, num_local_experts=4, num_experts_per_tok=2, moe_intermediate_size=24)
EXPERTS |= dict(shared_expert_intermediate_size=24)
LATENT = dict(num_key_value_heads=4, kv_lora_rank=8, q_lora_rank=8, qk_nope_head_dim=8, qk_rope_head_dim=4)
LATENT |= dict(v_head_dim=6)
ROUTED = dict(n_group=1, n_routed_experts=4, num_experts_per_tok=2, moe_intermediate_size=16, topk_group=1)
DELTA = dict(linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=8, linear_value_head_dim=8)
OWN = {
    "Bamba": dict(attn_layer_indices=[1], mamba_n_heads=8, mamba_d_head=8, mamba_d_state=8, mamba_n_groups=1),
    "DeepseekV2": LATENT | ROUTED,
    "DeepseekV3": LATENT | ROUTED,
    "DeepseekV32": LATENT | ROUTED | dict(index_n_heads=2, index_head_dim=8),
    "FalconH1": dict(head_dim=8, mamba_d_ssm=64, mamba_n_heads=8, mamba_d_head=8, mamba_d_state=8),
    "Gemma2": dict(head_dim=8),
    "Gemma3Text": dict(head_dim=8),
    "GptOss": dict(head_dim=8) | EXPERTS,
    "Jamba": dict(attn_layer_period=2, attn_layer_offset=1, mamba_d_state=8, mamba_dt_rank=4, use_mamba_kernels=False),
    "Lfm2": dict(layer_types=["conv", "full_attention"]),
    "Llama4Text": dict(head_dim=8, intermediate_size_mlp=48) | EXPERTS,
    "MiniCPM3": LATENT,
    "Phimoe": EXPERTS,
    "Qwen2Moe": EXPERTS,
    "Qwen3Next": dict(head_dim=8, layer_types=["linear_attention", "full_attention"]) | DELTA | EXPERTS,
    "Rwkv": dict(attention_hidden_size=32),
}


@pytest.fixture(scope="session")
def any_model():
    """Makes a tiny model of any family of transformers, by the name of its configuration."""

    def make(family: str, kind: str | None = None, **changes):
        config = getattr(transformers, f"{family}Config")(**ANY | OWN.get(family, {}) | changes)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = getattr(transformers, kind or f"{family.removesuffix('Text')}ForCausalLM")(config)
            for name, parameter in model.named_parameters():
                if parameter.ndim > 1:  # states decay by their vectors, whose own start is kept
                    parameter.data.normal_(0, 0.1 if "conv" in name else 0.2)
        return model.eval().requires_grad_(False)

    return make


UNPACKED = {
    "Bloom": "all-linear",
    "StableLm": "all-linear",
    "Mamba": ("in_proj",),
    "Jamba": ("q_proj", "in_proj", "down_proj"),
    "Bamba": ("q_proj", "in_proj", "down_proj"),
    "Qwen3Next": ("q_proj", "in_proj_qkvz", "out_proj"),
    "Lfm2": ("in_proj", "q_proj", "w1"),
    "Rwkv": ("receptance", "key"),
}
"""Families that are not packed, and the modules that get an adapter."""


@pytest.fixture(params=UNPACKED)
def unpacked_model(request, any_model):
    """A model of such a family, with its targets."""
    return any_model(request.param), UNPACKED[request.param]


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """The word w<n> is token n; w63 ends an answer. It has no chat template."""
    words = Tokenizer(models.WordLevel({f"w{token}": token for token in range(VOCABULARY)}, unk_token="w0"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, eos_token=f"w{VOCABULARY - 1}")


@pytest.fixture(scope="session")
def with_adapters():
    """Attaches adapters that change the function: their B is not zero. The same model gets the same ones."""

    def put(model, **changes):
        adapters = attach(model, Lora(rank=4, **changes), seed=1)
        generator = torch.Generator().manual_seed(2)
        for adapter in adapters.values():
            adapter.B_OR.data.normal_(0, 0.1, generator=generator)
        return adapters

    return put


@pytest.fixture(scope="session")
def make_policy(tiny, tokenizer, with_adapters):
    """A policy of a tiny model, with adapters that change it."""

    def make(family: str = "llama", *, dropout: float = 0.0, **changes) -> Policy:
        model = tiny(family, **changes)
        return Policy(model, tokenizer, with_adapters(model, dropout=dropout))

    return make


WAITING = ("item", "tolist", "numpy", "cpu", "__bool__", "__int__", "__float__", "__index__")
WAITING += ("nonzero", "argwhere", "masked_select", "unique", "bincount", "equal", "allclose")


class OnHost(torch.Tensor):
    """A copy that `cpu()` made, which may be read freely."""


class Waits(TorchFunctionMode):
    """Takes every tensor for one of a GPU, and counts by name the calls for which Python would wait for it: those that
    hand its numbers to Python, and those that give a tensor whose size depends on them."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name, given = getattr(func, "__name__", ""), [*args, *(kwargs or {}).values()]
        on_host = any(isinstance(one, OnHost) for one in given)
        by_mask = name in ("__getitem__", "__setitem__") and _has_mask(args[1])
        by_counts = name == "repeat_interleave" and len(given) > 1 and isinstance(given[1], torch.Tensor)
        if (name in WAITING or by_mask or by_counts) and not on_host:
            self.counts[name] += 1
        result = func(*args, **(kwargs or {}))
        return result.as_subclass(OnHost) if name == "cpu" else result


def _has_mask(place) -> bool:
    parts = place if isinstance(place, tuple) else (place,)
    return any(isinstance(part, torch.Tensor) and part.dtype == torch.bool for part in parts)


@pytest.fixture
def waits() -> Waits:
    """`with waits: ...`, then `waits.counts`."""
    return Waits()


@pytest.fixture
def paring():
    """Runs `paring` with these arguments."""
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def refused(paring):
    """The one message of a command that must be refused."""

    def run(*arguments) -> str:
        ended = paring(*arguments)
        assert (ended.exit_code, ended.stdout) == (2, ""), (ended.stdout, ended.exception)
        assert isinstance(ended.exception, SystemExit) and "Traceback" not in ended.stderr
        return ended.stderr

    return run
