"""Tiny models of every family that transformers names as a causal language model, and the variants that matter.

A family is built from one table of sizes: each field that its configuration has by such a name gets that value. What it
needs beside them stands in OWN, what makes a variant in VARIANTS. A case is a folder on disk: a checkpoint with the
embedded model's tokenizer, as a user would have it."""

import dataclasses
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
import transformers
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
)

from paring.policy.loading import EMBEDDED

VOCABULARY = 103
"""Tokens of the embedded tokenizer."""
SHORT, LONG = 5, 12
"""Sliding windows: shorter than the probe that admits a model (8 tokens), and longer; the contract's sequences exceed
both."""
INDEXER_HEADS = 16
"""Heads that choose tokens by a sum of ReLUs: with a few, many sums are 0, and the length of a pass breaks the ties."""
SPREAD = 0.2
"""Standard deviation of all weights: at transformers' own 0.02 all tokens are as likely and an error would hide; at
much more, rounding grows from layer to layer and would look like one."""
ENDS = [3, *range(60, 68)]
"""Tokens that end an answer: enough of them that the rows of a rollout end at unequal places."""

SIZES: dict[str, object] = dict(
    vocab_size=VOCABULARY, vocab_size_per_layer_input=VOCABULARY, type_vocab_size=2, max_position_embeddings=256,
    n_positions=256, n_ctx=256, max_seq_len=256, bos_token_id=None, eos_token_id=3, pad_token_id=0, is_decoder=True,
    hidden_size=32, n_embd=32, d_model=32, emb_dim=32, embedding_size=32, hidden_size_per_layer_input=8,
    num_hidden_layers=2, n_layer=2, n_layers=2, num_layers=2, encoder_layers=2, decoder_layers=2,
    num_attention_heads=4, n_head=4, n_heads=4, num_heads=4, encoder_attention_heads=4, decoder_attention_heads=4,
    swa_num_attention_heads=4, num_key_value_heads=2, swa_num_key_value_heads=2, head_dim=8, swa_head_dim=8,
    intermediate_size=48, n_inner=48, d_inner=48, dff=48, ffn_dim=48, encoder_ffn_dim=48, decoder_ffn_dim=48,
    ffn_hidden_size=48, dense_intermediate_size=48, intermediate_size_mlp=48, moe_intermediate_size=24,
    expert_ffn_hidden_size=24, shared_expert_intermediate_size=24, shared_intermediate_size=24,
    shared_experts_intermediate_size=24, moe_shared_expert_intermediate_size=24,
    num_experts=4, num_local_experts=4, n_routed_experts=4, moe_num_experts=4, num_experts_per_tok=2, moe_topk=2,
    moe_k=2, top_k_experts=2, n_group=2, topk_group=1, n_shared_experts=1, num_shared_experts=1,
    moe_num_shared_experts=1, first_k_dense_replace=1, num_dense_layers=1, zero_expert_num=2,
    kv_lora_rank=16, q_lora_rank=12, qk_nope_head_dim=8, qk_rope_head_dim=4, v_head_dim=6, qk_head_dim=12,
    o_lora_rank=8, o_groups=2, index_topk=4, index_head_dim=8, index_n_heads=INDEXER_HEADS,
    index_topk_blocks=2, index_block_size=4,
    mamba_d_state=8, state_size=8, ssm_state_size=8, mamba_n_heads=4, mamba_num_heads=4, n_mamba_heads=4,
    mamba_d_head=16, mamba_head_dim=16, mamba_n_groups=2, mamba_ngroups=2, n_groups=2, mamba_chunk_size=8,
    chunk_size=8, mamba_d_ssm=64, mamba_dt_rank=4, linear_num_key_heads=2, linear_num_value_heads=4,
    linear_key_head_dim=8, linear_value_head_dim=8, linear_head_dim=8, linear_num_heads=4, laurel_rank=4,
    sliding_window=SHORT, sliding_window_size=SHORT, window_size=SHORT, attention_window_size=SHORT,
    attention_chunk_size=SHORT, local_attention_window_len=SHORT, num_kv_shared_layers=0, rotary_dim=4, d_rel=4,
    rel_extent=64, block_size=4, final_logit_softcapping=3.0,
    logits_soft_cap=3.0, output_logit_soft_cap=3.0, attn_logit_softcapping=2.0,
    query_pre_attn_scalar=8, logit_scale=0.5, logits_scaling=2.0, lm_head_multiplier=0.5, embedding_multiplier=1.5,
    residual_multiplier=0.7, attention_multiplier=0.3, scale_emb=2, scale_depth=1.4, dim_model_base=16, image_size=16,
    patch_size=4, depth=1, embed_dim=32, out_hidden_size=32, spatial_merge_size=2,
)  # fmt: skip

MIXED = {"layer_types": ["sliding_attention", "full_attention"]}
LINEAR = {"layer_types": ["linear_attention", "full_attention"]}
LATENT = {"num_key_value_heads": 4, "head_dim": 4}
"""Latent attention (MLA): keys of all heads come from one latent vector; head_dim is that of the rotated part."""

ROPE: dict[str, object] = {"rope_type": "default", "rope_theta": 10000.0}
TWICE = {"layers_block_type": ["linear_attention", "hybrid"] * 2, "num_hidden_layers": 4}

OWN: dict[str, dict[str, object]] = {
    "afmoe": MIXED,
    "axk1": LATENT,
    "axk2": LATENT,
    "bailing_hybrid": LINEAR | {"num_key_value_heads": 4},
    "bamba": {"attn_layer_indices": [1]},
    "cohere2": MIXED,
    "cohere2_moe": MIXED,
    "cohere_compass_text": MIXED | {"rope_parameters": {kind: ROPE for kind in MIXED["layer_types"]}},
    "cwm": MIXED | {"bos_token_id": 1},
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "rope_theta": 10000.0, "clip_qkv": 8},
        "ffn_config": {"ffn_hidden_size": 48, "moe_num_experts": 4, "moe_top_k": 2, "hidden_size": 32},
    },
    "deepseek_v2": LATENT,
    "deepseek_v3": LATENT,
    "deepseek_v32": LATENT,
    "deepseek_v4": {
        "layer_types": ["compressed_sparse_attention", "heavily_compressed_attention"],
        "mlp_layer_types": ["hash_moe", "moe"],
    },
    "dots1": MIXED,
    "dots3_note_text": LATENT,
    "exaone4": MIXED,
    "exaone_moe": MIXED,
    "flint": MIXED,
    "gemma3_text": MIXED,
    "gemma3n_text": MIXED,
    "glm4_moe_lite": LATENT,
    "glm_moe_dsa": LATENT,
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "granitemoehybrid": LINEAR,
    "hy_v4": LATENT,
    "inkling_text": {"logits_mup_width_multiplier": 1.0, "layer_types": ["hybrid_sliding", "hybrid"]},
    "inkling2_text": {"layer_types": ["hybrid_sliding", "hybrid"]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "kimi_linear": LINEAR | {"num_key_value_heads": 4},
    "kolibri1": MIXED,
    "laguna": MIXED,
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "lfm3": {"layer_types": ["conv", "full_attention"]},
    "llama4_text": {"layer_types": ["chunked_attention", "full_attention"], "no_rope_layers": [1, 0]},
    "longcat_flash": {"num_key_value_heads": 4, "head_dim": 4},
    "mamba2": {"num_heads": 4, "head_dim": 16},
    "mellum": MIXED,
    "minicpm3": LATENT,
    "ministral": MIXED,
    "modernbert-decoder": MIXED | {"bos_token_id": 1},
    "olmo3": MIXED,
    "qwen3_5_moe_text": LINEAR,
    "qwen3_5_text": LINEAR,
    "qwen3_next": LINEAR,
    "qwen4_exp_text": LINEAR
    | {"indexer_n_heads": INDEXER_HEADS, "indexer_kv_heads": 1, "indexer_head_dim": 8}
    | {"indexer_budget": 4, "indexer_compress_ratio": 2},
    "recurrent_gemma": {"block_types": ("recurrent", "attention")},
    "reformer": {"axial_pos_embds": False, "attn_layers": ["local", "local"], "attention_head_size": 8},
    "roc_bert": {name: 8 for name in ("pronunciation_vocab_size", "shape_vocab_size")}
    | {name: 8 for name in ("pronunciation_embed_dim", "shape_embed_dim")},
    "smollm3": MIXED | {"use_sliding_window": True, "no_rope_layers": [1, 0]},
    "xlstm": {"hidden_size": 64, "qk_dim_factor": 1.0, "autocast_kernel_dtype": "float32"},
    "xmod": {"default_language": "en_XX"},
    "youtu": LATENT,
    "zamba": TWICE,
    "zamba2": TWICE,
    "zaya": {"num_experts_per_tok": 1},
}

MROPE = {"rope_parameters": ROPE | {"mrope_section": [1, 1, 2]}}


def _wrapped(text: str | None = None, vision: str | None = None, **text_own: object) -> dict[str, object]:
    """The parts of a wrapper whose configuration does not name them itself."""
    parts: dict[str, object] = {"text_config": ({} if text is None else {"model_type": text}) | text_own}
    return parts if vision is None else parts | {"vision_config": {"model_type": vision}}


LLAMA4_WIDTHS = ("vision_output_dim", "projector_input_dim", "projector_output_dim")

WRAPPERS: dict[str, dict[str, object]] = {
    "aya_vision": _wrapped("cohere2", "siglip_vision_model", logit_scale=1.0),
    "fuyu": _wrapped("persimmon"),
    "gemma3": _wrapped(vision="siglip_vision_model", final_logit_softcapping=None),
    "gemma4": _wrapped() | {"audio_config": None},
    "gemma4_unified": _wrapped() | {"vision_config": {"mm_embed_dim": 32, "mm_posemb_size": 8, "output_proj_dims": 32}},
    "glm4v": _wrapped(**MROPE),
    "got_ocr2": _wrapped("qwen2"),
    "internvl": _wrapped("qwen2"),
    "llama4": _wrapped() | {"pad_token_id": 0, "vision_config": dict.fromkeys(LLAMA4_WIDTHS, 32)},
    "llava": _wrapped("llama", "clip_vision_model"),
    "mistral3": _wrapped("mistral", "pixtral"),
    "mllama": _wrapped(bos_token_id=1, cross_attention_layers=[1]),
    "qwen2_5_vl": _wrapped(**MROPE),
    "qwen2_vl": _wrapped(**MROPE),
    "qwen3_5": _wrapped(),
    "qwen3_5_moe": _wrapped(),
    "qwen3_vl": _wrapped(),
    "qwen3_vl_moe": _wrapped(),
    "qwen4_exp": _wrapped(),
    "smolvlm": _wrapped("llama"),
}
"""Families whose checkpoints hold a text model and others: the text model is what trains."""

UNBUILT = {
    "blt": "bytes in patches: its tokens are not those of a tokenizer",
    "cpmant": "not causal: a prompt's tokens see those after them",
    "dots3_note": "its audio tower has no small form",
    "emu3": "needs a vocabulary of image tokens",
    "gemma3n": "needs the package timm",
    "gemma4_assistant": "drafts for another model, whose cache it reads",
    "gemma4_unified_assistant": "drafts for another model, whose cache it reads",
    "git": "answers about an image",
    "moss_transcribe_diarize": "answers about audio",
    "moshi": "speech in and out",
    "musicgen": "writes audio tokens",
    "musicgen_melody": "writes audio tokens",
    "phi4_multimodal": "its audio encoder has no small form",
    "trocr": "answers about an image",
    "whisper": "answers about audio",
    "xlm": "transformers runs it as an encoder alone",
    "xlnet": "not causal: without a permutation mask every token sees all",
}
"""Families that have no row, and why."""

LONG_WINDOW = {"sliding_window": LONG}
UNCAPPED = {"final_logit_softcapping": None, "attn_logit_softcapping": None}
VARIANTS: dict[str, dict[str, dict[str, object]]] = {
    "aria_text": {"no shared experts": {"moe_num_shared_experts": 0}},
    "llama": {
        "tied head": {"tie_word_embeddings": True},
        "biases": {"attention_bias": True, "mlp_bias": True},
        "one key head, heads of 12": {"num_key_value_heads": 1, "head_dim": 12},
        "rope linear": {"rope_parameters": ROPE | {"rope_type": "linear", "factor": 2.0}},
        "rope llama3": {
            "rope_parameters": ROPE
            | {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
            | {"original_max_position_embeddings": 16}
        },
        "rope yarn": {
            "rope_parameters": ROPE | {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
        },
        "rope dynamic": {"rope_parameters": ROPE | {"rope_type": "dynamic", "factor": 4.0}},
    },
    "mistral": {"window 12": LONG_WINDOW, "no window": {"sliding_window": None}},
    "ministral": {"window 12": LONG_WINDOW},
    "mixtral": {"window 12": LONG_WINDOW, "no window": {"sliding_window": None}},
    "phi3": {
        "window 12": LONG_WINDOW,
        "no window": {"sliding_window": None},
        "rope longrope": {
            "sliding_window": None,
            "original_max_position_embeddings": 64,
            "rope_parameters": ROPE
            | {"rope_type": "longrope", "short_factor": [1.5] * 4, "long_factor": [3.0] * 4, "factor": 4.0}
            | {"original_max_position_embeddings": 64},
        },
    },
    "starcoder2": {"window 12": LONG_WINDOW, "no window": {"sliding_window": None}},
    "qwen2": {
        f"window {window}": MIXED | {"use_sliding_window": True, "sliding_window": window} for window in (SHORT, LONG)
    },
    "qwen3": {
        f"window {window}": MIXED | {"use_sliding_window": True, "sliding_window": window} for window in (SHORT, LONG)
    }
    | {"heads of 12, tied head": {"head_dim": 12, "tie_word_embeddings": True}},
    "qwen2_moe": {
        f"window {window}": MIXED | {"use_sliding_window": True, "sliding_window": window} for window in (SHORT, LONG)
    }
    | {"dense layer": {"mlp_only_layers": [0]}},
    "qwen3_moe": {"dense layer": {"mlp_only_layers": [0]}},
    "phimoe": {"window 12": LONG_WINDOW, "no window": {"sliding_window": None}},
    "gemma2": {
        "window 12": LONG_WINDOW,
        "no caps": UNCAPPED,
        "final cap alone": {"attn_logit_softcapping": None},
    },
    "gemma3_text": {
        "window 12, no caps": LONG_WINDOW | {"final_logit_softcapping": None, "attn_logit_softcapping": None}
    },
    "gemma4_text": {
        "no final cap": {"final_logit_softcapping": None},
        "experts": {"enable_moe_block": True, "num_experts": 4},
        "keys are values": {"attention_k_eq_v": True},
        "shared keys": {"num_hidden_layers": 4, "num_kv_shared_layers": 2, "layer_types": MIXED["layer_types"] * 2},
    },
    "gemma3n_text": {
        "shared keys": {"num_hidden_layers": 4, "num_kv_shared_layers": 2, "layer_types": MIXED["layer_types"] * 2}
    },
    "gpt_oss": {"window 12": LONG_WINDOW},
    "cohere": {"query and key norms": {"use_qk_norm": True}},
    "cohere2": {"window 12": LONG_WINDOW},
    "olmo3": {"window 12": LONG_WINDOW},
    "exaone4": {"window 12": LONG_WINDOW},
    "smollm3": {"window 12": LONG_WINDOW},
    "granite": {"neutral scales": {"logits_scaling": 1.0, "embedding_multiplier": 1.0, "residual_multiplier": 1.0}},
    "deepseek_v2": {"no query rank": {"q_lora_rank": None}},
    "deepseek_v3": {
        "rope yarn": {
            "rope_parameters": ROPE
            | {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
            | {"mscale": 1.0, "mscale_all_dim": 1.0}
        }
    },
    "falcon": {
        "alibi": {"alibi": True},
        "new decoder": {"new_decoder_architecture": True, "num_kv_heads": 2},
        "biases": {"bias": True, "parallel_attn": False},
    },
    "gpt_neox": {"sequential": {"use_parallel_residual": False}},
    "gpt_bigcode": {"many key heads": {"multi_query": False}},
    "stablelm": {"parallel, norms": {"use_parallel_residual": True, "qk_layernorm": True}},
    "phi": {"norms": {"qk_layernorm": True}},
    "opt": {"norm after": {"do_layer_norm_before": False}},
    "jamba": {"dense": {"num_experts": 1, "num_experts_per_tok": 1}},
    "xmod": {"large epsilon": {"layer_norm_eps": 7.0}},
}

FAST = (
    "llama", "qwen3, window 12", "gemma2", "gemma3_text", "gpt_oss", "granite", "qwen2_moe, window 12", "deepseek_v3",
    "mamba", "lfm2", "gpt2", "phi", "mistral3",
)  # fmt: skip
"""Cases that stand for the kinds: these run in every test run."""


@dataclass(frozen=True)
class Case:
    """A family, by its model type, in one form; `own` is laid over its sizes."""

    family: str
    variant: str = ""
    own: Mapping[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.family}, {self.variant}" if self.variant else self.family

    @property
    def model_class(self) -> type[PreTrainedModel]:
        named = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        if self.family in WRAPPERS:
            named = named | MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
        return getattr(transformers, named[self.family])


def cases() -> Iterator[Case]:
    """Every family with its variants, in the order of their names."""
    for family in sorted({*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *WRAPPERS} - UNBUILT.keys()):
        yield Case(family)
        yield from (Case(family, variant, own) for variant, own in VARIANTS.get(family, {}).items())


def configuration(kind: type[PreTrainedConfig], own: Mapping[str, object]) -> PreTrainedConfig:
    """The tiny configuration of this kind; that of a wrapper with the tiny configurations of its parts."""
    names = {one.name for one in dataclasses.fields(kind)}
    values = {name: size for name, size in SIZES.items() if name in names} | OWN.get(kind.model_type, {}) | own
    for name, part in kind.sub_configs.items():
        given = values.get(name, {})
        if not isinstance(given, Mapping):
            continue  # a part that is left out
        if "model_type" in given:
            part = CONFIG_MAPPING[given["model_type"]]
        if dataclasses.is_dataclass(part) and kind.model_type in WRAPPERS:
            values[name] = configuration(part, given).to_dict()
    values.pop("model_type", None)
    return kind(**values)


def build(case: Case) -> PreTrainedModel:
    """The model with weights that make every fault show: logits that are not trivial, routers that choose."""
    config = configuration(CONFIG_MAPPING[case.family], WRAPPERS.get(case.family, {}) | case.own)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = case.model_class(config)
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if isinstance(tensor, nn.Parameter) or name.endswith("correction_bias"):
                drawn = torch.randn(tensor.shape, dtype=tensor.dtype) * SPREAD
                # Norms, sinks, decays and steps of time vary around the value that they begin with.
                tensor.copy_(drawn + (tensor if tensor.ndim == 1 and not name.endswith("bias") else 0))
        for module in model.modules():
            if isinstance(module, nn.Embedding) and module.padding_idx is not None:
                module.weight[module.padding_idx] = 0  # as loading does in some families
    if model.generation_config is not None:
        model.generation_config.eos_token_id = ENDS
    return model.float().eval().requires_grad_(False)


def write_checkpoint(model: PreTrainedModel, folder: Path) -> Path:
    """The model as a user has it: a folder with a tokenizer."""
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(EMBEDDED / name, folder)
    return folder
