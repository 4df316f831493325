"""A step of `paring train` without its optimiser, by phase. Memory that is freed stays with the process, as there."""

from collections.abc import Callable

import torch
from torch import Tensor

from measuring import seconds
from paring.policy.decoder import Decoder
from paring.policy.model import Policy
from paring.policy.packing import packed
from paring.policy.recording import Recording
from paring.rollout.engine import Sampling
from paring.rollout.local import LocalEngine
from paring.runtime.memory import keep_freed_memory
from paring.types import Group, Key, Problem

RECORD_BYTES = 4e9


class Step:
    """The three phases of a step, each on what the one before has left. A rollout of the written-out decoder is the
    forward pass of the update."""

    def __init__(self, policy: Policy, problems: list[Problem], group: int, new_tokens: int) -> None:
        keep_freed_memory()
        self.policy, self.problems, self.group = policy, problems, group
        self.sampling = Sampling(max_new_tokens=new_tokens)
        self.is_recorded = isinstance(policy.hidden, Decoder)
        self.engine = LocalEngine(policy, recording=Recording(RECORD_BYTES) if self.is_recorded else None)
        self.groups: list[Group] = []

    def rollout(self) -> None:
        self.groups = self.engine.sample(self.problems, self.group, self.sampling, Key(0, 0))

    def reference(self) -> Tensor:
        with torch.no_grad(), self.policy.reference():
            return self.policy.log_probs(packed(self.groups, self.policy.device), temperature=1.0)

    def training(self) -> None:
        logp_BT = self.policy.log_probs(
            packed(self.groups, self.policy.device), temperature=1.0, replay=self.is_recorded
        )
        weight_B = torch.randn(len(logp_BT), generator=torch.Generator().manual_seed(0))
        (logp_BT * weight_B[:, None]).sum().backward()

    @property
    def tokens(self) -> int:
        """Completion tokens of the last rollout."""
        return sum(len(one.tokens) for group in self.groups for one in group.completions)

    def phases(self) -> dict[str, float]:
        phases: dict[str, Callable[[], object]] = {
            "rollout": self.rollout,
            "reference": self.reference,
            "training": self.training,
        }
        return {name: seconds(phase) for name, phase in phases.items()}
