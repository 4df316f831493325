"""The arms of the L1RA study: what each trains, as a supervised run, or as PEFT's AdaLoRA on the same data."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import AdaLoraConfig, get_peft_model
from torch.nn import functional

from paring import load_run
from paring.policy.chat import conversation_tokens
from paring.policy.loading import Model, load_base
from paring.policy.packing import Labelled
from paring.policy.rendering import end_of
from paring.training.config import SftRun
from paring.training.draws import items_of_step
from paring.training.optim import learning_rate
from paring.training.sft_setup import prepare

MLP = ["gate_proj", "up_proj", "down_proj"]
ARMS: dict[str, dict[str, Any]] = {
    "lora": {"kind": "lora"},
    "lora-mlp": {"kind": "lora", "targets": MLP},
    "adalora": {"kind": "lora"},
    "l1ra-reference": {"kind": "l1ra-reference"},
    # With the reference's first A, N(0, 1/r0).
    "lora-normal": {"kind": "lora", "init_a": "normal"},
    "l1ra-ranks": {"kind": "l1ra", "budget": "ranks"},
    "l1ra": {"kind": "l1ra", "budget": "parameters"},
}


@dataclass(frozen=True)
class Shape:
    """What all runs of the study share."""

    model: str
    data: str
    steps: int
    batch: int
    longest: int
    held_out: int
    rank: int
    events: int


def run_of(shape: Shape, arm: dict[str, Any], *, lr: float, seed: int) -> SftRun:
    """A supervised run on GSM8K's worked answers. Scale 1 in all arms."""
    events = {} if arm["kind"] == "lora" else {"events": shape.events}
    run = load_run(
        "sft-gsm8k-lora",
        seed=seed,
        steps=shape.steps,
        batch=shape.batch,
        model={"path": shape.model},
        data={"data": shape.data, "longest": shape.longest},
        adapter={"rank": shape.rank, "alpha": float(shape.rank), **events, **arm},
        optimiser={"lr": lr, "warmup": max(1, shape.steps // 20)},
        evaluate={"every": 0, "limit": shape.held_out},
        save={"every": 0},
    )
    assert isinstance(run, SftRun)
    return run


def short_rows(data: Path, model: str, longest: int, held_out: int, to: Path) -> None:
    """Two folders, `to`/test and `to`/validation, with those rows of GSM8K that have at most `longest` tokens. Both
    train on the same rows; held out are GSM8K's test split, and the last `held_out` rows of its training split."""
    _, tokenizer = load_base(Model(path=model))

    def short(name: str) -> list[str]:
        kept = []
        for line in (data / name).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            turns = ({"role": "user", "content": row["question"]}, {"role": "assistant", "content": row["answer"]})
            [example] = conversation_tokens(tokenizer, turns)
            if len(example.tokens) <= longest:
                kept.append(line)
        return kept

    train = short("train.jsonl")
    for split, rows in {"test": short("test.jsonl"), "validation": train[-held_out:]}.items():
        folder = to / split
        folder.mkdir(parents=True, exist_ok=True)
        for name, lines in {"train.jsonl": train[:-held_out], "test.jsonl": rows}.items():
            (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


class AdaLora:
    """PEFT's AdaLoRA from 1.5 x rank to rank, on the examples and schedule of a run of ours. Its loss is taken from
    logits: what the model itself returns has the regulariser in it, in evaluation too."""

    def __init__(self, run: SftRun) -> None:
        base, tokenizer = load_base(run.model)
        config = AdaLoraConfig(
            init_r=run.adapter.rank * 3 // 2,
            target_r=run.adapter.rank,
            lora_alpha=run.adapter.rank,
            tinit=run.steps // 10,
            tfinal=run.steps // 5,
            deltaT=max(1, run.steps // 20),
            total_step=run.steps,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
        self.run, self.pad = run, end_of(tokenizer)
        self.model = get_peft_model(base, config).train()
        self.trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.AdamW(self.trained, weight_decay=run.optimiser.weight_decay)

    def step(self, examples: list[Labelled], number: int) -> None:
        loss = self.loss(examples) + _orthogonality(self.model)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trained, self.run.optimiser.max_grad_norm)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.run.optimiser, number, self.run.steps)
        self.optimiser.step()
        self.model.base_model.update_and_allocate(number)  # pyright: ignore[reportCallIssue]
        self.optimiser.zero_grad()

    def loss(self, examples: list[Labelled]) -> torch.Tensor:
        """Mean cross-entropy of the learned tokens, from logits of a padded batch."""
        longest = max(len(example.tokens) for example in examples)
        token_BN = torch.full((len(examples), longest), self.pad)
        label_BN = torch.full((len(examples), longest), -100)
        seen_BN = torch.zeros((len(examples), longest), dtype=torch.int64)
        for row, example in enumerate(examples):
            tokens, targets = torch.tensor(example.tokens), torch.tensor(example.targets)
            token_BN[row, : len(tokens)], seen_BN[row, : len(tokens)] = tokens, 1
            label_BN[row, targets] = tokens[targets]
        logits = self.model(input_ids=token_BN, attention_mask=seen_BN).logits[:, :-1]
        return functional.cross_entropy(logits.flatten(0, 1), label_BN[:, 1:].flatten(), ignore_index=-100)

    @torch.no_grad()
    def held_out_loss(self, examples: Sequence[Labelled]) -> float:
        self.model.eval()
        total, tokens = 0.0, 0
        for start in range(0, len(examples), 8):
            part = list(examples[start : start + 8])
            count = sum(len(example.targets) for example in part)
            total += float(self.loss(part)) * count
            tokens += count
        return total / tokens

    def ranks(self) -> dict[str, int]:
        """Singular values that are not masked, by module path."""
        return {
            name.removeprefix("base_model.model.").partition(".lora_E")[0]: int((parameter != 0).sum())
            for name, parameter in self.model.named_parameters()
            if "lora_E" in name
        }


def adalora(run: SftRun) -> dict[str, Any]:
    """What became of AdaLoRA in a whole run."""
    setup, peer = prepare(run), AdaLora(run)
    for number in range(1, run.steps + 1):
        peer.step(items_of_step(setup.examples, run.batch, seed=run.seed, step=number), number)
    parameters = sum(parameter.numel() for parameter in peer.trained)
    return {"loss": peer.held_out_loss(setup.held_out), "parameters": parameters, "ranks": peer.ranks()}


def _orthogonality(model: Any) -> torch.Tensor:
    """AdaLoRA's regulariser (arXiv 2303.10512, eq. 4), weighted as PEFT does."""
    total, count = torch.zeros(()), 0
    for name, parameter in model.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            gram = parameter @ parameter.T if "lora_A" in name else parameter.T @ parameter
            total = total + torch.linalg.matrix_norm(gram - torch.eye(len(gram)))
            count += 1
    return 0.5 * total / count
