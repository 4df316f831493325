"""The engine that samples by servers from one version, whatever training does later."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import starmap

from paring.policy.model import Policy
from paring.rollout.conversing import Prompts, sampled_with_replies
from paring.rollout.engine import Reproduces, Sampling
from paring.rollout.local import completion_of
from paring.rollout.served.answers import completion_question, seed_of, up_to_its_end
from paring.rollout.served.canary import Continuation
from paring.rollout.served.published import Version
from paring.rollout.stopping import stops_of
from paring.types import Group, JsonObject, Key, Problem

Answers = Callable[[Sequence[JsonObject], int, Callable[[Continuation], Continuation]], list[list[Continuation]]]
"""ServedEngine.answers, of one version."""


@dataclass(frozen=True)
class PublishedPolicy:
    """Samples from `version`, which servers have. `lock`: held while versions are forgotten."""

    policy: Policy
    context: int
    version: Version
    answers: Answers
    lock: AbstractContextManager[object]

    @property
    def reproduces(self) -> Reproduces:
        return "tokens"

    def publish(self) -> "PublishedPolicy":
        """See Engine."""
        return self

    def sample(self, problems: Sequence[Problem], group_size: int, sampling: Sampling, key: Key) -> list[Group]:
        """See Engine. Where top_k or top_p restrict what can be drawn, the log-probs are those of the rest."""
        if not problems:
            return []
        return sampled_with_replies(self._answers, self.policy, self.context, problems, group_size, sampling, key)

    def _answers(
        self, problems: Sequence[Problem], prompts: Prompts, group_size: int, sampling: Sampling, key: Key
    ) -> list[Group]:
        """As `sample`, after prompts that are given as tokens."""
        policy, stops = self.policy, stops_of(self.policy.tokenizer, sampling.stop)
        count = 1 if sampling.temperature == 0 else group_size  # greedy answers are all the same
        questions = [
            completion_question(prompt, count, sampling, seed_of(key, problem, group_size), policy.ends)
            for problem, prompt in zip(problems, prompts, strict=True)
        ]
        with self.version.used(self.lock):
            limit = sampling.max_new_tokens, policy.ends, stops
            answers = self.answers(questions, count, lambda one: up_to_its_end(one, *limit))
        groups = []
        for problem, prompt, replies in zip(problems, prompts, answers, strict=True):
            drawn = ((policy, prompt, one.tokens, one.logprobs, sampling, stops) for one in replies)
            groups.append(Group(problem, prompt, tuple(starmap(completion_of, drawn)) * (group_size // count)))
        return groups
