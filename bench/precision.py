"""Claim: a step on a bf16 base takes less time than on an fp32 one, where the CPU multiplies in bf16.

Both sides are ours, in turn in one process: rollout, reference and training pass as in a step of `paring train`."""

from collections.abc import Callable
from functools import partial
from statistics import median

import torch
from torch import Tensor

from adapted import adapted_policy, lora_of
from measuring import in_turn, median_ratio, options, report, seconds
from paring.policy.model import Policy
from paring.policy.packing import packed
from paring.policy.recording import Recording
from paring.rollout.engine import Sampling
from paring.rollout.local import LocalEngine
from paring.types import Group, Key, Problem
from questions import questions

RECORD_BYTES = 4e9


class Step:
    """The three phases of a step, each on what the one before has left."""

    def __init__(self, policy: Policy, problems: list[Problem], group: int, new_tokens: int) -> None:
        self.policy, self.problems, self.group = policy, problems, group
        self.sampling = Sampling(max_new_tokens=new_tokens)
        self.engine = LocalEngine(policy, recording=Recording(RECORD_BYTES))
        self.groups: list[Group] = []

    def rollout(self) -> None:
        self.groups = self.engine.sample(self.problems, self.group, self.sampling, Key(0, 0))

    def reference(self) -> Tensor:
        with torch.no_grad(), self.policy.reference():
            return self.policy.log_probs(packed(self.groups, self.policy.device), temperature=1.0)

    def training(self) -> None:
        logp_BT = self.policy.log_probs(packed(self.groups, self.policy.device), temperature=1.0, replay=True)
        weight_B = torch.randn(len(logp_BT), generator=torch.Generator().manual_seed(0))
        (logp_BT * weight_B[:, None]).sum().backward()

    def phases(self) -> dict[str, float]:
        phases: dict[str, Callable[[], object]] = {
            "rollout": self.rollout,
            "reference": self.reference,
            "training": self.training,
        }
        return {name: seconds(phase) for name, phase in phases.items()}


def main() -> None:
    arguments = options(
        __doc__, "model", "data", at_least=1.35, rows=32, group=8, new_tokens=128, rank=16, pairs=3
    ).parse_args()
    problems = questions(arguments.data, arguments.rows // arguments.group)
    steps = {
        dtype: Step(
            adapted_policy(arguments.model, lora_of(arguments.rank), dtype),
            problems,
            arguments.group,
            arguments.new_tokens,
        )
        for dtype in ("float32", "bfloat16")
    }
    for step in steps.values():
        step.phases()
    turns = dict(zip(steps, in_turn(arguments.pairs, *[partial(step.phases) for step in steps.values()]), strict=True))
    whole = {dtype: tuple(sum(phases.values()) for phases in turn) for dtype, turn in turns.items()}
    tokens = {
        dtype: sum(len(one.tokens) for group in step.groups for one in group.completions)
        for dtype, step in steps.items()
    }
    a_token = {dtype: tuple(spent / tokens[dtype] for spent in spents) for dtype, spents in whole.items()}
    report(
        arguments,
        "one step without its optimiser, seconds a token: fp32 base / bf16 base",
        median_ratio(a_token["float32"], a_token["bfloat16"]),
        ratio_of_steps=median_ratio(whole["float32"], whole["bfloat16"]),
        seconds={
            dtype: {name: median(phases[name] for phases in turn) for name in turn[0]} for dtype, turn in turns.items()
        },
        tokens=tokens,
    )


if __name__ == "__main__":
    main()
