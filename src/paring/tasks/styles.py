"""How a question is put to a model and where its answer must stand: one type for each style."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from paring.settings.declare import settings
from paring.types import Message
from paring.verifier.extraction import last_box

BOXED_PROMPT = "Please reason step by step, and put your final answer within \\boxed{}."
THINK_ANSWER_PROMPT = (
    "Solve the problem step by step. Write your working between <think> and </think>, and after it only the final "
    "answer between <answer> and </answer>, like this:\n"
    "<think> the working </think>\n"
    "<answer> the final answer </answer>"
)
TAGS = ("<think>", "</think>", "<answer>", "</answer>")
NEXT_QUESTION = "\n\nQuestion:"


@dataclass(frozen=True)
class Shot:
    """A worked example: a question with its working and its answer, shown before the question that is put."""

    question: str
    working: str
    answer: str


@settings
class Boxed:
    """Step by step, and the answer in `\\boxed{}`: the prompt of Qwen2.5-Math's evaluation of chat models."""

    system: ClassVar[str] = BOXED_PROMPT
    kind: Literal["boxed"] = "boxed"

    def written(self, working: str, answer: str) -> str:
        """An answer in this style."""
        return f"{working} The answer is \\boxed{{{answer}}}."

    def followed_by(self, text: str) -> bool:
        """Whether the text has exactly one `\\boxed`, complete and not blank. The rest is free."""
        return text.count("\\boxed") == 1 and bool(last_box(text))


@settings
class ThinkAnswer:
    """The working in `<think>`, the answer in `<answer>`, as R1-like training has them: the default of `gsm8k`."""

    system: ClassVar[str] = THINK_ANSWER_PROMPT
    kind: Literal["think-answer"] = "think-answer"

    def written(self, working: str, answer: str) -> str:
        """An answer in this style."""
        return f"<think> {working} </think>\n<answer> {answer} </answer>"

    def followed_by(self, text: str) -> bool:
        """See `follows_think_answer`."""
        return follows_think_answer(text)


Style = Annotated[Boxed | ThinkAnswer, Field(discriminator="kind")]
STYLES = {style.kind: style for style in (Boxed(), ThinkAnswer())}


def follows_think_answer(text: str) -> bool:
    """Whether the whole text is `<think> working </think> <answer> answer </answer>`.

    Each of the four tags stands exactly once, in small letters and in this order; working and answer are not blank;
    before, between and after the two pairs there is nothing but white space. What the tags hold is not judged.
    """
    if any(text.count(tag) != 1 for tag in TAGS):
        return False
    before, _, rest = text.partition("<think>")
    working, _, rest = rest.partition("</think>")
    between, _, rest = rest.partition("<answer>")
    answer, _, after = rest.partition("</answer>")
    return bool(working.strip() and answer.strip()) and not (before + between + after).strip()


def prompt(style: Style, question: str, shots: Sequence[Shot] = ()) -> tuple[Message, ...]:
    """The turns that put a question: the system's, a pair for each worked example, and the user's.

    With examples every question is marked as one, so that a model without a chat template sees the pattern."""
    mark = NEXT_QUESTION.strip() + " " if shots else ""
    turns = [("system", style.system)]
    for shot in shots:
        turns.append(("user", f"{mark}{shot.question}"))
        turns.append(("assistant", style.written(shot.working, shot.answer)))
    turns.append(("user", f"{mark}{question}"))
    return tuple({"role": role, "content": content} for role, content in turns)


def own_answer(text: str) -> str:
    """The part of a model's text that answers its question: after worked examples, base models put the next one too."""
    return text.partition(NEXT_QUESTION)[0]


def style_of(messages: Sequence[Message]) -> Style | None:
    """The style of a prompt, by its system turn; None for all others."""
    systems = {message["content"] for message in messages if message["role"] == "system"}
    return next((style for style in STYLES.values() if style.system in systems), None)
