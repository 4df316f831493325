"""The protocol of a task: problems by split, and the check that scores an answer."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

from paring.tasks.judge import JudgedTask
from paring.tasks.judging import with_judge
from paring.tasks.own_calls import filled
from paring.types import Group, Problem, Score, Split


class UnnamedTask(Protocol):
    """Data and its check: what a class of one's own has (tasks/own_task.py)."""

    def problems(self, split: Split) -> Sequence[Problem]:
        """The problems of a split, always in the same order. Splits share no problem."""
        ...

    def score(self, problem: Problem, text: str) -> Score:
        """Judge an answer. Never raises and never evaluates the text, whatever it is."""
        ...


class Task(UnnamedTask, Protocol):
    """Data and its check, with the name by which recipes choose it (`task.name`)."""

    @property
    def name(self) -> str: ...


@runtime_checkable
class BatchTask(Task, Protocol):
    """A task that judges many answers at once faster than one by one."""

    def score_all(self, pairs: Sequence[tuple[Problem, str]]) -> list[Score]:
        """As `score` of each."""
        ...


@runtime_checkable
class GroupTask(Task, Protocol):
    """A task that looks at more than the text of one answer: at its tokens, or at the other answers of its group."""

    def score_groups(self, groups: Sequence[Group]) -> list[list[Score]]:
        """A score for each completion, [P][G]."""
        ...


def judged(task: Task, groups: Sequence[Group]) -> list[list[Score]]:
    """The task's score of each completion, [P][G], of conversations those that their environments gave; with the part
    of its judge where it has one."""
    if groups and all(group.problem.environment for group in groups):
        scores = [_of_conversations(group) for group in groups]
    else:
        scores = _scored(task, groups)
    if not isinstance(task, JudgedTask) or task.judge is None:
        return scores
    return with_judge(task.judge, task.judge_questions(task.judge, groups), scores)


def _scored(task: Task, groups: Sequence[Group]) -> list[list[Score]]:
    if isinstance(task, GroupTask):
        return task.score_groups(groups)
    pairs = [(group.problem, completion.text) for group in groups for completion in group.completions]
    scores = iter(task.score_all(pairs) if isinstance(task, BatchTask) else [task.score(*pair) for pair in pairs])
    return [[next(scores) for _ in group.completions] for group in groups]


def _of_conversations(group: Group) -> list[Score]:
    """The parts of a conversation's answers are added up, and its last answer says whether it is right, and what else
    is known of it."""
    score_G: list[Score | None] = []
    failed_G: list[dict[str, str]] = []
    for completion in group.completions:
        parts: dict[str, float] = {}
        failed: dict[str, str] = {}
        for score in completion.scores:
            failed |= score.failed
            for name, part in score.parts.items():
                parts[name] = parts.get(name, 0.0) + part
        score_G.append(None if failed else replace(completion.scores[-1], parts=parts))
        failed_G.append(failed)
    return filled(score_G, failed_G)
