"""The memory of what an objective needs beside log-probs, each part a formula in bytes."""

from dataclasses import replace

from paring.planning import parts
from paring.planning.job import Job, Rollouts
from paring.planning.shapes import Shapes


def teacher_weights(job: Job) -> int:
    """The weights of another model that teaches."""
    if job.teacher is None:
        return 0
    return parts.base_weights(job.teacher.shapes, replace(job, quantisation=job.teacher.quantisation))


def teacher_states(shapes: Shapes, job: Job) -> int:
    """What the teacher has made of all tokens of a rollout, held until the last update: for divergences a hidden state
    of each."""
    if job.beside != "divergence" or not isinstance(job.work, Rollouts):
        return 0
    work, teaching = job.work, job.teacher.shapes if job.teacher else shapes
    return work.problems * work.group * work.new_tokens * teaching.hidden * job.state_itemsize


def teacher_working(job: Job) -> int:
    """The teacher's pass without a gradient, of which one layer's MLP is alive, and its logits where divergences do not
    take them later; 0 without another model that teaches: the policy's own such pass takes less than one with a
    gradient."""
    if job.teacher is None:
        return 0
    widths = 3 * job.teacher.shapes.intermediate + 3 * job.teacher.shapes.hidden
    layer = job.largest_pass.tokens * widths * job.state_itemsize
    return layer + (0 if job.beside == "divergence" else parts.logits(job.teacher.shapes, job))
