"""TRL's side of the RL step: GRPOTrainer, started by rl_step.py and memory.py. Needs trl 1.16, peft and datasets."""

import time
from contextlib import redirect_stdout
from sys import stderr
from tempfile import TemporaryDirectory

from datasets import Dataset
from peft import LoraConfig
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer  # pyright: ignore[reportPrivateImportUsage]

from paring.policy.loading import Model, load_base
from paring.runtime.machine import peak_memory_gb
from paring.types import Problem
from questions import Questions, steps_of_questions
from sides import LEARNING_RATE, SEED, Work, answer, wait_for_command


class Steps(TrainerCallback):
    """Holds each step back until it is asked for, and answers with its seconds. TRL generates within the step."""

    def __init__(self, task: Questions, problems: list[Problem]) -> None:
        self.task, self.problem_of = task, {problem.id: problem for problem in problems}

    def on_train_begin(self, *_, **__):
        answer(ready=True)

    def on_step_begin(self, *_, **__):
        wait_for_command()
        self.start = time.perf_counter()

    def on_step_end(self, *_, **__):
        answer(seconds=time.perf_counter() - self.start, tokens=self.tokens, peak_gb=peak_memory_gb())

    def reward(self, completions, completion_ids, id, **_):
        self.tokens = sum(map(len, completion_ids))
        texts = [completion[0]["content"] for completion in completions]
        return [self.task.score(self.problem_of[name], text).reward for name, text in zip(id, texts, strict=True)]


def settings(work: Work, folder: str) -> GRPOConfig:
    return GRPOConfig(
        output_dir=folder,
        per_device_train_batch_size=work.problems * work.group // work.peer_passes,
        gradient_accumulation_steps=work.peer_passes,
        num_generations=work.group,
        max_completion_length=work.new_tokens,
        max_steps=work.steps,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant",
        beta=work.kl,
        loss_type="grpo",
        temperature=1.0,
        shuffle_dataset=False,
        bf16=work.dtype == "bfloat16",
        gradient_checkpointing=False,
        use_cpu=True,
        seed=SEED,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
    )


def main(folder: str) -> None:
    work = Work.given()
    task, order = steps_of_questions(
        work.data, work.problems, work.steps, seed=SEED, without_signal=work.without_signal
    )
    steps = Steps(task, order)
    base, tokenizer = load_base(Model(path=work.model, device="cpu", dtype=work.dtype))
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    GRPOTrainer(
        model=base,
        reward_funcs=steps.reward,  # pyright: ignore[reportArgumentType]  named as TRL calls it
        train_dataset=Dataset.from_list([{"prompt": list(problem.messages), "id": problem.id} for problem in order]),
        processing_class=tokenizer,
        peft_config=LoraConfig(r=work.rank, lora_alpha=work.rank, target_modules="all-linear", task_type="CAUSAL_LM"),
        callbacks=[steps],
        args=settings(work, folder),
    ).train()


if __name__ == "__main__":
    with redirect_stdout(stderr), TemporaryDirectory() as folder:
        main(folder)
