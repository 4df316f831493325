"""The settings of one's own data, the same for every task; its rows, held-out rows and faults."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from paring.runtime.faults import Faults, RowFault, Rule
from paring.runtime.sources import Source
from paring.settings.declare import settings
from paring.tasks.judge import JudgedTask
from paring.types import Message, Turn

T = TypeVar("T")
M = TypeVar("M", bound=Turn)


@settings
class OwnData:
    """Where rows are and what is done about those that cannot be used.

    data        a file (.jsonl, .json, .csv, .tsv, .parquet, .arrow; each may be gzipped), a folder with train.* and
                perhaps test.*, a folder that `save_to_disk` wrote, or a name on the hub
    test        held-out rows: a file, folder or name as well
    split, test_split   the names of both splits, where data have splits; by default train and test. Where the data have
                no held-out rows of their own, a part of them is held out
    hub_config, revision   of a data set on the hub: its configuration, and a branch, tag or commit
    broken      rows that are broken, blank, repeated, in both splits or without a gold that can be judged: "stop" names
                them before any work, "skip" leaves them out and writes them to skipped.jsonl
    long        the same of prompts that are too long
    """

    data: str
    test: str | None = None
    split: str = "train"
    test_split: str | None = None
    hub_config: str | None = None
    revision: str | None = None
    broken: Rule = "stop"
    long: Rule = "stop"

    def holds_out(self, *, own_test: bool = True) -> bool:
        """Whether there are held-out rows: those of `test`, or, if `own_test`, the data's own."""
        source = Source(self.data, "data", self.hub_config, self.revision)
        own = own_test and not source.is_file and (self.test_split is not None or source.has("test"))
        return self.test is not None or own

    def skipped(self) -> Sequence[RowFault]:
        """The rows that are left out because they cannot be used. Raises as reading them does."""
        return ()


@settings
class TaskData(OwnData, JudgedTask):
    """The data of a task."""


@dataclass(frozen=True)
class DataRows(Generic[T]):
    """Rows to train on, those held out or None where the data have none, and the faults of all."""

    trained: list[T]
    tested: list[T] | None
    faults: Faults


def read_rows_of(
    own: OwnData,
    section: str,
    read: Callable[[object, str], T],
    fields: Sequence[str],
    *,
    key: Callable[[T], Hashable],
    place: Callable[[T], str],
    what: str,
    own_test: bool = True,
    trained_too: bool = True,
) -> DataRows[T]:
    """The rows that `read` makes of the data under [section]; those of one `key`, such as its prompt, are repeated.
    `own_test`: whether the data's own held-out split counts where `test` names no other. Without `trained_too` the
    held-out rows alone are read, where there are any.

    Raises FileNotFoundError or ValueError with the place where data are missing or, unless they are skipped, broken."""
    source = Source(own.data, f"{section}.data", own.hub_config, own.revision)
    faults = Faults(f"{section}.broken", own.broken)
    tested, test_split = None, own.test_split or "test"
    trained_too = trained_too or not own.holds_out(own_test=own_test)
    if own.test is not None:
        tested = faults.usable(Source(own.test, f"{section}.test").values(test_split, fields), read)
    elif own.holds_out(own_test=own_test):
        tested = faults.usable(source.values(test_split, fields), read)
    trained = faults.usable(source.values(own.split, fields), read) if trained_too else []
    if tested is not None:
        tested = faults.without_repeats(tested, key, place, what)
    trained = faults.without_repeats(trained, key, place, what, known=tested or ())
    faults.check()
    return DataRows(trained, tested, faults)


def with_system(messages: tuple[M, ...], system: str | None) -> tuple[M | Message, ...]:
    """The turns under another system prompt: none where it is empty, their own where it is None."""
    if system is None:
        return messages
    others = tuple(message for message in messages if message["role"] != "system")
    first: Message = {"role": "system", "content": system}
    return (first, *others) if system else others
