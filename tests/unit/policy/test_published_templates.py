"""What is learned with published chat templates: a table of expectations, on the packages that carry them."""

import re
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
    r"<\|[^|<>\s{}]{1,40}\|>|<｜[^｜<>{}]{1,40}｜>|<(?:start|end)_of_turn>|<turn\|>|<\|turn>|\[/?INST\]|</s>|\[gMASK\]|<sop>"
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
    Expected("axolotl", "phi_4", "<|im_end|>", call_end=None),
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
        "<|channel|>final<|message|>",
        "<|channel|>analysis<|message|>I count them.<|end|><|start|>assistant<|channel|>final<|message|>",
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
]


def tokenizer_of(expected):
    """A tokenizer of bytes with the template and its special tokens."""
    spec = find_spec(expected.package)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"{expected.package} is not installed")
    path = Path(next(iter(spec.submodule_search_locations))) / FOLDERS[expected.package] / f"{expected.name}.jinja"
    if not path.is_file():
        pytest.skip(f"this version of {expected.package} has no {expected.name}")
    template = path.read_text(encoding="utf-8")
    alphabet = {character: number for number, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    built = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    built.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    built.decoder = decoders.ByteLevel()
    special = sorted({*SPECIAL.findall(template), expected.eos, "<bos>"})
    built.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in special])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=built, eos_token=expected.eos, bos_token="<bos>")
    tokenizer.chat_template = template
    set_template(tokenizer, Template(None, {}, "2024-07-26"))
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


@pytest.mark.parametrize("expected", TABLE, ids=lambda expected: f"{expected.package}-{expected.name}")
def test_the_table_of_expectations(expected):
    tokenizer = tokenizer_of(expected)
    one, two = (f"{expected.before}{turn['content']}{expected.end}" for turn in (ANSWER, LATER))
    assert learned(tokenizer, [USER, ANSWER]) == [[one]]
    assert tokenizer.convert_tokens_to_ids(expected.end) in closing_tokens(tokenizer)
    assert learned(tokenizer, [USER, ANSWER, AGAIN, LATER]) == ([[one], [two]] if expected.rewrites else [[one, two]])
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
        assert again[0] == [thoughtful] and "I count" not in "".join(again[1])
    called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    if expected.call_end is None:
        with pytest.raises(ValueError, match=r"does not reappear|refuses messages"):
            learned(tokenizer, [USER, called], [TOOL])
    else:
        [[text]] = learned(tokenizer, [USER, called], [TOOL])
        assert "count_it" in text and "sheep" in text and text.endswith(expected.call_end)
        assert tokenizer.convert_tokens_to_ids(expected.call_end) in closing_tokens(tokenizer)


@pytest.mark.parametrize("expected", TABLE, ids=lambda expected: f"{expected.package}-{expected.name}")
def test_a_thought_within_the_content_is_learned_or_refused_and_never_lost(expected):
    tokenizer = tokenizer_of(expected)
    try:
        [[text]] = learned(tokenizer, [USER, ANSWER | INLINE])
    except ValueError as error:
        assert "the thought" in str(error)
    else:
        assert "I count them." in text and text.endswith(f"Just seven.{expected.end}")
