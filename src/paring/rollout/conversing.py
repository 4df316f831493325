"""Conversations with environments: an answer, what the environment replies, the next answer, up to an end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from paring.policy.chat import prompts_tokens, reply_tokens
from paring.policy.model import Policy
from paring.rollout.engine import Sampling, check_length
from paring.types import Completion, Environment, Group, Key, Message, Problem, Score

Prompts = Sequence[tuple[int, ...]]
Answers = Callable[[Sequence[Problem], Prompts, int, Sampling, Key], list[Group]]
"""An engine's answers to problems, each after a prompt that is given as tokens; else as `Engine.sample`."""
CHARACTERS_A_TOKEN = 64
"""A reply with more characters than this times the room that is left is taken as too long, and not made into tokens."""


def sampled_with_replies(
    answers: Answers,
    policy: Policy,
    context: int,
    problems: Sequence[Problem],
    group_size: int,
    sampling: Sampling,
    key: Key,
) -> list[Group]:
    """As `Engine.sample`, by an engine's `answers`. Where a problem has an environment, each of its completions is a
    whole conversation.

    The prompt of a later answer is the conversation as it was sampled, token by token, with the replies in it: no
    answer is rendered a second time. A conversation ends where the environment ends it. It is cut off (`ended` is
    false) after an answer that is, where a reply leaves no room for an answer in the `context`, and after the most
    answers that it may have. Raises as `Engine.sample`, and what environments raise."""
    prompts = prompts_tokens(policy.tokenizer, [problem.messages for problem in problems])
    for problem, prompt in zip(problems, prompts, strict=True):
        check_length(problem, len(prompt), sampling.max_new_tokens, context)
    groups = answers(problems, prompts, group_size, sampling, key) if problems else []
    talks = {
        (place, member): _Conversation(policy, problem.environment, group.prompt, completion)
        for place, (problem, group) in enumerate(zip(problems, groups, strict=True))
        if problem.environment is not None
        for member, completion in enumerate(group.completions)
    }
    room, number = context - sampling.max_new_tokens, 1
    while going := [place for place, talk in talks.items() if talk.number == number and talk.goes_on(room)]:
        number += 1
        # The noise of each answer is its own.
        asked = [
            Problem(f"{problems[place].id} answer {number}", (), "", draw=problems[place].members(group_size)[member])
            for place, member in going
        ]
        found = answers(asked, [talks[place].tokens for place in going], 1, sampling, key)
        for place, group in zip(going, found, strict=True):
            talks[place].add(group.completions[0])
    return [
        group if problem.environment is None else _talked(group, [talks[place, member] for member in range(group_size)])
        for place, (problem, group) in enumerate(zip(problems, groups, strict=True))
    ]


@dataclass
class _Conversation:
    """A conversation under way. `tokens` are those of the prompt and of all that followed; `given` are the runs of
    those that followed that the environment wrote."""

    policy: Policy
    environment: Environment
    prompt: tuple[int, ...]
    last: Completion
    tokens: tuple[int, ...] = ()
    turns: list[Message] = field(default_factory=list)
    given: list[tuple[int, int]] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)
    number: int = 0
    has_ended: bool = False

    def __post_init__(self) -> None:
        self.tokens = self.prompt
        self.add(self.last)

    def add(self, answer: Completion) -> None:
        """The next answer of the model."""
        self.number, self.last = self.number + 1, answer
        self.tokens += answer.tokens
        self.logprobs += answer.logprobs
        self.turns.append({"role": "assistant", "content": answer.text})

    def goes_on(self, room: int) -> bool:
        """Let the environment reply to the last answer. Whether another answer follows; `room`: the most tokens that
        may stand before it."""
        reply = self.environment.reply(tuple(self.turns))
        self.scores.append(reply.score)
        self.has_ended = not reply.turns and self.last.ended
        if not reply.turns or not self.last.ended or self.number == self.environment.answers:
            return False
        left = room - len(self.tokens)
        if sum(len(turn["content"]) for turn in reply.turns) > CHARACTERS_A_TOKEN * left:
            return False
        is_closed = self.last.tokens[-1] in self.policy.ends
        added = reply_tokens(self.policy.tokenizer, reply.turns, is_closed=is_closed)
        if len(added) > left:
            return False
        start = len(self.tokens) - len(self.prompt)
        self.given.append((start, start + len(added)))
        self.tokens += added
        self.turns += reply.turns
        return True

    def completion(self) -> Completion:
        """All that followed the prompt; as text with the roles of the environment's turns before them."""
        lines = [
            turn["content"] if turn["role"] == "assistant" else "[{role}] {content}".format(**turn)
            for turn in self.turns
        ]
        return Completion(
            self.tokens[len(self.prompt) :],
            tuple(self.logprobs),
            "\n".join(lines),
            self.has_ended,
            tuple(self.given),
            tuple(self.scores),
        )


def _talked(group: Group, talks: Sequence[_Conversation]) -> Group:
    """A recorded pass would be of the first answers alone."""
    return replace(group, completions=tuple(talk.completion() for talk in talks), trace=None)
