"""The words that every room shares, and the legend of the axes.

A tensor's name ends in its axes:

    P problems   G completions of a problem   B completions of a batch (P x G, flat)   T tokens of a completion
    N tokens of a packed row   M tokens of it that are predicted   C tokens of a chunk   S spans of a packed row
    V vocabulary   J segments of the vocabulary   W tokens of a segment   E end tokens   L rows of a rollout under way
    Q queries   K keys   H heads   U query heads that share a key head   D features   I inputs   O outputs
    R components of an adapter, its rank   Z components of all adapters together
    F problems whose groups feed the update, of the P that a step sampled   X, Y rows and columns of any matrix

A 1 stands for an axis of length 1.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | int | float | bool | None"
"""Plain values, as JSON and TOML hold them."""
JsonObject: TypeAlias = Mapping[str, "Json"]
Split = Literal["train", "validation", "test"]
Message = dict[str, str]
"""One chat turn: {"role": "system" | "user" | "assistant", "content": text}."""
Turn = Mapping[str, "Json"]
"""A turn with all that a chat template may read of it: role, content, reasoning, tool calls."""


@dataclass(frozen=True, slots=True)
class Score:
    """The judgement of one answer: reward by part, whether it is right, and traits that are not rewarded. Where the
    task says so, also what was read as the answer, and why it is judged so, by a class of verdicts. `failed`: parts of
    the reward that could not be computed, each with the reason."""

    parts: dict[str, float]
    correct: bool
    traits: dict[str, bool] = field(default_factory=dict)
    why: str = ""
    answer: str | None = None
    failed: Mapping[str, str] = field(default_factory=dict)

    @property
    def reward(self) -> float:
        return sum(self.parts.values())


@dataclass(frozen=True, slots=True)
class Reply:
    """What an environment makes of an answer: the `message` that follows, the text of a user's turn or turns with
    roles, or None where the conversation ends; and the score of that answer alone, which may be nothing."""

    message: str | tuple[Message, ...] | None = None
    score: Score = field(default_factory=lambda: Score({}, False))

    @property
    def turns(self) -> tuple[Message, ...]:
        """The turns that follow; none where the conversation ends."""
        if isinstance(self.message, str):
            return ({"role": "user", "content": self.message},)
        return self.message or ()


@dataclass(frozen=True, slots=True)
class Environment:
    """Answers the answers of a model. `reply`: a function from the turns after the prompt, of which the last is the
    model's, to what follows; `answers`: the most that a conversation may have."""

    reply: Callable[[Sequence[Message]], Reply]
    answers: int


@dataclass(frozen=True, slots=True)
class Problem:
    """A question and what its answer must be. `id` is stable: the noise of its completions is derived from it.
    `solution` is a worked answer as the model should write it; empty where the data have none. `place`: where its row
    stands (`train.jsonl:17`), for errors. `draw`: how many times a step has drawn it before, so that its groups are
    sampled anew and not copied. `environment`: what answers the answers to it, where something does."""

    id: str
    messages: tuple[Message, ...]
    gold: str
    solution: str = ""
    place: str = field(default="", compare=False)
    draw: int = field(default=0, compare=False)
    environment: Environment | None = field(default=None, compare=False, repr=False)

    @property
    def most_answers(self) -> int:
        """The answers that its conversation has at most."""
        return 1 if self.environment is None else self.environment.answers

    def members(self, group_size: int) -> range:
        """The numbers of its completions, by which their noise is drawn: other ones for every draw."""
        return range(self.draw * group_size, (self.draw + 1) * group_size)


@dataclass(frozen=True, slots=True)
class Completion:
    """One sampled answer, or a whole conversation with an environment. `tokens` holds the end-of-sequence token if one
    was drawn, then `ended` is true. `logprobs` are the log-probs in nats of the tokens that were drawn, at the sampling
    temperature. `given`: the runs of tokens [from, to) that an environment wrote, which are never learned; `scores`:
    those of the answers of a conversation, one by one."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    text: str
    ended: bool
    given: tuple[tuple[int, int], ...] = ()
    scores: tuple[Score, ...] = ()

    @property
    def drawn(self) -> int:
        """The number of tokens that the model wrote."""
        return len(self.tokens) - sum(to - start for start, to in self.given)


class Recorded(Protocol):
    """Where an engine has kept its forward pass over a group (policy/recording.py)."""

    @property
    def completions(self) -> "list[Tensor]":
        """The kept rows of each completion's tokens: int64."""
        ...

    def of_prompt(self) -> "Recorded":
        """The prompt alone, to which completions can be added."""
        ...


@dataclass(frozen=True, slots=True)
class Group:
    """A problem, its prompt as token ids, and the completions sampled for it. `trace`: where the engine has kept its
    forward pass over them, if it has."""

    problem: Problem
    prompt: tuple[int, ...]
    completions: tuple[Completion, ...]
    trace: Recorded | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Key:
    """The key of a rollout's noise, which is a function of it, of problem, member and position. `member`: the number of
    the first completion of each problem; a rollout from there draws what a longer one from 0 draws there."""

    seed: int
    step: int
    member: int = 0

    def number(self) -> int:
        """The key as one seed for generators that take one: 63 bits."""
        return int(np.random.SeedSequence([self.seed, self.step]).generate_state(1, np.uint64)[0] >> np.uint64(1))
