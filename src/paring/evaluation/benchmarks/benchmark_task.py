"""A benchmark as a task: questions in a prompt style, broken rows mended, answers judged by the verifier."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from paring.evaluation.benchmarks.benchmark import AnyBenchmark, Benchmark, Flaw
from paring.tasks.splits import digest
from paring.tasks.styles import Boxed, Style, prompt
from paring.tasks.verdict_scores import score_of
from paring.types import Problem, Score, Split
from paring.verifier import Gold, Verifier

Broken = Literal["mend", "keep", "drop"]
"""The treatment of rows known to be broken. mend: judge by the right gold where it is known, and leave the others out.
keep: all rows and golds as published. drop: leave all of them out."""


@dataclass(frozen=True)
class BenchmarkRow:
    """A problem of a benchmark: its row, of whose golds any is right, and what is known to be wrong with it."""

    problem: Problem
    number: int
    golds: tuple[Gold, ...]
    labels: dict[str, str]
    flaw: Flaw | None


@dataclass(frozen=True)
class BenchmarkTask:
    """The test problems of a benchmark, and the verifier's check. Without the folder `data` they are the hub's."""

    benchmark: AnyBenchmark
    style: Style = Boxed()  # noqa: RUF009 - frozen
    data: str | None = None
    broken: Broken = "mend"
    verifier: Verifier = field(default_factory=Verifier)

    @property
    def name(self) -> str:
        return self.benchmark.name

    def problems(self, split: Split) -> Sequence[Problem]:
        """The test problems, in the order of the data. Raises ValueError for other splits, and as `rows` does."""
        if split != "test":
            raise ValueError(f"{self.name} is a benchmark: it has a test split, and no {split} split to train on")
        return [row.problem for row in self.rows]

    @cached_property
    def rows(self) -> list[BenchmarkRow]:
        """Raises FileNotFoundError without data, ValueError for a row that cannot be read. A row whose gold cannot be
        judged is left out, see `left_out`."""
        rows = [row for part in self.benchmark.parts for row in self._rows_of(part)]
        if not rows:
            raise ValueError(f"{self.name}: the data hold no problem that can be judged")
        return rows

    @cached_property
    def row_of(self) -> dict[str, BenchmarkRow]:
        """By the id of the problem."""
        return {row.problem.id: row for row in self.rows}

    @cached_property
    def left_out(self) -> tuple[Flaw, ...]:
        """The rows that are no problem here: those known to be broken, and those whose gold cannot be judged."""
        met = {row.flaw for row in self.rows}
        known = [flaw for part in self.benchmark.parts for flaw in part.flaws if flaw not in met]
        return (*known, *self._unread)

    def check(self, problems: Sequence[Problem]) -> None:
        """Raises ModuleNotFoundError, before any work, if judging these may need an extra that is not there."""
        self.verifier.check(gold for problem in problems for gold in self._golds[problem.id])

    def score(self, problem: Problem, text: str) -> Score:
        return self.score_all([(problem, text)])[0]

    def score_all(self, pairs: Sequence[tuple[Problem, str]]) -> list[Score]:
        """1 if the answer is any of the problem's golds, by the rules of docs/verifier.md. All in one batch, so that
        what needs a worker does not wait for the others."""
        judged = [(golds, text) for problem, text in pairs if (golds := self._golds[problem.id])]
        verdicts = iter(self.verifier.judge_any(judged))
        return [
            score_of(next(verdicts)) if self._golds[problem.id] else Score({"correct": 0.0}, False, why="no gold")
            for problem, _ in pairs
        ]

    @cached_property
    def _golds(self) -> dict[str, tuple[Gold, ...]]:
        return {name: row.golds for name, row in self.row_of.items()}

    @cached_property
    def _unread(self) -> list[Flaw]:
        """Rows with a gold that cannot be read, found as the rows are."""
        return []

    def _rows_of(self, part: Benchmark) -> Iterator[BenchmarkRow]:
        flaws = {flaw.question: flaw for flaw in part.flaws}
        seen: Counter[str] = Counter()
        for number, (question, place) in enumerate(part.questions(self.data)):
            mark = digest(question.text)
            seen[mark] += 1
            flaw = flaws.get(mark)
            written, kind = question.golds, question.kind
            if flaw is not None and self.broken != "keep":
                if self.broken == "drop" or not flaw.golds:
                    continue
                written, kind = flaw.golds, flaw.kind
            try:
                golds = tuple(Gold.read(gold, kind=kind) for gold in written)
                if not golds and flaw is None:
                    raise ValueError("the gold is blank, so no answer can be judged")
            except ValueError as error:
                self._unread.append(Flaw(number, mark, f"{place}: {error}"))
                continue
            name = f"{part.name}/{mark}" + (f"-{seen[mark]}" if seen[mark] > 1 else "")
            problem = Problem(name, prompt(self.style, question.text), " or ".join(written))
            yield BenchmarkRow(problem, number, golds, question.labels, flaw)
