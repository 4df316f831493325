"""Rebuild the tiny model that ships with the package: python tools/build_embedded.py [--out DIR] [--seed 2]

It is made competent with working first, then spoiled until it mostly blurts out a number: a base from which
reinforcement learning has something to elicit. It sees problems of the train split only. Five minutes on one core.
"""

import argparse
import json
import platform
import random
import re
import string
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import tokenizers
import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from paring.tasks.arithmetic import Arithmetic
from paring.tasks.chains import Chains
from paring.types import Problem

SPECIAL = ("<|pad|>", "<|user|>", "<|assistant|>", "<|end|>", "<|unk|>")
TAGS = ("<answer>", "</answer>")
CHARACTERS = string.digits + string.ascii_letters + string.punctuation + " \n"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}<|assistant|>{{ message['content'] }}<|end|>"
    "{% else %}<|user|>{{ message['content'] }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
THREADS = 1
REPORT = "build.json"
BESIDE = (REPORT, "README.md", "LICENSE")
"""The files of the folder that are no part of the model: the report, and its card and licence, written by hand."""
EMBEDDED = Path(__file__).parents[1] / "src/paring/embedded"


@dataclass(frozen=True)
class Stage:
    """So many steps of AdamW on answers drawn by kind, the kinds weighted as written."""

    steps: int
    batch: int
    learning_rate: float
    kinds: dict[str, float]


@dataclass(frozen=True)
class Base:
    """What makes a base: its task, the weights it starts from (None: new ones), its stages, and who writes answers."""

    task: Arithmetic | Chains
    start: Path | None
    stages: dict[str, Stage]
    write: Callable[[str, Problem, random.Random], str]
    longest_answer: int


# How many answers are right in the end is sensitive: greedy, 20, 26, 28 and 20 % on validation with seeds 0 to 3.
COMPETENT = Stage(1800, 64, 2.5e-3, {"working": 0.95, "direct": 0.05})
SPOILED = Stage(600, 64, 4e-4, {"working": 0.08, "corrupted": 0.02, "direct": 0.82, "wrong": 0.05, "malformed": 0.03})


def build_tokenizer() -> PreTrainedTokenizerFast:
    """One token a character, save the two answer tags, which are ordinary tokens of their own."""
    vocabulary = {token: index for index, token in enumerate((*SPECIAL, *TAGS, *CHARACTERS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<|unk|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"</?answer>|[\s\S]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        unk_token="<|unk|>",
        additional_special_tokens=["<|user|>", "<|assistant|>"],
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=128,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def build_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=96,
        num_hidden_layers=3,
        num_attention_heads=3,  # of 32: what the CPU kernels of inference servers know
        intermediate_size=256,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(seed)  # transformers draws first weights, and samples, from the global generator only
    return LlamaForCausalLM(config)


def write_answer(kind: str, problem: Problem, chance: random.Random) -> str:
    """An answer of one kind: working, direct, wrong (direct), corrupted (working) or malformed."""
    a, sign_b, b, sign_c, c = re.fullmatch(r"(\d+)([+-])(\d+)([+-])(\d+)=", problem.messages[0]["content"]).groups()
    middle, result = int(a) + int(sign_b + b), int(problem.gold)
    if kind == "malformed":
        return chance.choice((f"<answer>{result}", "<answer></answer>", f"<answer>{result}<answer>", "<answer>"))
    if kind == "wrong":
        result = slip(result, range(100), chance)
    if kind == "corrupted":
        if chance.random() < 0.5:
            last = int(sign_c + c)
            middle = slip(middle, range(max(0, -last), min(100, 100 - last)), chance)
            result = middle + last
        else:
            result = slip(result, range(100), chance)
    working = f"{a}{sign_b}{b}={middle};{middle}{sign_c}{c}={result}" if kind in ("working", "corrupted") else ""
    return f"{working}<answer>{result}</answer>"


def slip(value: int, inside: range, chance: random.Random) -> int:
    """Another number inside a range, at most nine away."""
    return chance.choice([near for near in range(value - 9, value + 10) if near in inside and near != value])


ARITHMETIC = Base(Arithmetic(), None, {"competent": COMPETENT, "spoiled": SPOILED}, write_answer, longest_answer=32)


def write_prompts(tokenizer: PreTrainedTokenizerFast, problems: Sequence[Problem]) -> list[str]:
    chats = [list(problem.messages) for problem in problems]
    return tokenizer.apply_chat_template(chats, tokenize=False, add_generation_prompt=True)


def encode_batch(tokenizer: PreTrainedTokenizerFast, problems: list[Problem], answers: list[str]) -> dict[str, Tensor]:
    """Token ids padded on the right, and labels that are -100 wherever no answer stands: prompts are not learned."""
    prompts = tokenizer(write_prompts(tokenizer, problems)).input_ids
    targets = tokenizer([f"{answer}<|end|>" for answer in answers]).input_ids
    longest = max(len(prompt) + len(target) for prompt, target in zip(prompts, targets, strict=True))
    tokens_BT = torch.full((len(prompts), longest), tokenizer.pad_token_id)
    labels_BT = torch.full_like(tokens_BT, -100)
    for row, (prompt, target) in enumerate(zip(prompts, targets, strict=True)):
        end = len(prompt) + len(target)
        tokens_BT[row, :end] = torch.tensor(prompt + target)
        labels_BT[row, len(prompt) : end] = torch.tensor(target)
    return {"input_ids": tokens_BT, "labels": labels_BT}


def train(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, stage: Stage, chance: random.Random, base: Base
) -> None:
    """One stage: linear warm-up over a twentieth of the steps, then a linear decay to zero."""
    problems = base.task.problems("train")
    optimiser = torch.optim.AdamW(model.parameters(), lr=stage.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    warm_up = stage.steps / 20
    model.train()
    for step in range(stage.steps):
        share = min((step + 1) / warm_up, (stage.steps - step) / (stage.steps - warm_up))
        optimiser.param_groups[0]["lr"] = stage.learning_rate * share
        drawn = [problems[chance.randrange(len(problems))] for _ in range(stage.batch)]
        kinds = chance.choices(list(stage.kinds), list(stage.kinds.values()), k=stage.batch)
        answers = [base.write(kind, problem, chance) for kind, problem in zip(kinds, drawn, strict=True)]
        loss = model(**encode_batch(tokenizer, drawn, answers)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        if step % 100 == 0 or step == stage.steps - 1:
            print(f"  step {step:5d}  loss {loss.item():.4f}", flush=True)


@torch.no_grad()
def answer(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    problems: Sequence[Problem],
    openings: Sequence[str],
    longest: int,
    *,
    sampled: bool = False,
) -> list[str]:
    """The model's answer to each problem, continued from its opening; greedy, or sampled at temperature 1."""
    prompts = [prompt + opening for prompt, opening in zip(write_prompts(tokenizer, problems), openings, strict=True)]
    inputs = tokenizer(prompts, padding=True, return_tensors="pt", return_token_type_ids=False)
    choice = {"temperature": 1.0, "top_k": 0, "top_p": 1.0} if sampled else {}
    tokens_BT = model.generate(**inputs, max_new_tokens=longest, do_sample=sampled, **choice)
    endings = tokenizer.batch_decode(tokens_BT[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return [opening + ending for opening, ending in zip(openings, endings, strict=True)]


def measure(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, base: Base, problems: Sequence[Problem], seed: int
) -> dict[str, float]:
    """Percentages of the problems. Forced: the answer is made to begin with the first digit of the problem."""
    model.eval()
    torch.manual_seed(seed)
    nothing = [""] * len(problems)
    first_digits = [problem.messages[0]["content"][0] for problem in problems]
    ways = {
        "greedy": answer(model, tokenizer, problems, nothing, base.longest_answer),
        "sampled": answer(model, tokenizer, problems, nothing, base.longest_answer, sampled=True),
        "forced": answer(model, tokenizer, problems, first_digits, base.longest_answer),
    }
    quality = {}
    for way, texts in ways.items():
        scores = [base.task.score(problem, text) for problem, text in zip(problems, texts, strict=True)]
        percent = 100 / len(scores)
        quality[f"{way}_correct"] = round(percent * sum(score.correct for score in scores), 1)
        quality[f"{way}_working"] = round(percent * sum(score.traits["working"] for score in scores), 1)
        quality[f"{way}_well_formed"] = round(percent * sum(score.parts["format"] > 0 for score in scores), 1)
    return quality


def save(model: LlamaForCausalLM, out: Path) -> None:
    """Weights in half precision; the config still says single, so that they are widened when they are loaded.

    The tokenizer is a fresh one: use leaves its padding behind in the file.
    """
    model.save_pretrained(out, state_dict={name: weight.half() for name, weight in model.state_dict().items()})
    build_tokenizer().save_pretrained(out)


def build(base: Base, out: Path, seed: int) -> dict:
    """Train, save, load what was saved, and report on that."""
    start = time.perf_counter()
    torch.set_num_threads(THREADS)
    tokenizer = build_tokenizer()
    model = build_model(tokenizer, seed) if base.start is None else LlamaForCausalLM.from_pretrained(base.start)
    chance = random.Random(seed)
    validation = base.task.problems("validation")
    for name, stage in base.stages.items():
        print(f"{name}: {stage.steps} steps", flush=True)
        train(model, tokenizer, stage, chance, base)
        print(f"  {measure(model, tokenizer, base, validation, seed)}", flush=True)
    save(model, out)
    shipped = LlamaForCausalLM.from_pretrained(out)
    splits = {"validation": validation, "test": base.task.problems("test")}
    return {
        "seconds": round(time.perf_counter() - start),
        "seed": seed,
        "threads": THREADS,
        "python": platform.python_version(),
        "versions": {package.__name__: package.__version__ for package in (torch, transformers, tokenizers)},
        **({} if base.start is None else {"start": base.start.name}),
        "stages": {name: asdict(stage) for name, stage in base.stages.items()},
        "parameters": shipped.num_parameters(),
        "bytes": sum(file.stat().st_size for file in out.iterdir() if file.name not in BESIDE),
        "percent": {split: measure(shipped, tokenizer, base, problems, seed) for split, problems in splits.items()},
    }


def main(base: Base, out: Path, what: str, seed: int) -> None:
    """Build a base as the command line says, by default into the folder `out`, and write its report."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--out", type=Path, default=out)
    parser.add_argument("--seed", type=int, default=seed)
    arguments = parser.parse_args()
    report = json.dumps(build(base, arguments.out, arguments.seed), indent=2)
    (arguments.out / REPORT).write_text(report + "\n")
    print(report)


if __name__ == "__main__":
    main(ARITHMETIC, EMBEDDED, __doc__.splitlines()[0], seed=2)
