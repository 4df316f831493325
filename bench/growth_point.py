"""One point of growth.py, in a process of its own: seconds and peak memory of a rollout or of a training pass."""

import json
import sys

import torch

from adapted import adapted_policy, lora_of
from batches import random_groups
from generating import sampled
from measuring import seconds
from paring.policy.model import Policy
from paring.runtime.machine import peak_memory_gb
from passes import packed_pass
from questions import questions


def rollout_seconds(policy: Policy, *, data: str | None, rows: int, group: int, new_tokens: int) -> float:
    """Groups of `group`, or one smaller group where the rows do not fill it."""
    problems = questions(data, max(1, rows // group))
    sampled(policy, problems[:1], 1, 2)
    return sampled(policy, problems, min(rows, group), new_tokens).seconds


def training_seconds(policy: Policy, *, prompts: int, group: int, prompt: int, response: int) -> float:
    def once(prompts: int, group: int, prompt: int, response: int) -> None:
        rows = prompts * group
        groups = random_groups([prompt] * prompts, [response] * rows, policy.model.config.vocab_size)
        packed_pass(policy, groups, torch.ones(rows))

    once(1, 2, 8, 4)
    return seconds(lambda: once(prompts, group, prompt, response))


MEASURES = {"rollout": rollout_seconds, "training": training_seconds}


def main() -> None:
    """The point is the only argument, as JSON: kind, model, rank, and what the kind's function takes."""
    point = json.loads(sys.argv[1])
    policy = adapted_policy(point["model"], lora_of(point["rank"]))
    spent = MEASURES[point["kind"]](policy, **point["sizes"])
    print(json.dumps({"seconds": spent, "peak_gb": peak_memory_gb()}))


if __name__ == "__main__":
    main()
