"""The model that ships with the package: its folder, its tokenizer, how good it is, and what it was built from."""

import importlib.util
import json
import random
import string
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from paring.policy.loading import EMBEDDED, SHIPPED
from paring.tasks.arithmetic import Arithmetic

BUILDER = Path(__file__).parents[2] / "tools/build_embedded.py"
LICENCE = Path(__file__).parents[2] / "LICENSE"
TASK = Arithmetic()


@pytest.fixture(scope="module")
def builder():
    spec = importlib.util.spec_from_file_location("build_embedded", BUILDER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(EMBEDDED)


@pytest.fixture(scope="module")
def model():
    return AutoModelForCausalLM.from_pretrained(EMBEDDED)


def test_folder_is_small_and_in_half_precision():
    assert sum(file.stat().st_size for file in EMBEDDED.iterdir()) <= 4_000_000
    with safe_open(EMBEDDED / "model.safetensors", framework="pt") as weights:
        assert {weights.get_slice(name).get_dtype() for name in weights.keys()} == {"F16"}


def test_weights_are_widened_when_loaded(model):
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight


def test_report_describes_the_folder(builder, model):
    report = json.loads((EMBEDDED / "build.json").read_text())
    assert report["parameters"] == sum(weight.numel() for weight in model.parameters())
    assert report["bytes"] == sum(file.stat().st_size for file in EMBEDDED.iterdir() if file.name not in builder.BESIDE)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_card_has_the_figures_of_the_report(name):
    card = (SHIPPED[name] / "README.md").read_text()
    report = json.loads((SHIPPED[name] / "build.json").read_text())
    assert f"{report['parameters']:,} parameters" in card
    for way in ("greedy", "sampled", "forced"):
        figures = (report["percent"]["test"][f"{way}_{what}"] for what in ("correct", "working", "well_formed"))
        assert " | ".join(f"{figure} %" for figure in figures) in card
    assert (SHIPPED[name] / "LICENSE").read_text() == LICENCE.read_text()


@pytest.mark.parametrize(
    "text",
    [
        "17+11=28;28+4=32<answer>32</answer>",
        " Two  spaces, a line\nand <brackets> <answer > . , ' s n't ",
        string.digits + string.ascii_letters + string.punctuation + " \n",
    ],
)
def test_tokenizer_gives_back_the_text(tokenizer, text):
    tokens = tokenizer(text).input_ids
    assert tokenizer.unk_token_id not in tokens
    assert tokenizer.decode(tokens) == tokenizer.decode(tokens, skip_special_tokens=True) == text


def test_tokens_are_characters_and_whole_tags(tokenizer):
    tokens = tokenizer("4=<answer>32</answer>").input_ids
    assert tokenizer.convert_ids_to_tokens(tokens) == ["4", "=", "<answer>", "3", "2", "</answer>"]
    assert not {"<answer>", "</answer>"} & set(tokenizer.all_special_tokens)
    assert tokenizer("é").input_ids == [tokenizer.unk_token_id]


def test_chat_template(tokenizer):
    chat = [{"role": "user", "content": "17+11+4="}]
    answered = [*chat, {"role": "assistant", "content": "<answer>32</answer>"}]
    prompt = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert prompt == "<|user|>17+11+4=<|assistant|>"
    assert tokenizer.apply_chat_template(answered, tokenize=False) == prompt + "<answer>32</answer><|end|>"
    assert len(tokenizer(prompt).input_ids) == 2 + len("17+11+4=")


def test_end_and_padding_are_known_to_model_and_tokenizer(model, tokenizer):
    assert tokenizer.eos_token == "<|end|>" and tokenizer.pad_token == "<|pad|>"
    assert model.generation_config.eos_token_id == model.config.eos_token_id == tokenizer.eos_token_id
    assert model.generation_config.pad_token_id == model.config.pad_token_id == tokenizer.pad_token_id
    assert model.config.vocab_size == len(tokenizer)


def test_model_is_mediocre_but_can_work_when_made_to(builder, model, tokenizer):
    """On 100 problems the standard error is 5 points where the share is a quarter: the bounds leave two of them."""
    percent = builder.measure(model, tokenizer, builder.ARITHMETIC, TASK.problems("test")[:100], seed=0)
    assert 15 <= percent["greedy_correct"] <= 45
    assert 10 <= percent["sampled_correct"] <= 45
    assert percent["greedy_working"] <= 5
    assert 1 <= percent["sampled_working"] <= 15
    assert percent["forced_correct"] >= 92
    assert percent["greedy_well_formed"] >= 95


def test_model_ends_its_answers(builder, model, tokenizer):
    prompts = tokenizer(builder.write_prompts(tokenizer, TASK.problems("test")[:20]), padding=True, return_tensors="pt")
    tokens_BT = model.generate(prompts["input_ids"], attention_mask=prompts["attention_mask"], max_new_tokens=32)
    assert (tokens_BT == tokenizer.eos_token_id).any(dim=1).all()


def test_shipped_tokenizer_is_the_one_the_tool_builds(builder, tmp_path):
    builder.build_tokenizer().save_pretrained(tmp_path)
    for name in ("tokenizer.json", "chat_template.jinja"):
        assert (EMBEDDED / name).read_text() == (tmp_path / name).read_text()


@pytest.mark.parametrize(
    ("kind", "correct", "well_formed", "working"),
    [
        ("working", True, True, True),
        ("direct", True, True, False),
        ("wrong", False, True, False),
        ("corrupted", False, True, False),
        ("malformed", False, False, False),
    ],
)
def test_training_answers_are_of_their_kind(builder, kind, correct, well_formed, working):
    chance = random.Random(0)
    for problem in TASK.problems("train")[:200]:
        text = builder.write_answer(kind, problem, chance)
        score = TASK.score(problem, text)
        assert (score.correct, score.parts["format"] > 0, score.traits["working"]) == (correct, well_formed, working)
        assert text.partition("<answer>")[0] == "" or kind in ("working", "corrupted")


def test_labels_cover_the_answer_and_nothing_else(builder):
    tokenizer = builder.build_tokenizer()
    short, long = TASK.problems("train")[0], TASK.problems("train")[1]
    batch = builder.encode_batch(tokenizer, [short, long], ["<answer>1</answer>", "1+1=2<answer>2</answer>"])
    learned = [tokenizer.decode(row[row != -100]) for row in batch["labels"]]
    assert learned == ["<answer>1</answer><|end|>", "1+1=2<answer>2</answer><|end|>"]
    answers_kept = (batch["labels"] == -100) | (batch["labels"] == batch["input_ids"])
    assert answers_kept.all()


def test_training_sees_train_problems_only_and_repeats_itself(builder, monkeypatch, capsys):
    seen, encode = [], builder.encode_batch

    def watched(tokenizer, problems, answers):
        seen.extend(problem.id for problem in problems)
        return encode(tokenizer, problems, answers)

    monkeypatch.setattr(builder, "encode_batch", watched)
    tokenizer = builder.build_tokenizer()
    stage = builder.Stage(steps=3, batch=16, learning_rate=1e-3, kinds=builder.SPOILED.kinds)
    twins = [builder.build_model(tokenizer, seed=5) for _ in range(2)]
    for twin in twins:
        builder.train(twin, tokenizer, stage, random.Random(7), builder.ARITHMETIC)
    assert len(seen) == 2 * 3 * 16
    assert set(seen) <= {problem.id for problem in TASK.problems("train")}
    for one, other in zip(*(twin.parameters() for twin in twins), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
