"""L1RA in a script of TRL: GRPO on adapters that find their own ranks.

pip install 'paring[peft]' trl datasets
python examples/l1ra_with_trl.py
"""

import sys
from pathlib import Path

from datasets import load_dataset
from peft import get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

from own_reward import right
from paring.integrations.peft import L1raCallback, L1raConfig, save_as_lora
from paring.policy.loading import EMBEDDED

ROWS = Path(__file__).with_name("rows.jsonl")


def main(out: str, steps: int = 100) -> None:
    """Train the model that ships with paring, on the reward of own_reward.py, and write it to the folder `out`."""
    base = AutoModelForCausalLM.from_pretrained(EMBEDDED)  # or any model that PEFT takes
    trainer = GRPOTrainer(
        model=get_peft_model(base, L1raConfig(r=8, lora_alpha=16, task_type="CAUSAL_LM")),
        processing_class=AutoTokenizer.from_pretrained(EMBEDDED),
        args=GRPOConfig(
            output_dir=out,
            max_steps=steps,
            learning_rate=1e-3,
            per_device_train_batch_size=128,
            num_generations=8,
            max_completion_length=32,
            logging_steps=10,
            report_to="none",
            bf16=False,  # leave it out on a GPU
        ),
        reward_funcs=right,
        train_dataset=load_dataset("json", data_files=str(ROWS), split="train"),
        callbacks=[L1raCallback()],  # moves gates and ranks, and writes OUT/ranks.jsonl
    )
    trainer.train()
    save_as_lora(trainer.model, f"{out}/lora")  # plain LoRA at the ranks it found, for readers without paring


if __name__ == "__main__":
    main(out=sys.argv[1] if len(sys.argv) > 1 else "runs/l1ra-with-trl")
