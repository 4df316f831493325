"""The declaration of a benchmark, and how its rows are located and read."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Literal

from paring.evaluation.benchmarks.worked import MATHEMATICS
from paring.runtime.rows import check_text, field_of, jsonl_values
from paring.runtime.sources import hub_values
from paring.settings.options import Naming, OptionMissing
from paring.tasks.styles import Shot
from paring.verifier import Kind

AnyKind = Kind | Literal["auto"]


@dataclass(frozen=True)
class Record:
    """One parsed row, and where it stands, for errors."""

    value: object
    place: str

    def text(self, *names: str) -> str:
        """The text of the first of these fields that is there. Raises ValueError naming the place."""
        name = next((name for name in names if isinstance(self.value, dict) and name in self.value), names[0])
        return check_text(field_of(self.value, name, self.place), f"field {name!r}", self.place)

    def field(self, name: str) -> object:
        return field_of(self.value, name, self.place)

    def label(self, *names: str) -> str:
        """A label of a row, as text; empty where it has none."""
        row = self.value if isinstance(self.value, dict) else {}
        return next((str(row[name]) for name in names if row.get(name) not in (None, "")), "")


@dataclass(frozen=True)
class Question:
    """The question of a row, of whose `golds` any is right. `kind` is the verifier's, "auto" where the gold shows it;
    results are broken down by `labels`, such as {"subject": "Algebra", "level": "3"}."""

    text: str
    golds: tuple[str, ...]
    kind: AnyKind = "auto"
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Flaw:
    """A row known to be broken. `row` is its line, from 0, in the file that docs/evaluation.md names; the row is known
    by the digest of its question, whatever the order. Without `golds` no answer to it can be judged."""

    row: int
    question: str
    reason: str
    golds: tuple[str, ...] = ()
    kind: AnyKind = "auto"


@dataclass(frozen=True)
class Hub:
    """A data set on the Hugging Face hub: its rows are those of all `configs`, one after the other."""

    name: str
    split: str = "test"
    configs: tuple[str | None, ...] = (None,)


@dataclass(frozen=True)
class Benchmark:
    """Where the data of a benchmark are, how a row is read, and what is known to be wrong with them.

    rows       how many there are
    fields     what a row holds, for errors
    read       None: a task of this name in paring.tasks reads and judges the rows
    origin     where the file can be had
    hub        None: no copy is known there
    examples   worked ones, of which `shots` are shown by default
    note       what a reader of its results should know
    """

    name: str
    title: str
    rows: int
    fields: tuple[str, ...]
    read: Callable[[Record], Question] | None
    origin: str
    hub: Hub | None = None
    examples: tuple[Shot, ...] = MATHEMATICS
    shots: int = 0
    flaws: tuple[Flaw, ...] = ()
    note: str = ""

    @property
    def parts(self) -> tuple["Benchmark", ...]:
        return (self,)

    def questions(self, data: str | None) -> Iterator[tuple[Question, str]]:
        """The question of each row, and its place: from the folder `data`, else from the hub.

        Raises FileNotFoundError where there are no data, saying where they can be had; ValueError for a broken row;
        ModuleNotFoundError without the extra that reads the hub."""
        assert self.read is not None, f"{self.name} is read by the task of this name"
        if data is not None:
            values = jsonl_values(self.file(data), self.fields)
        elif (hub := self.hub) is not None:
            values = chain.from_iterable(hub_values(hub.name, config, hub.split) for config in hub.configs)
        else:
            raise OptionMissing(lambda name: f"{self.name}: no copy on the hub is known. {self._remedy(name)}")
        for value, place in values:
            yield self.read(Record(value, place)), place

    def file(self, data: str) -> Path:
        """Its file below the folder `data`. Raises FileNotFoundError, saying where it can be had."""
        file = Path(data).expanduser() / self.name / "test.jsonl"
        if not file.is_file():
            raise OptionMissing(lambda name: f"{file}: there is no such file. {self._remedy(name)}")
        return file

    def _remedy(self, name: Naming) -> str:
        option = name("data")
        hub = f", or leave {option} away to read {self.hub.name} from the hub" if self.hub else ""
        return f"Put {self.origin} there as DIR/{self.name}/test.jsonl and give DIR as {option}{hub}"


@dataclass(frozen=True)
class Together:
    """Several benchmarks as one, in their order."""

    name: str
    title: str
    parts: tuple[Benchmark, ...]
    note: str
    examples: tuple[Shot, ...] = MATHEMATICS
    shots: int = 0


AnyBenchmark = Benchmark | Together
