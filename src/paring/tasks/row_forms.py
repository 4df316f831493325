"""The forms of a row that a supervised run learns from: prompts with completions, chats, ShareGPT, Alpaca."""

from dataclasses import dataclass
from itertools import product
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from paring.runtime.faults import RowFault
from paring.runtime.rows import check_text, field_of, text_of
from paring.settings.declare import settings
from paring.tasks.chat_turns import read_json, turn_of
from paring.types import Json, Turn

ASKED = ("prompt", "question", "query", "input", "problem", "instruction", "user")
TOLD = ("completion", "response", "solution", "answer", "output", "target", "assistant")
"""Names of columns that are a prompt and its completion."""
INPUTS, OUTPUTS = ("input", "context"), ("output", "response")
"""Names of columns that stand beside an instruction."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns with at least one answer, the tools they may call, and their place (`train.jsonl:17`)."""

    place: str
    messages: tuple[Turn, ...]
    tools: tuple[Json, ...] = ()

    @property
    def question(self) -> str:
        """The turns before the first answer: conversations that share them never stand on both sides of a split."""
        roles = [message["role"] for message in self.messages]
        return "\n".join(str(message["content"]) for message in self.messages[: roles.index("assistant")])


@settings
class AutoRows:
    """The form that the columns of each row show."""

    kind: Literal["auto"] = "auto"

    @property
    def fields(self) -> tuple[str, ...]:
        return ("messages, or prompt and completion",)

    def conversation(self, value: object, place: str) -> Conversation:
        """Raises RowFault with the place if the columns are of no form, or as that form does."""
        row = value if isinstance(value, dict) else {}
        # Columns are known in any case: `Prompt` is a prompt.
        columns = {str(name).strip().lower(): str(name) for name, held in row.items() if held is not None}
        for name in ("messages", "conversations", "conversation"):
            if name in columns:
                return ChatRows(messages=columns[name]).conversation(value, place)
        if (told := next((name for name in OUTPUTS if name in columns), None)) and "instruction" in columns:
            more = next((columns[name] for name in INPUTS if name in columns), "input")
            form = AlpacaRows(instruction=columns["instruction"], input=more, output=columns[told])
            return form.conversation(value, place)
        for prompt, completion in product(ASKED, TOLD):
            if {prompt, completion} <= columns.keys():
                self._check_no_context(row, columns, prompt, completion, place)
                return PromptRows(prompt=columns[prompt], completion=columns[completion]).conversation(value, place)
        names = columns.keys()
        known = {"messages", "conversations", "conversation", "instruction", *ASKED, *TOLD}
        if null := next((name for name, held in row.items() if held is None and str(name).lower() in known), None):
            raise RowFault(place, "blank", f"field {null!r} is null")
        field_of(value, "completion" if names & {*ASKED} else "prompt" if names & {*TOLD} else "messages", place)
        raise RowFault(place, "of no known form", "no form fits; choose data.rows.kind and its columns")

    def _check_no_context(
        self, row: dict[str, object], columns: dict[str, str], prompt: str, completion: str, place: str
    ) -> None:
        """Raises RowFault where a text that the question is about would be dropped in silence."""
        about = columns.get("context", "")
        if isinstance(held := row.get(about), str) and held.strip():
            words = (
                f"column {about!r} would not be read; choose data.rows.instruction={columns[prompt]} "
                f"data.rows.input={about} data.rows.output={columns[completion]}"
            )
            raise RowFault(place, "with a column that would be lost", words)


@settings
class PromptRows:
    """Rows like {"prompt": "How many legs has a spider?", "completion": "8"}; the names of both fields are free. Both
    may also be lists of turns."""

    kind: Literal["prompts"] = "prompts"
    prompt: str = "prompt"
    completion: str = "completion"

    @property
    def fields(self) -> tuple[str, ...]:
        return self.prompt, self.completion

    def conversation(self, value: object, place: str) -> Conversation:
        """Raises RowFault with the place if a field is missing or is no usable text."""
        prompt, completion = (
            _turns_of(text_of(value, name, place), f"field {name!r}", role, place)
            for name, role in ((self.prompt, "user"), (self.completion, "assistant"))
        )
        if prompt[-1]["role"] == "assistant":
            words = f"{self.prompt} ends with the assistant's turn; put its text before the completion's"
            raise RowFault(place, "not a conversation", words)
        return _conversation(value, [*prompt, *completion], self.completion, place)


@settings
class ChatRows:
    """Rows like {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}. Turns
    may also be as ShareGPT has them, {"from": "human", "value": "Hi"}."""

    kind: Literal["chats"] = "chats"
    messages: str = "messages"

    @property
    def fields(self) -> tuple[str, ...]:
        return (self.messages,)

    def conversation(self, value: object, place: str) -> Conversation:
        """Raises RowFault with the place and the turn if the row is no conversation that ends with an answer."""
        turns = read_json(field_of(value, self.messages, place))
        if not isinstance(turns, list) or not turns:
            words = f'field {self.messages!r} must be a list of turns like {{"role", "content"}}'
            raise RowFault(place, "not a conversation", words)
        read = [turn_of(turn, f"{self.messages}[{number}]", place) for number, turn in enumerate(turns)]
        return _conversation(value, read, self.messages, place)


@settings
class ShareGptRows(ChatRows):
    """Rows like {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]}."""

    kind: Literal["sharegpt"] = "sharegpt"  # pyright: ignore[reportIncompatibleVariableOverride]  the tag of its union
    messages: str = "conversations"


@settings
class AlpacaRows:
    """Rows like {"instruction": "Add.", "input": "1 and 2", "output": "3"}, perhaps with `history` of earlier pairs."""

    kind: Literal["alpaca"] = "alpaca"
    instruction: str = "instruction"
    input: str = "input"
    output: str = "output"

    @property
    def fields(self) -> tuple[str, ...]:
        return self.instruction, self.output

    def conversation(self, value: object, place: str) -> Conversation:
        """Raises RowFault as the other forms do."""
        asked = check_text(text_of(value, self.instruction, place), f"field {self.instruction!r}", place)
        row = value if isinstance(value, dict) else {}
        more = text_of(row, self.input, place) if row.get(self.input) not in (None, "") else ""
        if more and (not isinstance(more, str) or more.strip()):
            asked = f"{asked}\n{check_text(more, f'field {self.input!r}', place)}"
        pairs = read_json(row.get("history") or [])
        if not isinstance(pairs, list):
            raise RowFault(place, "not a conversation", "field 'history' must be a list of questions and answers")
        turns: list[Turn] = []
        for number, pair in enumerate(pairs):
            if not (isinstance(pair, list | tuple) and len(pair) == 2):
                raise RowFault(place, "not a conversation", f"history[{number}] must be a question and its answer")
            for role, text in zip(("user", "assistant"), pair, strict=True):
                turns.append({"role": role, "content": check_text(text, f"history[{number}]", place)})
        told = check_text(text_of(value, self.output, place), f"field {self.output!r}", place)
        turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": told}]
        return _conversation(value, turns, self.output, place)


KINDS = {"prompts": ("prompt", "completion"), "chats": ("messages",), "alpaca": ("instruction", "input", "output")}
"""The kind of rows that its settings show, where it is not named."""
RowForm: TypeAlias = Annotated[
    AutoRows | PromptRows | ChatRows | ShareGptRows | AlpacaRows, Field(discriminator="kind")
]


def _turns_of(value: object, what: str, role: str, place: str) -> list[Turn]:
    """A field that holds a text, which is one turn of this role, or a list of turns."""
    value = read_json(value) if isinstance(value, str) and value.lstrip().startswith("[{") else value
    if isinstance(value, list) and value and all(isinstance(turn, dict) for turn in value):
        return [turn_of(turn, f"{what}[{number}]", place) for number, turn in enumerate(value)]
    return [{"role": role, "content": check_text(value, what, place)}]


def _conversation(value: object, turns: list[Turn], name: str, place: str) -> Conversation:
    """Raises RowFault where the turns do not begin with a question and end with an answer."""
    row = value if isinstance(value, dict) else {}
    system = row.get("system")
    if system is not None and (not isinstance(system, str) or system.strip()):
        told: Turn = {"role": "system", "content": check_text(system, "field 'system'", place)}
        if turns[0]["role"] == "system" and turns[0] != told:
            raise RowFault(place, "not a conversation", f"two system prompts: the field 'system' and {name}[0]")
        turns = turns if turns[0]["role"] == "system" else [told, *turns]
    if turns[0]["role"] == "assistant":
        words = f"{name}[0] is the assistant's; a conversation begins with a question"
        raise RowFault(place, "not a conversation", words)
    if turns[-1]["role"] != "assistant":
        words = f"{name}[{len(turns) - 1}] is the {turns[-1]['role']}'s; remove what follows the last answer"
        raise RowFault(place, "not a conversation", words)
    return Conversation(place, tuple(turns), _tools_of(row.get("tools"), place))


def _tools_of(held: object, place: str) -> tuple[Json, ...]:
    """The tools of a row: objects, or JSON; null and blank are none."""
    tools = read_json(held) or []
    read: list[Json] = [read_json(tool) for tool in tools] if isinstance(tools, list) else []
    if (isinstance(tools, list) and all(isinstance(tool, dict) for tool in read)) or (
        isinstance(tools, str) and not tools.strip()
    ):
        return tuple(read)
    raise RowFault(place, "not a conversation", "field 'tools' must be a list of tools, each an object")
