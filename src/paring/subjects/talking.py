"""Talk to a run, a model or an adapter: one question, or a conversation; two beside each other."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from textwrap import wrap

from paring.policy.chat import prompt_tokens
from paring.rollout.engine import Sampling
from paring.rollout.local import LocalEngine, check_decodes
from paring.runtime.text import count_words, visible
from paring.subjects.opening import base_of, open_subject
from paring.tasks.own_calls import CallFailed
from paring.training.config import Run
from paring.types import Completion, Key, Message, Problem

LONGEST_ANSWER = 256
"""Tokens of an answer where no run says it."""
BASE = "base"
"""The name by which the model that a run began with is compared."""
_GAP = 2


@dataclass(frozen=True)
class Talker:
    """Something that answers. `longest`: the tokens of an answer that its run allowed; `system`: the system messages
    before the problems that it was trained on."""

    name: str
    engine: LocalEngine
    longest: int
    system: tuple[Message, ...] = ()

    def answer(self, messages: Sequence[Message], sampling: Sampling, key: Key) -> Completion:
        """The answer to a conversation. Raises ValueError where conversation and answer do not fit the context, or the
        model's chat template refuses it, and NotFinite."""
        policy = self.engine.policy
        prompt, most = len(prompt_tokens(policy.tokenizer, messages)), sampling.max_new_tokens
        if prompt + most > policy.context:
            raise ValueError(
                f"{self.name}: a conversation of {prompt} tokens and an answer of {most} exceed the model's context of "
                f"{policy.context}: shorten it, begin anew, or allow fewer new tokens (--max-new-tokens)"
            )
        [group] = self.engine.sample([Problem("conversation", tuple(messages), "")], 1, sampling, key)
        return group.completions[0]


def open_talker(name: str) -> Talker:
    """A run's folder, a PEFT adapter's, or a model. Raises ValueError where there is nothing to open."""
    subject = open_subject(name)
    policy = check_decodes(subject.policy)
    longest = min(LONGEST_ANSWER, policy.context // 2)
    if subject.run is None:
        return Talker(name, LocalEngine(policy), longest)
    return Talker(name, LocalEngine(policy), subject.run.rollout.max_new_tokens, _system(subject.run))


def open_talkers(name: str, compare: str | None) -> list[Talker]:
    """The one that is asked, and the one that it is compared with, which gets the same system messages. Raises
    ValueError."""
    first = open_talker(name)
    if compare is None:
        return [first]
    second = open_talker(base_of(name).path if compare == BASE else compare)
    shown = f"base ({Path(base_of(name).path).name})" if compare == BASE else compare
    return [first, replace(second, name=shown, longest=first.longest, system=second.system or first.system)]


def _system(run: Run) -> tuple[Message, ...]:
    try:
        messages = run.task.problems("train")[0].messages
    except (FileNotFoundError, ModuleNotFoundError, IndexError, CallFailed):
        return ()  # the data of the run are not here
    return tuple(message for message in messages if message["role"] == "system")


@dataclass
class Dialogue:
    """A conversation with one or several talkers, each of which sees its own answers. `system`: given in place of what
    they were trained with. Same seed, same words, same answers."""

    talkers: Sequence[Talker]
    temperature: float = 0.0
    longest: int | None = None
    seed: int = 0
    system: str | None = None
    _turns: list[tuple[str, list[str]]] = field(default_factory=list)

    def say(self, text: str) -> list[Completion]:
        """The answer of each talker. One that raises leaves the conversation as it was."""
        answers = [self._answer(place, talker, text) for place, talker in enumerate(self.talkers)]
        self._turns.append((text, [answer.text for answer in answers]))
        return answers

    def begin_anew(self) -> None:
        self._turns.clear()

    def _answer(self, place: int, talker: Talker, text: str) -> Completion:
        given = None if self.system is None else ({"role": "system", "content": self.system},)
        messages = [*(talker.system if given is None else given)]
        for said, answers in self._turns:
            messages += [{"role": "user", "content": said}, {"role": "assistant", "content": answers[place]}]
        sampling = Sampling(max_new_tokens=self.longest or talker.longest, temperature=self.temperature)
        key = Key(self.seed, len(self._turns))
        return talker.answer([*messages, {"role": "user", "content": text}], sampling, key)


def answers_text(talkers: Sequence[Talker], answers: Sequence[Completion], width: int) -> str:
    """The answers as a person reads them: one as it is, two in columns. Nothing of a model's text is a command to a
    terminal."""
    texts = [visible(answer.text) or "(an empty answer)" for answer in answers]
    notes = [
        "" if answer.ended else f"(cut off after {count_words(len(answer.tokens), 'token')})" for answer in answers
    ]
    if len(answers) == 1:
        return "\n".join(filter(None, (texts[0], notes[0])))
    column = max(20, (width - _GAP * (len(answers) - 1)) // len(answers))
    cells = [
        [*_wrapped(visible(talker.name), column), "-" * column, *_wrapped(text, column), *_wrapped(note, column)]
        for talker, text, note in zip(talkers, texts, notes, strict=True)
    ]
    rows = zip_longest(*cells, fillvalue="")
    return "\n".join((" " * _GAP).join(cell.ljust(column) for cell in row).rstrip() for row in rows)


def _wrapped(text: str, width: int) -> list[str]:
    return [line for given in text.split("\n") for line in wrap(given.expandtabs(), width) or ([""] if given else [])]
