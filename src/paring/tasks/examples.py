"""The data of a supervised run: prompts with completions, or whole chats, from files or the hub."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from paring.runtime.rows import checked_row, field_of, hub_values, jsonl_values, message_of
from paring.settings.declare import Count, CountOrZero, settings
from paring.tasks.splits import hash_order, hold_out
from paring.types import Message


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns that end with the assistant's, and their place (`train.jsonl:17`)."""

    place: str
    messages: tuple[Message, ...]

    @property
    def question(self) -> str:
        """The turns before the first answer: conversations that share them never stand on both sides of a split."""
        roles = [message["role"] for message in self.messages]
        return "\n".join(message["content"] for message in self.messages[: roles.index("assistant")])


@settings
class PromptRows:
    """Rows like {"prompt": "How many legs has a spider?", "completion": "8"}; the names of both fields are free."""

    kind: Literal["prompts"] = "prompts"
    prompt: str = "prompt"
    completion: str = "completion"

    @property
    def fields(self) -> tuple[str, ...]:
        return self.prompt, self.completion

    def conversation(self, value: object, place: str) -> Conversation:
        """Raises ValueError with the place if a field is missing or is no usable text."""
        row = checked_row(value, self.fields, place)
        user = {"role": "user", "content": row[self.prompt]}
        return Conversation(place, (user, {"role": "assistant", "content": row[self.completion]}))


@settings
class ChatRows:
    """Rows like {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}."""

    kind: Literal["chats"] = "chats"
    messages: str = "messages"

    @property
    def fields(self) -> tuple[str, ...]:
        return (self.messages,)

    def conversation(self, value: object, place: str) -> Conversation:
        """Raises ValueError with the place and the turn if the row is no conversation that ends with an answer."""
        turns = field_of(value, self.messages, place)
        if not isinstance(turns, list) or not turns:
            raise ValueError(f'{place}: field {self.messages!r} must be a list of turns like {{"role", "content"}}')
        messages = tuple(message_of(turn, f"{self.messages}[{number}]", place) for number, turn in enumerate(turns))
        if messages[0]["role"] == "assistant":
            raise ValueError(f"{place}: {self.messages}[0] is the assistant's; a conversation begins with a question")
        if messages[-1]["role"] != "assistant":
            last = f"{self.messages}[{len(messages) - 1}]"
            raise ValueError(f"{place}: {last} is the {messages[-1]['role']}'s; remove what follows the last answer")
        return Conversation(place, messages)


@settings
class Examples:
    """The `data` section of a supervised run.

    path         a .jsonl file, a folder with train.jsonl and perhaps test.jsonl, or a name on the hub (needs the
                 `data` extra) of a data set with the splits train and test
    hub_config   which configuration of a data set on the hub; files have none
    test         a .jsonl file of held-out rows, instead of those of `path`. Without either an eighth of the rows is
                 held out: the first in hash order of the text before the first answer
    rows         the form of a row
    loss_on      the assistant's turns, or every token
    longest      tokens; a longer conversation is left out, and so is one that the model's context does not hold
    limit        how many of the training rows are used: the first in hash order of (subset_seed, text before the
                 first answer). The default is all
    subset_seed  another seed is another draw
    """

    path: str
    hub_config: str | None = None
    test: str | None = None
    rows: Annotated[PromptRows | ChatRows, Field(discriminator="kind")] = PromptRows()
    loss_on: Literal["completions", "all"] = "completions"
    longest: Annotated[int, Field(ge=2, description="a token to predict, and one before it")] = 1024
    limit: Count | None = None
    subset_seed: CountOrZero = 0

    @property
    def name(self) -> str:
        """A short name of the data: the last part of the path."""
        return Path(self.path).expanduser().resolve().stem if self._is_local else self.path.rpartition("/")[2]

    def split(self) -> tuple[list[Conversation], list[Conversation]]:
        """The conversations to train on and the held-out ones, both in hash order.

        Raises FileNotFoundError or ValueError with the place if data are missing or broken (runtime/rows.py), if a
        held-out conversation is trained on, or if there are too few rows; ModuleNotFoundError without the extra."""
        rows = [self.rows.conversation(*read) for read in self._values("train")]
        has_file = self.test is not None or (Path(self.path).expanduser() / "test.jsonl").is_file()
        if has_file or not self._is_local:
            tested = [self.rows.conversation(*read) for read in self._values("test")]
            places = {str(row.messages): row.place for row in rows}
            for row in tested:  # whole conversations are compared: two of them may well begin alike
                if place := places.get(str(row.messages)):
                    raise ValueError(f"{row.place}: trained on too, at {place}; keep one of them")
        else:
            tested, rows = hold_out(rows, lambda row: row.question, parts=1, source=self.path)
        if self.limit is not None and len(rows) < self.limit:
            raise ValueError(f"data.limit = {self.limit}: {self.path} has {len(rows)} rows to train on, ask for fewer")
        ordered = hash_order(rows, lambda row: row.question, self.subset_seed)
        return ordered[: self.limit], hash_order(tested, lambda row: row.question)

    @property
    def _is_local(self) -> bool:
        place = Path(self.path).expanduser()
        return place.exists() or place.suffix == ".jsonl"

    def _values(self, part: Literal["train", "test"]) -> Iterator[tuple[object, str]]:
        place = Path(self.path).expanduser()
        if part == "test" and self.test is not None:
            return jsonl_values(self.test, self.rows.fields)
        if self._is_local:
            return jsonl_values(place / f"{part}.jsonl" if place.is_dir() else place, self.rows.fields)
        if self.path.count("/") == 1 and not self.path.startswith((".", "/", "~")):
            return hub_values(self.path, self.hub_config, part)
        raise FileNotFoundError(
            f"data.path = {self.path!r}: no such file or folder. Give a .jsonl file, a folder with train.jsonl, or a "
            'name on the hub such as "openai/gsm8k"'
        )
