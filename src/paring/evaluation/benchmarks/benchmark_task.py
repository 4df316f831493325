"""A benchmark as a task: questions in a prompt style, broken rows mended, answers judged by the verifier."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, get_args

from paring.evaluation.benchmarks.benchmark import AnyBenchmark, Benchmark, Flaw, Question, fingerprint, parts_of
from paring.tasks.styles import Boxed, Example, Style, own_answer, prompt
from paring.types import Problem, Score, Split
from paring.verifier import Gold, Kind, Verifier

Broken = Literal["mend", "keep", "drop"]
BROKEN: tuple[Broken, ...] = get_args(Broken)
"""What to do with rows known to be broken. mend: judge by the right gold where it is known, and leave the others out.
keep: all rows and golds as published. drop: leave all of them out."""


@dataclass(frozen=True)
class Item:
    """One problem of a benchmark: its row, any of whose golds is right, and what is known to be wrong with it."""

    problem: Problem
    row: int
    golds: tuple[Gold, ...]
    labels: dict[str, str]
    flaw: Flaw | None


@dataclass(frozen=True)
class BenchmarkTask:
    """The test problems of a benchmark, and the verifier's check.

    style      how it asks and where the answer must stand
    shots      worked examples before the question; None: as many as the benchmark has by default
    data       DIR of DIR/name/test.jsonl; None: the hub
    broken     see BROKEN
    """

    benchmark: AnyBenchmark
    style: Style = Boxed()  # noqa: RUF009 - frozen
    shots: int | None = None
    data: str | None = None
    broken: Broken = "mend"
    verifier: Verifier = field(default_factory=Verifier)

    def __post_init__(self) -> None:
        if self.broken not in BROKEN:
            raise ValueError(f"broken = {self.broken!r}: unknown; choices: {', '.join(BROKEN)}")
        for part in parts_of(self.benchmark):
            if not 0 <= (self.shots or 0) <= len(part.examples):
                raise ValueError(f"shots = {self.shots}: {part.name} has 0 to {len(part.examples)} examples")

    @property
    def name(self) -> str:
        return self.benchmark.name

    def problems(self, split: Split) -> Sequence[Problem]:
        """The test problems, in the order of the data. Raises ValueError for other splits, and as `items` does."""
        if split != "test":
            raise ValueError(f"{self.name} is a benchmark: it has a test split, and no {split} split to train on")
        return [item.problem for item in self.items]

    @cached_property
    def items(self) -> list[Item]:
        """What is asked. Raises FileNotFoundError without data, ValueError for a row that cannot be read or, unless
        it is known to be broken, has no gold."""
        found = [item for part in parts_of(self.benchmark) for item in self._items_of(part)]
        if not found:
            raise ValueError(f"{self.name}: the data hold no problem that can be judged")
        return found

    @cached_property
    def left_out(self) -> list[Flaw]:
        """The broken rows that are not asked."""
        asked = {item.flaw for item in self.items}
        return [flaw for flaw in self.broken_rows if flaw not in asked]

    @property
    def broken_rows(self) -> list[Flaw]:
        return [flaw for part in parts_of(self.benchmark) for flaw in part.flaws]

    def check(self, asked: Sequence[Problem]) -> None:
        """Raises ModuleNotFoundError, before any work, if judging these may need an extra that is not there."""
        self.verifier.check(gold for problem in asked for gold in self._golds[problem.id])

    def score(self, problem: Problem, text: str) -> Score:
        """1 if the answer is one of the golds, see `score_all`."""
        return self.score_all([(problem, text)])[0]

    def score_all(self, pairs: Sequence[tuple[Problem, str]]) -> list[Score]:
        """1 if the answer is any of the problem's golds, by the rules of docs/verifier.md. All in one batch, so that
        what needs a worker does not wait for the others."""
        asked = [
            (place, gold, own_answer(text, self._examples(problem)))
            for place, (problem, text) in enumerate(pairs)
            for gold in self._golds[problem.id]
        ]
        best: dict[int, Score] = {}
        for (place, _, _), verdict in zip(asked, self.verifier.judge([(g, t) for _, g, t in asked]), strict=True):
            if place not in best or verdict.correct:
                reward = {"correct": float(verdict.correct)}
                best[place] = Score(reward, verdict.correct, why=verdict.why, answer=verdict.answer)
        return [best.get(place, Score({"correct": 0.0}, False, why="no gold")) for place in range(len(pairs))]

    @cached_property
    def _golds(self) -> dict[str, tuple[Gold, ...]]:
        return {item.problem.id: item.golds for item in self.items}

    def _examples(self, problem: Problem) -> Sequence[Example]:
        part = next(part for part in parts_of(self.benchmark) if part.name == problem.id.partition("/")[0])
        return shown_examples(part, self.shots)

    def _items_of(self, part: Benchmark) -> Iterator[Item]:
        flaws = {flaw.question: flaw for flaw in part.flaws}
        examples = shown_examples(part, self.shots)
        seen: dict[str, int] = {}
        for row, (question, place) in enumerate(part.questions(self.data)):
            mark = fingerprint(question.text)
            seen[mark] = seen.get(mark, 0) + 1
            flaw = flaws.get(mark)
            if not question.golds and flaw is None:
                raise ValueError(f"{place}: the gold is blank, so no answer can be judged")
            written, kind = self._accepted(question, flaw)
            if flaw is not None and not written and self.broken != "keep":
                continue
            try:
                golds = tuple(Gold.read(gold, kind=kind) for gold in written)
            except ValueError as error:
                raise ValueError(f"{place}: {error}") from error
            name = f"{part.name}/{mark}" + (f"-{seen[mark]}" if seen[mark] > 1 else "")
            problem = Problem(name, prompt(self.style, question.text, examples), " or ".join(written))
            yield Item(problem, row, golds, question.labels, flaw)

    def _accepted(self, question: Question, flaw: Flaw | None) -> tuple[tuple[str, ...], Kind | Literal["auto"]]:
        """The golds that count, and their kind."""
        if flaw is None or self.broken == "keep":
            return question.golds, question.kind
        return ((), "auto") if self.broken == "drop" else (flaw.golds, flaw.kind)


def shown_examples(part: Benchmark, shots: int | None) -> tuple[Example, ...]:
    """The examples before a question of this benchmark."""
    return part.examples[: part.shots if shots is None else shots]
