"""PEFT's adapters on a goal of bench/pairs.py: the same pairs, order of rows, Adam and schedule as our students."""

from collections.abc import Mapping
from typing import Any

import torch
from peft import EvaConfig, LoraConfig, MissConfig, VeraConfig, get_peft_model, initialize_lora_eva_weights
from torch import Tensor, nn
from torch.nn import functional

from pairs import PROBE, QUESTION, Pairs
from paring.policy.loading import Model, load_base
from paring.training.optim import Adam, learning_rate
from planted_teacher import BASE
from students import RANK, Line

LORA = {"r": RANK, "lora_alpha": RANK, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
VERA_RANK = 379
"""21 modules x 379 + 2,976 outputs: the parameters of LoRA of rank 2 on embedded-chains."""
MISS_RANK = 4
"""MiSS has rank x outputs parameters: 9 % more than LoRA of rank 2; 18 % fewer at 3."""
EVA_BATCHES = 8
"""The first rows of A are the principal directions of the inputs of so many batches."""
CONFIGS: Mapping[str, Any] = {
    "lora": lambda: LoraConfig(**LORA),
    "pissa": lambda: LoraConfig(**LORA, init_lora_weights="pissa"),
    "olora": lambda: LoraConfig(**LORA, init_lora_weights="olora"),
    "eva": lambda: LoraConfig(**LORA, init_lora_weights="eva", eva_config=EvaConfig(rho=2.0)),
    "miss": lambda: MissConfig(r=MISS_RANK, target_modules="all-linear", task_type="CAUSAL_LM"),
    "vera": lambda: VeraConfig(r=VERA_RANK, target_modules="all-linear", task_type="CAUSAL_LM"),
}


def peft_run(pairs: Pairs, arm: str, *, lr: float, steps: int) -> Line:
    """The line of a whole run of an arm in CONFIGS."""
    torch.manual_seed(pairs.seed)
    base, _ = load_base(Model(path=BASE))
    model = get_peft_model(base, CONFIGS[arm]())
    if arm == "eva":
        rows = [pairs.rows(step) for step in range(1, EVA_BATCHES + 1)]
        batches = [{"input_ids": row_BT, "attention_mask": torch.ones_like(row_BT)} for row_BT in rows]
        initialize_lora_eva_weights(model, batches, forward_fn=_forward, show_progress_bar=False)
    adam = Adam(lr=lr, warmup=10, schedule="cosine")
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=lr, betas=adam.betas, weight_decay=adam.weight_decay)
    for step in range(1, steps + 1):
        optimiser.zero_grad()
        _loss(model, pairs.rows(step)).backward()
        nn.utils.clip_grad_norm_(weights, adam.max_grad_norm)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(adam, step, steps)
        optimiser.step()
    with torch.no_grad():
        losses = [float(_loss(model, row_BT)) * len(row_BT) for row_BT in pairs.token_NT.split(PROBE)]
    return {
        "parameters": sum(weight.numel() for weight in weights),
        "loss": sum(losses) / len(pairs.token_NT),
        "events": [],
    }


def _forward(model: nn.Module, batch: Mapping[str, Tensor]) -> Any:
    return model(**batch)


def _loss(model: nn.Module, row_BT: Tensor) -> Tensor:
    """Mean cross-entropy of the answers, in nats a token."""
    logits_BTV = model(input_ids=row_BT).logits[:, QUESTION - 1 : -1]
    return functional.cross_entropy(logits_BTV.flatten(0, 1), row_BT[:, QUESTION:].flatten())
