"""What a task must hold so that a run can learn from it and be measured."""

from collections.abc import Mapping, Sequence

from paring.tasks.base import Task
from paring.tasks.judge import PART
from paring.tasks.mixture import judges_of
from paring.types import Problem


def check_splits(task: Task, problems: Sequence[Problem], held_out: Sequence[Problem]) -> None:
    """Raises ValueError where a prompt is trained on and measured: the measurement would be of memory."""
    trained = {str(problem.messages): problem.id for problem in problems}
    shared = [problem.place or problem.id for problem in held_out if str(problem.messages) in trained]
    if shared:
        raise ValueError(
            f"task {task.name}: {len(shared)} of {len(held_out)} held-out problems have prompts that are trained on "
            f"({', '.join(shared[:5])}): give the splits different problems"
        )


def check_weights(task: Task, weights: Mapping[str, float], problems: Sequence[Problem]) -> None:
    """A task gives the same parts whatever the text, so those of an empty one are all; `problems`: one of each task.
    Raises ValueError for a part that none has, and for a judge that cannot be asked as it is."""
    scores = [task.score(problem, "") for problem in problems] if weights else []
    parts = dict.fromkeys(name for score in scores for name in score.parts)
    if judges_of(task):
        parts[PART] = None
    for name in weights:
        if name not in parts:
            known = ", ".join(parts)
            raise ValueError(f"rewards.{name}: the rewards of task {task.name} have no such part, only {known}")
