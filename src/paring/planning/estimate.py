"""From the parts to the peak: the parts alive at each moment of a step, and the moment that holds most."""

from dataclasses import dataclass

from paring.planning import parts, teaching_parts
from paring.planning.hardware import Machine
from paring.planning.job import Job
from paring.planning.shapes import Shapes

PART_NAMES = ("process", "weights", "rollout copy", "adapters", "gradients", "optimiser", "recording")
PART_NAMES += ("activations", "logits", "rollout cache", "teacher", "gathered")


@dataclass(frozen=True)
class Estimate:
    """Bytes by part, at the moment of the peak."""

    moment: str
    parts: dict[str, int]

    @property
    def peak(self) -> int:
        return sum(self.parts.values())


def estimate(shapes: Shapes, job: Job, machine: Machine) -> Estimate:
    """The peak of a step: the moment that holds most, beside what is held all the time."""
    held = {
        "process": machine.process,
        "weights": parts.base_weights(shapes, job),
        "adapters": parts.adapters(shapes, job),
        "gradients": parts.gradients(shapes, job),
        "optimiser": parts.moments(shapes, job),
        "recording": parts.recording(shapes, job),
        "teacher": teaching_parts.teacher_weights(job),
    }
    rollout = {"rollout copy": parts.rollout_copy(shapes, job), "rollout cache": parts.rollout_cache(shapes, job)}
    kept = {"activations": parts.activations(shapes, job) + parts.layouts(job)}
    taught = held["teacher"] + teaching_parts.teacher_states(shapes, job)
    asked = teaching_parts.teacher_working(job)
    told = {"teacher": taught if machine.reuses else taught + asked}
    # torch's foreach AdamW takes the root of all second moments at once.
    roots = held["optimiser"] // 2
    passes = {
        "rollout": {**rollout, "logits": parts.rollout_working(shapes, job)},
        "teacher's pass": {"teacher": taught, "activations": parts.layouts(job) + asked},
        "loss": {**told, **kept, "logits": parts.logits(shapes, job), "gathered": parts.gathered_ends(shapes, job)},
        "backward": {
            **told,
            "activations": kept["activations"] + parts.backward_working(shapes, job),
            "gathered": parts.gathered_layer(shapes, job),
        },
        "optimiser step": {"optimiser": held["optimiser"] + roots},
    }
    if job.processes > 1:  # all gradients of the processes are added up in one piece
        passes |= {"sum of gradients": {"gradients": held["gradients"] + parts.FP32 * parts.trained(shapes, job)}}
    if not machine.reuses:
        passes |= {name: rollout | passes[name] for name in ("teacher's pass", "loss", "backward")}
    alive = {name: held | own for name, own in passes.items()}
    moment = max(alive, key=lambda name: sum(alive[name].values()))
    return Estimate(moment, {name: alive[moment].get(name, 0) for name in PART_NAMES})
