"""The memory that an objective needs beside log-probs: entropies, a teacher, adapters of earlier steps."""

from dataclasses import dataclass
from typing import Literal

from paring.adapters.beginning import Beginning
from paring.maths.objective import Objective
from paring.maths.objectives.distillation import SELF, Distillation
from paring.planning.shapes import Shapes, on_meta, shapes_of
from paring.policy.loading import read_config
from paring.training.config import AnyRun, Run
from paring.training.start import base_of

Beside = Literal["nothing", "entropy", "divergence"]
"""What is computed of whole distributions beside the log-probs of tokens (maths/logprobs.py)."""


@dataclass(frozen=True)
class TeacherModel:
    """Another model that teaches, in the type and on the device of the policy. Its adapters count for nothing beside
    its weights."""

    shapes: Shapes
    quantisation: Literal["none", "4bit", "8bit"]


def teacher_of(run: AnyRun) -> TeacherModel | None:
    """None where no other model teaches. Raises ValueError where its configuration cannot be read."""
    if not (isinstance(run, Run) and isinstance(run.objective, Distillation)) or run.objective.teacher == SELF:
        return None
    try:
        model = base_of(run.objective.teacher)
        return TeacherModel(shapes_of(on_meta(read_config(model))), model.quantisation)
    except ValueError as error:
        raise ValueError(f"objective.teacher = {run.objective.teacher!r}: {error}") from error


def beside_of(run: AnyRun) -> Beside:
    """The largest of what its optimiser steps compute."""
    if not isinstance(run, Run):
        return "nothing"
    objective = run.objective
    if isinstance(objective, Distillation) and objective.exact:
        return "divergence"
    if not isinstance(objective, Objective):
        return "nothing"  # one of the user's own: it is opened by the run
    asks = objective.entropy_coef or objective.entropy_target != "off" or objective.top_entropy < 1
    return "entropy" if asks else "nothing"


def copies_of(run: AnyRun) -> int:
    """How often the adapters are held as they were at earlier steps: by an older sampler, as a teacher of themselves,
    and as the reference of a KL term."""
    if not isinstance(run, Run):
        return 0
    rollout, objective = run.rollout, run.objective
    sampler = rollout.ahead + 1 if rollout.ahead else int(rollout.sync_every > 1)
    teaches_itself = isinstance(objective, Distillation) and objective.teacher == SELF and objective.every > 1
    starts = isinstance(run.adapter, Beginning) and run.adapter.reference == "start"
    return sampler + teaches_itself + starts
