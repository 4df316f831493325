"""TRL's side of the step on a GPU: GRPOTrainer on the same model of random weights, prompts and rewards."""

import hashlib
from argparse import Namespace
from contextlib import redirect_stdout
from statistics import median
from sys import stderr
from tempfile import TemporaryDirectory
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer  # pyright: ignore[reportPrivateImportUsage]

from gpu_models import random_model, random_problems, word_tokenizer
from paring.runtime.gpu import begin_peaks, peaks, stopwatch


class Timed(TrainerCallback):
    """Seconds, generated tokens and peak memory of each step. TRL generates within the step."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.steps: list[dict[str, Any]] = []
        self.tokens = 0

    def on_step_begin(self, *_, **__):
        begin_peaks(self.device)
        self.watch = stopwatch(self.device)

    def on_step_end(self, *_, **__):
        self.steps.append({"seconds": self.watch.elapsed(), "tokens": self.tokens, **peaks(self.device)})

    def reward(self, completions, completion_ids, **_):
        """A number that differs with the text, as in our task (questions.py)."""
        self.tokens = sum(map(len, completion_ids))
        return [int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) / 2**42 for text in completions]


def trl_step(arguments: Namespace, name: str, dtype: torch.dtype, *, kl: float) -> dict[str, Any]:
    """Medians over the steps but the first."""
    model = random_model(name, dtype, arguments.device)
    vocabulary = model.config.vocab_size
    steps = 1 + arguments.steps
    problems = random_problems(arguments.problems * steps, arguments.prompt, vocabulary)
    timed = Timed(arguments.device)
    lora = LoraConfig(r=arguments.rank, lora_alpha=arguments.rank, target_modules="all-linear", task_type="CAUSAL_LM")
    with TemporaryDirectory() as folder:
        settings = GRPOConfig(
            output_dir=folder,
            per_device_train_batch_size=arguments.problems * arguments.group,
            num_generations=arguments.group,
            max_completion_length=arguments.new_tokens,
            max_steps=steps,
            learning_rate=1e-5,
            lr_scheduler_type="constant",
            beta=kl,
            loss_type="grpo",
            temperature=1.0,
            shuffle_dataset=False,
            bf16=dtype == torch.bfloat16,
            gradient_checkpointing=False,
            use_cpu=arguments.device.type == "cpu",
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
        )
        trainer = GRPOTrainer(
            model=model,
            reward_funcs=timed.reward,  # pyright: ignore[reportArgumentType]  named as TRL calls it
            train_dataset=Dataset.from_list([{"prompt": problem.messages[0]["content"]} for problem in problems]),
            processing_class=word_tokenizer(vocabulary),
            peft_config=lora,
            callbacks=[timed],
            args=settings,
        )
        with redirect_stdout(stderr):  # standard output is for our lines
            trainer.train()
    counted = timed.steps[1:]
    return {
        "seconds": median(one["seconds"] for one in counted),
        "seconds_a_token": median(one["seconds"] / one["tokens"] for one in counted),
        "tokens": median(one["tokens"] for one in counted),
        **{key: max(one[key] for one in counted) for key in peaks(arguments.device)},
    }
