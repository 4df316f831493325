"""The examples of a supervised run: prompts with completions, or whole chats, from files or the hub."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from paring.settings.declare import Count, CountOrZero, settings
from paring.tasks.order import hash_order
from paring.tasks.rows import checked_row, field_of, hub_values, jsonl_values, message_of
from paring.types import Message

HELD_OUT_ONE_IN = 8


@dataclass(frozen=True, slots=True)
class Example:
    """A conversation that ends with the assistant's turn, and where it stands (`train.jsonl:17`)."""

    place: str
    messages: tuple[Message, ...]

    @property
    def question(self) -> str:
        """What stands before the first answer: examples that share it never stand on both sides of a split."""
        roles = [message["role"] for message in self.messages]
        return "\n".join(message["content"] for message in self.messages[: roles.index("assistant")])


@settings
class Prompts:
    """Rows like {"prompt": "How many legs has a spider?", "completion": "8"}; the names of both fields are free."""

    kind: Literal["prompts"] = "prompts"
    prompt: str = "prompt"
    completion: str = "completion"

    @property
    def fields(self) -> tuple[str, ...]:
        return self.prompt, self.completion

    def example(self, value: object, place: str) -> Example:
        """Raises ValueError with the place if a field is missing or is no usable text."""
        row = checked_row(value, self.fields, place)
        user = {"role": "user", "content": row[self.prompt]}
        return Example(place, (user, {"role": "assistant", "content": row[self.completion]}))


@settings
class Chats:
    """Rows like {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}."""

    kind: Literal["chats"] = "chats"
    messages: str = "messages"

    @property
    def fields(self) -> tuple[str, ...]:
        return (self.messages,)

    def example(self, value: object, place: str) -> Example:
        """Raises ValueError with the place and the turn if this is no conversation that ends with an answer."""
        turns = field_of(value, self.messages, place)
        if not isinstance(turns, list) or not turns:
            raise ValueError(f'{place}: field {self.messages!r} must be a list of turns like {{"role", "content"}}')
        messages = tuple(message_of(turn, f"{self.messages}[{number}]", place) for number, turn in enumerate(turns))
        if messages[0]["role"] == "assistant":
            raise ValueError(f"{place}: {self.messages}[0] is the assistant's; a conversation begins with a question")
        if messages[-1]["role"] != "assistant":
            last = f"{self.messages}[{len(messages) - 1}]"
            raise ValueError(f"{place}: {last} is the {messages[-1]['role']}'s; remove what follows the last answer")
        return Example(place, messages)


@settings
class Examples:
    """The `data` section of a supervised run.

    path         a .jsonl file, a folder with train.jsonl and perhaps test.jsonl, or a name on the hub (needs the
                 `data` extra) of a data set with the splits train and test
    hub_config   which configuration of a data set on the hub; files have none
    test         a .jsonl file of held-out examples, instead of those that `path` has. Where there are none, an eighth
                 of the rows is held out: the first in hash order of the text before the first answer
    rows         what a row looks like
    loss_on      the assistant's turns, or every token
    longest      tokens; a longer example is left out, and so is one that the model's context does not hold
    limit        how many of the training rows are used: the first in hash order of (subset_seed, text before the
                 first answer). The default is all
    subset_seed  another seed is another draw
    """

    path: str
    hub_config: str | None = None
    test: str | None = None
    rows: Annotated[Prompts | Chats, Field(discriminator="kind")] = Prompts()
    loss_on: Literal["completions", "all"] = "completions"
    longest: Annotated[int, Field(ge=2, description="a token to predict, and one before it")] = 1024
    limit: Count | None = None
    subset_seed: CountOrZero = 0

    @property
    def name(self) -> str:
        """What a person calls the data: the last part of the path."""
        return Path(self.path).expanduser().resolve().stem if self._is_local else self.path.rpartition("/")[2]

    def split(self) -> tuple[list[Example], list[Example]]:
        """The examples to train on and the held-out ones, both in hash order.

        Raises FileNotFoundError or ValueError with the place if data are missing or broken (tasks/rows.py), if a
        held-out example is trained on, or if there are too few rows; ModuleNotFoundError without the extra."""
        rows = list(self._read("train"))
        if self._has_test:
            tested = list(self._read("test"))
            _reject_shared(rows, tested)
        else:
            tested, rows = _held_out(rows, self.path)
        if self.limit is not None and len(rows) < self.limit:
            raise ValueError(f"data.limit = {self.limit}: {self.path} has {len(rows)} rows to train on, ask for fewer")
        ordered = hash_order(rows, lambda example: example.question, self.subset_seed)
        return ordered[: self.limit], hash_order(tested, lambda example: example.question)

    @property
    def _is_local(self) -> bool:
        place = Path(self.path).expanduser()
        return place.exists() or place.suffix == ".jsonl"

    @property
    def _has_test(self) -> bool:
        place = Path(self.path).expanduser()
        return self.test is not None or not self._is_local or (place / "test.jsonl").is_file()

    def _read(self, part: Literal["train", "test"]) -> Iterator[Example]:
        for value, place in self._values(part):
            yield self.rows.example(value, place)

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


def _held_out(rows: Sequence[Example], path: str) -> tuple[list[Example], list[Example]]:
    """The first eighth in hash order, at least one, and the rest."""
    ordered = hash_order(rows, lambda example: example.question)
    cut = max(1, len(ordered) // HELD_OUT_ONE_IN)
    while cut < len(ordered) and ordered[cut].question == ordered[cut - 1].question:
        cut += 1
    if cut >= len(ordered):
        raise ValueError(
            f"{path}: {len(rows)} rows, of at least 2 different prompts one is trained on and one held out: add rows"
        )
    return ordered[:cut], ordered[cut:]


def _reject_shared(trained: Sequence[Example], tested: Sequence[Example]) -> None:
    """The whole conversation counts here: two of them may well begin alike."""
    places = {_key(example): example.place for example in trained}
    for example in tested:
        if _key(example) in places:
            raise ValueError(f"{example.place}: trained on too, at {places[_key(example)]}; keep one of them")


def _key(example: Example) -> tuple[tuple[str, str], ...]:
    return tuple((message["role"], message["content"]) for message in example.messages)
