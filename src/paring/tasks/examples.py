"""The data of a supervised run: conversations from files, folders or the hub, split, drawn and checked."""

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from paring.runtime.faults import RowFault
from paring.runtime.sources import Source
from paring.settings.declare import Count, CountOrZero, settings
from paring.tasks.own_data import DataRows, OwnData, read_rows_of, with_system
from paring.tasks.row_forms import AutoRows, Conversation, RowForm
from paring.tasks.splits import hash_order, hold_out


@settings
class Examples(OwnData):
    """The `data` section of a supervised run.

    Where the data are, as for every task (tasks/own_data.py). Without held-out rows an eighth of the rows is held out:
    the first in hash order of the text before the first answer.

    rows         the form of a row; by default the columns show it
    system       a system prompt in the place of the rows' own; empty: none
    loss_on      the assistant's turns, or every token
    longest      tokens; a longer conversation is `long`, and so is one that the model's context does not hold
    limit        how many of the training rows are used: the first in hash order of (subset_seed, text before the
                 first answer). The default is all
    subset_seed  another seed is another draw
    """

    long: Literal["stop", "skip"] = "skip"
    rows: RowForm = AutoRows()
    system: str | None = None
    loss_on: Literal["completions", "all"] = "completions"
    longest: Annotated[int, Field(ge=2, description="a token to predict, and one before it")] = 1024
    limit: Count | None = None
    subset_seed: CountOrZero = 0

    @property
    def name(self) -> str:
        """A short name of the data: the last part of the path."""
        return Source(self.data, "data.data").short_name

    def split_rows(self) -> tuple[list[Conversation], list[Conversation], list[RowFault]]:
        """The conversations to train on and the held-out ones, both in hash order, and the rows that are left out.

        Raises FileNotFoundError or ValueError with the place if data are missing or broken, if a held-out conversation
        is trained on, or if there are too few rows; ModuleNotFoundError without the extra."""
        read = self._read()
        if read.tested is None:
            tested, rows = hold_out(read.trained, lambda row: row.question, parts=1, source=self.data)
        else:
            tested, rows = read.tested, read.trained
        if self.limit is not None and len(rows) < self.limit:
            raise ValueError(f"data.limit = {self.limit}: {self.data} has {len(rows)} rows to train on, ask for fewer")
        ordered = hash_order(rows, lambda row: row.question, self.subset_seed)
        return ordered[: self.limit], hash_order(tested, lambda row: row.question), read.faults.found

    def _read(self) -> DataRows[Conversation]:
        # Whole conversations are compared: two of them may well begin alike.
        return read_rows_of(
            self,
            "data",
            self._conversation,
            self.rows.fields,
            key=lambda row: str((row.messages, row.tools)),
            place=lambda row: row.place,
            what="conversation",
        )

    def _conversation(self, value: object, place: str) -> Conversation:
        read = self.rows.conversation(value, place)
        return replace(read, messages=with_system(read.messages, self.system))
