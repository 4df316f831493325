"""The arms of the L1RA study: what each trains, as a supervised run, or as PEFT's AdaLoRA on the same data."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import AdaLoraConfig, get_peft_model
from torch.nn import functional

from paring import load_run
from paring.config import SftRun
from paring.policy.chat import conversation_tokens
from paring.policy.loading import Model, load_base
from paring.policy.packing import Labelled
from paring.training.optim import learning_rate
from paring.training.order import items_of_step
from paring.training.sft_setup import prepare

MLP = ["gate_proj", "up_proj", "down_proj"]
ARMS: dict[str, dict[str, Any]] = {
    "lora": {"kind": "lora"},
    "lora-mlp": {"kind": "lora", "targets": MLP},
    "adalora": {"kind": "lora"},
    "l1ra-reference": {"kind": "l1ra-reference"},
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


def run_of(shape: Shape, arm: dict[str, Any], *, lr: float, seed: int, rank: int | None = None) -> SftRun:
    """A supervised run on GSM8K's worked answers. Scale 1 in all arms."""
    rank = rank or shape.rank
    events = {} if arm["kind"] == "lora" else {"events": shape.events}
    return load_run(
        "sft-gsm8k-lora",
        seed=seed,
        steps=shape.steps,
        batch=shape.batch,
        model={"path": shape.model},
        data={"path": shape.data, "longest": shape.longest},
        adapter={"rank": rank, "alpha": float(rank), **events, **arm},
        optimiser={"lr": lr, "warmup": max(1, shape.steps // 20)},
        evaluate={"every": 0, "limit": shape.held_out},
        save={"every": 0},
    )


def short_rows(data: Path, model: str, longest: int, to: Path) -> Path:
    """A folder with those rows of GSM8K that have at most `longest` tokens, so that no run reads the others again."""
    _, tokenizer = load_base(Model(path=model))
    to.mkdir(parents=True, exist_ok=True)
    for name in ("train.jsonl", "test.jsonl"):
        kept = []
        for line in (data / name).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            turns = ({"role": "user", "content": row["question"]}, {"role": "assistant", "content": row["answer"]})
            if len(conversation_tokens(tokenizer, turns).tokens) <= longest:
                kept.append(line)
        (to / name).write_text("\n".join(kept) + "\n", encoding="utf-8")
    return to


def adalora(run: SftRun) -> dict[str, Any]:
    """PEFT's AdaLoRA from 1.5 x rank to rank on the run's examples and schedule; its loss is taken from logits, since
    what the model itself returns has the regulariser added, in evaluation too."""
    setup = prepare(run)
    base, tokenizer = load_base(run.model)
    rank = run.adapter.rank
    config = AdaLoraConfig(
        init_r=rank * 3 // 2,
        target_r=rank,
        lora_alpha=rank,
        tinit=run.steps // 10,
        tfinal=run.steps // 5,
        deltaT=max(1, run.steps // 20),
        total_step=run.steps,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(base, config).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=run.optimiser.lr, weight_decay=run.optimiser.weight_decay)
    pad = tokenizer.eos_token_id
    for step in range(1, run.steps + 1):
        examples = items_of_step(setup.examples, run.batch, seed=run.seed, step=step)
        loss = _loss(model, examples, pad) + _orthogonality(model)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, run.optimiser.max_grad_norm)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(run.optimiser, step, run.steps)
        optimiser.step()
        model.base_model.update_and_allocate(step)
        optimiser.zero_grad()
    held_out, tokens = 0.0, 0
    with torch.no_grad():
        model.eval()
        for start in range(0, len(setup.held_out), 8):
            part = setup.held_out[start : start + 8]
            count = sum(len(example.targets) for example in part)
            held_out += float(_loss(model, part, pad)) * count
            tokens += count
    ranks = {}
    for name, parameter in model.named_parameters():
        if "lora_E" in name:
            path = name.removeprefix("base_model.model.").partition(".lora_E")[0]
            ranks[path] = int((parameter != 0).sum())
    return {"loss": held_out / tokens, "parameters": sum(p.numel() for p in trained), "ranks": ranks}


def _loss(model: Any, examples: list[Labelled], pad: int) -> torch.Tensor:
    """Mean cross-entropy of the learned tokens, from logits of a padded batch."""
    longest = max(len(example.tokens) for example in examples)
    token_BN = torch.full((len(examples), longest), pad)
    label_BN = torch.full((len(examples), longest), -100)
    seen_BN = torch.zeros((len(examples), longest), dtype=torch.int64)
    for row, example in enumerate(examples):
        tokens = torch.tensor(example.tokens)
        token_BN[row, : len(tokens)], seen_BN[row, : len(tokens)] = tokens, 1
        label_BN[row, example.targets] = tokens[example.targets]
    logits = model(input_ids=token_BN, attention_mask=seen_BN).logits[:, :-1]
    return functional.cross_entropy(logits.flatten(0, 1), label_BN[:, 1:].flatten(), ignore_index=-100)


def _orthogonality(model: Any) -> torch.Tensor:
    """AdaLoRA's regulariser (arXiv 2303.10512, eq. 4), weighted as PEFT does."""
    total, count = 0.0, 0
    for name, parameter in model.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            gram = parameter @ parameter.T if "lora_A" in name else parameter.T @ parameter
            total = total + torch.linalg.matrix_norm(gram - torch.eye(len(gram)))
            count += 1
    assert math.isfinite(float(total))
    return 0.5 * total / count
