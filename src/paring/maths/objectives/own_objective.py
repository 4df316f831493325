"""An objective of the user's own, from a Python file."""

from typing import Literal

import torch

from paring.maths.objective import Objective
from paring.maths.surrogates import LogProbs
from paring.settings.declare import settings
from paring.settings.own_code import class_in


@settings
class OwnObjective:
    """`path = "my.py:MyObjective"`: a class without arguments that derives from paring.maths.objective.Objective and
    has `advantage(outcome)`; docs/objectives.md.

    The file is run, as any program of yours is: give only files that you trust."""

    kind: Literal["custom"] = "custom"
    path: str

    def opened(self) -> Objective:
        """The objective that the file defines. Raises ValueError where file or class cannot be used."""
        found = class_in(self.path, setting="objective.path", example="my.py:MyObjective")
        if not issubclass(found, Objective) or found.advantage is Objective.advantage:
            wanted = "derive from Objective and have advantage(outcome)"
            raise ValueError(f"objective.path = {self.path!r}: {found.__name__} must {wanted}")
        objective = found()
        if not objective.learns_from_zero and _learns_from_zero(objective):
            raise ValueError(
                f"objective.path = {self.path!r}: its gain() has a gradient where the advantage is 0, so that no "
                "completion may be left out: set learns_from_zero = True in the class"
            )
        return objective


def _learns_from_zero(objective: Objective) -> bool:
    """Whether the gain has a gradient where the advantage is 0: tried at some log-probs near and far from the old."""
    generator = torch.Generator().manual_seed(0)
    policy_BT, old_BT, reference_BT = -3 * torch.rand(3, 4, 8, generator=generator)
    logp = LogProbs(policy_BT.requires_grad_(), old_BT, reference_BT)
    gain_BT = objective.gain(logp, torch.zeros(4, 1), torch.ones(4, 8))
    if not gain_BT.requires_grad:
        return False
    gain_BT.sum().backward()
    return bool(policy_BT.grad.any())
