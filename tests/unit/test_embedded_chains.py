"""The second model that ships: how good it is at its task, and what it was built from."""

import importlib.util
import json
import random
import sys
from pathlib import Path

import pytest
from safetensors import safe_open
from transformers import AutoTokenizer, LlamaForCausalLM

from paring.policy.loading import EMBEDDED, SHIPPED, Model, load_base
from paring.tasks.chains import Chains

TOOLS = Path(__file__).parents[2] / "tools"
FOLDER = SHIPPED["embedded-chains"]
TASK = Chains()


@pytest.fixture(scope="module")
def builder():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TOOLS))  # it imports the builder of the first model, which lies beside it
        spec = importlib.util.spec_from_file_location("build_embedded_chains", TOOLS / "build_embedded_chains.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def measure(builder):
    return sys.modules["build_embedded"].measure  # loaded with the builder


def test_it_is_loaded_by_name():
    model, tokenizer = load_base(Model(path="embedded-chains", device="cpu"))
    assert model.num_parameters() == 342_336 and len(tokenizer) == model.config.vocab_size


def test_folder_is_small_in_half_precision_and_has_the_first_model_s_tokenizer():
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) <= 800_000
    with safe_open(FOLDER / "model.safetensors", framework="pt") as weights:
        assert {weights.get_slice(name).get_dtype() for name in weights.keys()} == {"F16"}
    for name in ("tokenizer.json", "chat_template.jinja"):
        assert (FOLDER / name).read_bytes() == (EMBEDDED / name).read_bytes()


def test_report_describes_the_folder(builder):
    report = json.loads((FOLDER / "build.json").read_text())
    beside = sys.modules["build_embedded"].BESIDE
    assert report["bytes"] == sum(file.stat().st_size for file in FOLDER.iterdir() if file.name not in beside)
    assert report["start"] == "embedded"
    assert report["stages"]["spoiled"]["kinds"] == builder.SPOILED.kinds


def test_a_right_answer_is_rare_and_mostly_a_guess(builder, measure):
    """On 150 problems the standard error is at most 2.5 points at 10 %, 4 at 60 %: the bounds leave two of them."""
    model, tokenizer = LlamaForCausalLM.from_pretrained(FOLDER), AutoTokenizer.from_pretrained(FOLDER)
    percent = measure(model, tokenizer, builder.CHAINS, TASK.problems("test")[:150], seed=0)
    assert 5 <= percent["greedy_correct"] <= 20
    assert 2 <= percent["sampled_correct"] <= 15
    assert 0 <= percent["sampled_working"] <= 5
    assert 65 <= percent["sampled_well_formed"] <= 92
    assert 45 <= percent["forced_correct"] <= 80


@pytest.mark.parametrize(
    ("kind", "rewards", "working"),
    [
        ("working", {1.1}, {True}),
        ("corrupted", {0.1}, {False}),
        ("guess", {0.1, 1.1}, {False}),
        ("malformed", {0.0}, {False}),
    ],
)
def test_training_answers_are_of_their_kind(builder, kind, rewards, working):
    chance = random.Random(0)
    scores = [
        TASK.score(problem, builder.write_answer(kind, problem, chance)) for problem in TASK.problems("train")[:300]
    ]
    assert {score.reward for score in scores} == rewards
    assert {score.traits["working"] for score in scores} == working


def test_a_guess_is_near_and_seldom_right(builder):
    chance = random.Random(0)
    problems = TASK.problems("train")[:2000]
    golds = [int(problem.gold) for problem in problems]
    guesses = [int(builder.write_answer("guess", problem, chance)[8:-9]) for problem in problems]
    assert max(abs(guess - gold) for guess, gold in zip(guesses, golds, strict=True)) == builder.NEAR
    assert 0.05 < sum(guess == gold for guess, gold in zip(guesses, golds, strict=True)) / 2000 < 0.11
