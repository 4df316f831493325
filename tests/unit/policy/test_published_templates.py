"""What is learned with published chat templates: a table of expectations, on the packages that carry them.

None is copied here. Packages: trl, axolotl. Archives unpacked below the folder that PARING_TEMPLATES names: the source
archive of llama-cpp-python 0.3.36 (its vendor/llama.cpp/models/templates), and allenai/open-instruct for OLMo (its
open_instruct/dataset_transformation.py). What is not there is skipped. Not to be had in either: GLM-4 before 4.5.
"""

import ast
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from paring.policy.chat import conversation_tokens, prompt_tokens
from paring.policy.rendering import closing_tokens
from paring.policy.templates import Template, set_template

FOLDERS = {"trl": "chat_templates", "axolotl": "utils/chat_templates/templates"}
SPECIAL = re.compile(
    r"<\|[^|<>\s{}]{1,40}\|>|<｜[^｜<>{}]{1,40}｜>|<(?:start|end)_of_turn>|<\|?turn\|?>|<\|?tool_(?:call|response)\|?>"
    r"|<\|?channel\|?>|\[/?[A-Z_]{3,20}\]|</s>|\[gMASK\]|<sop>|<SPECIAL_\d+>"
)
SYSTEM = {"role": "system", "content": "Be brief."}
USER, ANSWER = {"role": "user", "content": "How many?"}, {"role": "assistant", "content": "Just seven."}
AGAIN, LATER = {"role": "user", "content": "And now?"}, {"role": "assistant", "content": "Nine of them."}
THOUGHT = {"reasoning_content": "I count them."}
INLINE = {"content": "<think>\nI count them.\n</think>\n\nJust seven."}
CALL = {"type": "function", "id": "abcdefghi", "function": {"name": "count_it", "arguments": {"what": "sheep"}}}
PARAMETERS = {"type": "object", "properties": {"what": {"type": "string", "description": "what"}}}
TOOL = {"type": "function", "function": {"name": "count_it", "description": "Counts", "parameters": PARAMETERS}}

EOS = "<｜end▁of▁sentence｜>"
EMPTY = "<think>\n\n</think>\n\n"
THINK = "<think>\nI count them.\n</think>\n\n"
CHANNEL = "<|channel>thought\nI count them.\n<channel|>"
ANALYSIS = "<|channel|>analysis<|message|>I count them.<|end|><|start|>assistant"


class Expected(NamedTuple):
    """Where a template is; its eos; what is learned of an answer, and of one with a thought, up to the answer's text;
    whether earlier turns are rewritten; what ends an answer, and a tool call (None: it takes no tools)."""

    package: str
    name: str
    eos: str
    before: str = ""
    thought: str | None = None
    rewrites: bool = False
    end: str = "<|im_end|>"
    call_end: str | None = "<|im_end|>"
    system: bool = True
    arguments: Mapping[str, bool] = {}


def llama_cpp(name, eos, *columns, **more):
    return Expected("llama.cpp", name, eos, *columns, **{"end": eos, "call_end": eos, **more})


THINKS, DOES_NOT, THINKING = {"enable_thinking": True}, {"enable_thinking": False}, {"thinking": True}
IM_END, TEXT_END, EOT = "<|im_end|>", "<|end_of_text|>", "<|eot_id|>"
FINAL = "<|channel|>final<|message|>"
TABLE = [
    Expected("trl", "qwen2_5", "<|im_end|>"),
    Expected("trl", "qwen3", "<|im_end|>", EMPTY, THINK, True),
    Expected("trl", "qwen3_instruct_2507", "<|im_end|>"),
    Expected("trl", "qwen3_5_think", "<|im_end|>", EMPTY[8:], THINK[8:], True),
    Expected("trl", "qwen3_6", "<|im_end|>", EMPTY[8:], THINK[8:], True),
    Expected("trl", "llama3", "<|eot_id|>", end="<|eot_id|>", call_end=None),
    Expected("trl", "llama3_1", "<|eot_id|>", end="<|eot_id|>", call_end="<|eot_id|>"),
    Expected("trl", "llama3_2", "<|eot_id|>", end="<|eot_id|>", call_end="<|eot_id|>"),
    Expected("axolotl", "llama4", "<|eot|>", end="<|eot|>", call_end="<|eot|>"),
    Expected("trl", "gemma", "<eos>", end="<end_of_turn>", call_end=None, system=False),
    Expected("trl", "gemma3", "<eos>", end="<end_of_turn>", call_end=None),
    Expected("trl", "phi3", "<|endoftext|>", end="<|end|>", call_end=None),
    Expected("axolotl", "phi_35", "<|endoftext|>", end="<|end|>", call_end=None),
    Expected("axolotl", "phi_4", "<|im_end|>", thought=THINK, call_end=None),
    Expected("axolotl", "mistral_v2v3", "</s>", " ", end="</s>", call_end="</s>"),
    Expected("axolotl", "mistral_v3_tekken", "</s>", end="</s>", call_end="</s>"),
    Expected("axolotl", "mistral_v7_tekken", "</s>", end="</s>", call_end=None),
    Expected("trl", "deepseekv3", EOS, EMPTY[8:], THINK[8:], True, EOS, None),
    Expected(
        "trl", "deepseek_r1_distill", "<｜end▁of▁sentence｜>", EMPTY[8:], THINK[8:], True, "<｜end▁of▁sentence｜>", None
    ),
    Expected(
        "trl",
        "gptoss",
        "<|return|>",
        FINAL,
        f"{ANALYSIS}{FINAL}",
        True,
        "<|return|>",
        "<|call|>",
    ),
    Expected(
        "trl",
        "glm4moe",
        "<|endoftext|>",
        "\n<think></think>\n",
        "\n<think>I count them.</think>\n",
        True,
        "<|endoftext|>",
        "<|endoftext|>",
    ),
    Expected("trl", "nemotron_3_nano", "<|im_end|>", "</think>", "I count them.\n</think>\n", True),
    Expected("axolotl", "nemotron_h", "<|im_end|>", call_end=None),
    Expected("trl", "qwen3_5_nothink", IM_END, rewrites=True),
    Expected("trl", "qwen3_8", IM_END, EMPTY[8:], THINK[8:]),
    Expected("trl", "gemma4_v5", "<eos>", thought=CHANNEL, end="<turn|>", call_end="<|tool_response>"),
    Expected("trl", "nemotron_3_ultra", IM_END, "</think>", "I count them.</think>", True),
    Expected("axolotl", "exaone4", "[|endofturn|]", end="[|endofturn|]", call_end="[|endofturn|]"),
    llama_cpp("HuggingFaceTB-SmolLM3-3B", IM_END, thought=THINK, call_end=None),
    llama_cpp("HuggingFaceTB-SmolLM3-3B", IM_END, call_end=None, arguments=DOES_NOT),
    llama_cpp("ibm-granite-granite-3.3-2B-Instruct", TEXT_END, thought=THINK, call_end=None),
    llama_cpp("ibm-granite-granite-4.0", TEXT_END),
    llama_cpp("ibm-granite-granite-4.1", TEXT_END),
    llama_cpp("GLM-4.6", "<|endoftext|>", "\n<think></think>\n", "\n<think>I count them.</think>\n", True),
    llama_cpp("GLM-4.6", "<|endoftext|>", "\n", rewrites=True, arguments=DOES_NOT),
    llama_cpp("GLM-4.7-Flash", "<|endoftext|>", "</think>", "I count them.</think>", True),
    llama_cpp("GLM-4.7-Flash", "<|endoftext|>", rewrites=True, arguments=DOES_NOT),
    Expected("open-instruct", "olmo", IM_END, call_end=None),
    Expected("open-instruct", "olmo_old", "<|endoftext|>", rewrites=True, end="<|endoftext|>", call_end=None),
    Expected("open-instruct", "olmo_thinker", IM_END, EMPTY[8:], THINK[8:], True, call_end=None),
    Expected("open-instruct", "olmo_thinker_no_think_7b", IM_END, call_end=None),
    Expected("open-instruct", "tulu", "<|endoftext|>", end="<|endoftext|>", call_end=None),
    llama_cpp("NVIDIA-Nemotron-Nano-v2", "<SPECIAL_12>", EMPTY[8:], THINK[8:], True, end="\n<SPECIAL_12>"),
    llama_cpp("NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", IM_END, "</think>", "I count them.\n</think>\n", True),
    llama_cpp("meta-llama-Llama-3.1-8B-Instruct", EOT),
    llama_cpp("meta-llama-Llama-3.2-3B-Instruct", EOT),
    llama_cpp("meta-llama-Llama-3.3-70B-Instruct", EOT),
    llama_cpp("openai-gpt-oss-120b", "<|return|>", FINAL, f"{ANALYSIS}{FINAL}", True, call_end="<|call|>"),
    llama_cpp("Qwen-Qwen2.5-7B-Instruct", IM_END),
    llama_cpp("Qwen-Qwen3-0.6B", IM_END, EMPTY, THINK, True),
    llama_cpp("Qwen-Qwen3-0.6B", IM_END, rewrites=True, arguments=DOES_NOT),
    llama_cpp("Qwen3.5-4B", IM_END, EMPTY[8:], THINK[8:], True),
    llama_cpp("Qwen3.5-4B", IM_END, rewrites=True, arguments=DOES_NOT),
    llama_cpp("Qwen-QwQ-32B", IM_END, EMPTY[8:], THINK[8:], True, arguments=THINKS),
    llama_cpp("deepseek-ai-DeepSeek-R1-Distill-Llama-8B", EOS, EMPTY[8:], THINK[8:], True, call_end=None),
    llama_cpp("deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", EOS, rewrites=True, call_end=None),
    llama_cpp("deepseek-ai-DeepSeek-V3.1", EOS, call_end=None),
    llama_cpp("deepseek-ai-DeepSeek-V3.1", EOS, "</think>", "I count them.</think>", call_end=None, arguments=THINKING),
    llama_cpp("deepseek-ai-DeepSeek-V3.2", EOS, rewrites=True),
    llama_cpp("deepseek-ai-DeepSeek-V3.2", EOS, "</think>", "I count them.</think>", True, arguments=THINKING),
    llama_cpp("deepseek-ai-DeepSeek-V4", EOS),
    llama_cpp("deepseek-ai-DeepSeek-V4", EOS, "</think>", "I count them.</think>", True, arguments=THINKING),
    llama_cpp("mistralai-Mistral-Nemo-Instruct-2407", "</s>"),
    llama_cpp("Mistral-Small-3.2-24B-Instruct-2506", "</s>"),
    llama_cpp("mistralai-Ministral-3-14B-Reasoning-2512", "</s>", thought="[THINK]I count them.[/THINK]"),
    llama_cpp("microsoft-Phi-3.5-mini-instruct", "<|endoftext|>", end="<|end|>", call_end=None),
    llama_cpp("google-gemma-2-2b-it", "<eos>", end="<end_of_turn>", call_end=None, system=False),
    llama_cpp("google-gemma-4-31B-it", "<eos>", rewrites=True, end="<turn|>", call_end="<|tool_response>"),
    llama_cpp("google-gemma-4-31B-it", "<eos>", end="<turn|>", call_end="<|tool_response>", arguments=THINKS),
]


def template_of(expected):
    """The text of a published template; skipped where what carries it is not there."""
    if expected.package in FOLDERS:
        spec = find_spec(expected.package)
        if spec is None or not spec.submodule_search_locations:
            pytest.skip(f"{expected.package} is not installed")
        path = Path(next(iter(spec.submodule_search_locations))) / FOLDERS[expected.package] / f"{expected.name}.jinja"
    else:
        path = unpacked().get("dataset_transformation.py" if expected.package == "open-instruct" else expected.name)
    if path is None or not path.is_file():
        pytest.skip(f"{expected.package} with {expected.name} is not there")
    text = path.read_text(encoding="utf-8")
    return text if path.suffix == ".jinja" else templates_within(text)[expected.name]


@lru_cache
def unpacked():
    """The files below PARING_TEMPLATES by name."""
    folder = os.environ.get("PARING_TEMPLATES")
    found = [path for kind in ("*.jinja", "dataset_transformation.py") for path in Path(folder or ".").rglob(kind)]
    return {path.stem if path.suffix == ".jinja" else path.name: path for path in found} if folder else {}


@lru_cache
def templates_within(code):
    """The dictionary CHAT_TEMPLATES of a Python file, which is not run."""
    [value] = [
        node.value
        for node in ast.parse(code).body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == "CHAT_TEMPLATES"
    ]
    return ast.literal_eval(value)


def name_of(expected):
    return "-".join(
        [expected.package, expected.name, *(f"{name}={value}" for name, value in expected.arguments.items())]
    )


def tokenizer_of(expected):
    """A tokenizer of bytes with the template and its special tokens."""
    template = template_of(expected)
    alphabet = {character: number for number, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    built = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    built.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    built.decoder = decoders.ByteLevel()
    special = sorted({*SPECIAL.findall(template), expected.eos, "<bos>"})
    built.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in special])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=built, eos_token=expected.eos, bos_token="<bos>")
    tokenizer.chat_template = template
    set_template(tokenizer, Template(None, expected.arguments, "2024-07-26"))
    return tokenizer


def learned(tokenizer, messages, tools=()):
    """The learned stretches of each example, and that they follow the prompts which the model will be given."""
    examples = conversation_tokens(tokenizer, messages, tools=tools)
    found = []
    for example in examples:
        places = example.targets
        stretches = [[places[0]]]
        for before, place in pairwise(places):
            if place != before + 1:
                stretches.append([])
            stretches[-1].append(place)
        found.append([tokenizer.decode([example.tokens[place] for place in stretch]) for stretch in stretches])
    last = examples[-1]
    asked = prompt_tokens(tokenizer, messages[:-1], tools=tools)
    assert tuple(last.tokens[: len(asked)]) == asked and len(asked) in last.targets
    return found


@pytest.mark.parametrize("expected", TABLE, ids=name_of)
def test_the_table_of_expectations(expected):
    tokenizer = tokenizer_of(expected)
    one, two = (f"{expected.before}{turn['content']}{expected.end}" for turn in (ANSWER, LATER))
    assert learned(tokenizer, [USER, ANSWER]) == [[one]]
    assert tokenizer.convert_tokens_to_ids(expected.end.strip()) in closing_tokens(tokenizer)
    assert learned(tokenizer, [USER, ANSWER, AGAIN, LATER]) == ([[one], [two]] if expected.rewrites else [[one, two]])
    long = ANSWER | {"content": "Many words. " * 400 + "The end."}
    assert learned(tokenizer, [USER, long]) == [[f"{expected.before}{long['content']}{expected.end}"]]
    if expected.system:
        assert learned(tokenizer, [SYSTEM, USER, ANSWER]) == [[one]]
        assert "Be brief." in tokenizer.decode(prompt_tokens(tokenizer, [SYSTEM, USER]))
    else:
        with pytest.raises(ValueError, match="refuses messages of the roles system, user"):
            learned(tokenizer, [SYSTEM, USER, ANSWER])
    if expected.thought is None:
        with pytest.raises(ValueError, match="its reasoning_content 'I count them.' does not reappear"):
            learned(tokenizer, [USER, ANSWER | THOUGHT])
    else:
        thoughtful = f"{expected.thought}Just seven.{expected.end}"
        assert learned(tokenizer, [USER, ANSWER | THOUGHT]) == [[thoughtful]]
        again = learned(tokenizer, [USER, ANSWER | THOUGHT, AGAIN, LATER])
        assert [text for texts in again for text in texts] == [thoughtful, two]
    called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    if expected.call_end is None:
        with pytest.raises(ValueError, match=r"does not reappear|refuses messages"):
            learned(tokenizer, [USER, called], [TOOL])
    else:
        [[text]] = learned(tokenizer, [USER, called], [TOOL])
        assert "count_it" in text and "sheep" in text and text.endswith(expected.call_end)
        assert tokenizer.convert_tokens_to_ids(expected.call_end) in closing_tokens(tokenizer)


@pytest.mark.parametrize("expected", TABLE, ids=name_of)
def test_a_thought_within_the_content_is_learned_or_refused_and_never_lost(expected):
    tokenizer = tokenizer_of(expected)
    try:
        [[text]] = learned(tokenizer, [USER, ANSWER | INLINE])
    except ValueError as error:
        assert "the thought" in str(error)
    else:
        assert "I count them." in text and text.endswith(f"Just seven.{expected.end}")
