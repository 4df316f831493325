"""Several tasks in one run, each drawn by its weight and reported apart."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, chain, pairwise, zip_longest
from typing import Annotated, Literal

from pydantic import Field

from paring.runtime.faults import RowFault
from paring.settings.declare import settings
from paring.tasks.arithmetic import Arithmetic
from paring.tasks.base import Task, judged
from paring.tasks.chains import Chains
from paring.tasks.countdown import Countdown
from paring.tasks.countdown_tiny import CountdownTiny
from paring.tasks.gsm8k import Gsm8k
from paring.tasks.higher_lower import HigherLower
from paring.tasks.judge import Judge, JudgedTask
from paring.tasks.maths import Maths
from paring.tasks.own_data import OwnData
from paring.tasks.own_task import OwnTask
from paring.tasks.questions import Questions
from paring.tasks.reasoning_gym import ReasoningGym
from paring.tasks.reward_functions import RewardFunctions
from paring.tasks.sums_products import SumsAndProducts
from paring.tasks.verifiers_task import VerifiersTask
from paring.types import Group, Problem, Score, Split

Generated = Arithmetic | Chains | CountdownTiny | SumsAndProducts | Countdown
"""Tasks whose problems are made from numbers, in splits that share none."""
OneTask = (
    Arithmetic
    | Chains
    | CountdownTiny
    | SumsAndProducts
    | HigherLower
    | Gsm8k
    | Maths
    | ReasoningGym
    | Countdown
    | Questions
    | RewardFunctions
    | OwnTask
    | VerifiersTask
)
BETWEEN = ":"
"""Stands between the label of a task and the id that a problem has in it."""


@settings
class TaskPart:
    """One of several tasks.

    weight    its share of the problems of a step, relative to the others'
    label     its name in journal and reports; by default that of the task
    task      the task itself, with its settings
    """

    weight: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    label: Annotated[str, Field(pattern=r"^[\w. -]*$", max_length=60)] = ""
    task: Annotated[OneTask, Field(discriminator="name")]


@settings
class Mixture:
    """The task that `[[tasks]]` of a recipe make together. A problem's id begins with the label of its task.

    tasks     the tasks with their weights, two at least
    """

    name: Literal["mixture"] = "mixture"
    tasks: Annotated[tuple[TaskPart, ...], Field(min_length=2, max_length=100)]

    def __post_init__(self) -> None:
        given = [part.label for part in self.tasks if part.label]
        if repeated := [label for label, times in Counter(given).items() if times > 1]:
            raise ValueError(f"label {repeated[0]!r} stands there twice: each task needs a label of its own")

    @property
    def by_label(self) -> dict[str, OneTask]:
        """The tasks by their labels. A task that stands there again, without one, gets a number."""
        labelled: dict[str, OneTask] = {}
        for part in self.tasks:
            label, number = part.label or part.task.name, 1
            while label in labelled:
                number += 1
                label = f"{part.label or part.task.name}-{number}"
            labelled[label] = part.task
        return labelled

    @property
    def shares(self) -> dict[str, tuple[float, float]]:
        """By label, where a task's share of the problems of a step begins and ends, from 0 to 1."""
        sums = list(accumulate(part.weight for part in self.tasks))
        borders = [0.0, *(one / sums[-1] for one in sums[:-1]), 1.0]
        return dict(zip(self.by_label, pairwise(borders), strict=True))

    def problems(self, split: Split) -> Sequence[Problem]:
        """The problems of all tasks in turn, so that the first of them are of every task. Raises as the tasks do, and
        ValueError where one has none."""
        parts = []
        for label, task in self.by_label.items():
            found = [replace(problem, id=f"{label}{BETWEEN}{problem.id}") for problem in task.problems(split)]
            if not found:
                raise ValueError(f"task {label}: its {split} split is empty")
            parts.append(found)
        return [problem for problem in chain.from_iterable(zip_longest(*parts)) if problem is not None]

    def score(self, problem: Problem, text: str) -> Score:
        """As the problem's task judges it."""
        return self.by_label[label_of(problem.id)].score(_own(problem), text)

    def score_groups(self, groups: Sequence[Group]) -> list[list[Score]]:
        """A score for each completion, [P][G]: each task judges all groups of its own at once."""
        places: dict[str, list[int]] = {}
        for place, group in enumerate(groups):
            places.setdefault(label_of(group.problem.id), []).append(place)
        scores: dict[int, list[Score]] = {}
        for label, own in places.items():
            theirs = [replace(groups[place], problem=_own(groups[place].problem)) for place in own]
            scores |= zip(own, judged(self.by_label[label], theirs), strict=True)
        return [scores[place] for place in range(len(groups))]

    def skipped(self) -> list[RowFault]:
        """The rows that are left out. Raises as the tasks do."""
        return [fault for task in self.by_label.values() if isinstance(task, OwnData) for fault in task.skipped()]


def label_of(problem_id: str) -> str:
    """The label of the task that a problem of a mixture belongs to."""
    return problem_id.partition(BETWEEN)[0]


def by_label(task: object, problems: Sequence[Problem]) -> Mapping[str, Sequence[Problem]]:
    """Problems by the label of their task; of a single task all under ""."""
    if not isinstance(task, Mixture):
        return {"": problems}
    parts: dict[str, list[Problem]] = {label: [] for label in task.by_label}
    for problem in problems:
        parts[label_of(problem.id)].append(problem)
    return parts


def own_data_of(task: object, problems: Iterable[Problem]) -> Iterator[tuple[OwnData, Sequence[Problem]]]:
    """The tasks with data of the user's own, each with its problems."""
    if not isinstance(task, Mixture | OwnData):
        return
    for label, own in by_label(task, list(problems)).items():
        one = task.by_label[label] if isinstance(task, Mixture) else task
        if isinstance(one, OwnData):
            yield one, own


def for_accuracy(task: Task) -> Task:
    """The task as a measurement of accuracies needs it: without judges that say nothing of what is right."""
    if isinstance(task, Mixture):
        return replace(task, tasks=tuple(replace(part, task=for_accuracy(part.task)) for part in task.tasks))
    if isinstance(task, JudgedTask) and task.judge is not None and task.judge.correct_at is None:
        return replace(task, judge=None)
    return task


def judges_of(task: Task) -> list[Judge]:
    """The judges of a task, or of several. Raises ValueError or FileNotFoundError where one cannot be asked."""
    ones = task.by_label.values() if isinstance(task, Mixture) else [task]
    judges = [one.judge for one in ones if isinstance(one, JudgedTask) and one.judge is not None]
    for judge in judges:
        judge.check()
    return judges


def _own(problem: Problem) -> Problem:
    """The problem as its task gave it."""
    return replace(problem, id=problem.id.partition(BETWEEN)[2])
