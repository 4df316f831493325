"""How a question is put to a model and where its answer must stand: one type for each style."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from paring.settings.declare import settings
from paring.tasks.format import THINK_ANSWER_PROMPT, follows_boxed, follows_think_answer
from paring.types import Message
from paring.verifier.extraction import last_box, tagged_answer

BOXED_PROMPT = "Please reason step by step, and put your final answer within \\boxed{}."
NEXT_QUESTION = "\n\nQuestion:"


@dataclass(frozen=True)
class Example:
    """A question with its working and its answer, shown before the one that is asked."""

    question: str
    working: str
    answer: str


@settings
class Boxed:
    """Step by step, and the answer in `\\boxed{}`: what Qwen2.5-Math's evaluation asks of chat models."""

    kind: Literal["boxed"] = "boxed"

    @property
    def system(self) -> str:
        return BOXED_PROMPT

    def written(self, working: str, answer: str) -> str:
        """An answer as this style wants it."""
        return f"{working} The answer is \\boxed{{{answer}}}."

    def followed_by(self, text: str) -> bool:
        """Whether a text has the form that this style asks for, whatever it answers."""
        return follows_boxed(text)

    def answer_in(self, text: str) -> str | None:
        """What stands where this style wants the answer; None where nothing does."""
        return last_box(text)


@settings
class ThinkAnswer:
    """The working in `<think>`, the answer in `<answer>`: what the `gsm8k` task trains unless it is told."""

    kind: Literal["think-answer"] = "think-answer"

    @property
    def system(self) -> str:
        return THINK_ANSWER_PROMPT

    def written(self, working: str, answer: str) -> str:
        """An answer as this style wants it."""
        return f"<think> {working} </think>\n<answer> {answer} </answer>"

    def followed_by(self, text: str) -> bool:
        """Whether a text has the form that this style asks for, whatever it answers."""
        return follows_think_answer(text)

    def answer_in(self, text: str) -> str | None:
        """What stands where this style wants the answer; None where nothing does."""
        return tagged_answer(text)


Style = Annotated[Boxed | ThinkAnswer, Field(discriminator="kind")]
STYLES = {style.kind: style for style in (Boxed(), ThinkAnswer())}


def prompt(style: Style, question: str, examples: Sequence[Example] = ()) -> tuple[Message, ...]:
    """The turns that ask a question: the system's, a pair for each example, and the user's.

    With examples every question is marked as one, so that a model without a chat template sees the pattern."""
    mark = NEXT_QUESTION.strip() + " " if examples else ""
    turns = [("system", style.system)]
    for example in examples:
        turns.append(("user", f"{mark}{example.question}"))
        turns.append(("assistant", style.written(example.working, example.answer)))
    turns.append(("user", f"{mark}{question}"))
    return tuple({"role": role, "content": content} for role, content in turns)


def own_answer(text: str, examples: Sequence[Example]) -> str:
    """What of a model's text answers the question that was asked: after examples, base models ask the next one too."""
    return text.partition(NEXT_QUESTION)[0] if examples else text


def style_of(messages: Sequence[Message]) -> Style | None:
    """The style in which these turns ask, by their system turn; None for all others."""
    asked = {message["content"] for message in messages if message["role"] == "system"}
    return next((style for style in STYLES.values() if style.system in asked), None)
