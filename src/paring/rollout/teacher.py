"""An engine that does not sample: it answers with the task's own worked solutions."""

from collections.abc import Sequence
from dataclasses import dataclass

from paring.policy.chat import answer_text, answer_tokens, prompt_tokens
from paring.policy.model import Policy
from paring.rollout.engine import Reproduces, Sampling, check_length
from paring.types import Completion, Group, Key, Problem


@dataclass(frozen=True)
class Teacher:
    """Writes each problem's solution as the policy's chat template has an answer written, up to its end token."""

    policy: Policy

    @property
    def reproduces(self) -> Reproduces:
        """See Engine."""
        return "bytes"

    def publish(self) -> "Teacher":
        """See Engine: solutions do not depend on the adapters."""
        return self

    def sample(self, problems: Sequence[Problem], group_size: int, sampling: Sampling, key: Key) -> list[Group]:
        """See Engine. All completions of a group are the same, and each token is drawn with certainty.

        Raises ValueError for a problem without a solution, or whose solution does not fit."""
        groups = []
        for problem in problems:
            if problem.environment is not None:
                raise ValueError(
                    f"problem {problem.id} is a conversation with an environment, which no worked solution shows: "
                    "choose an objective that samples"
                )
            prompt = prompt_tokens(self.policy.tokenizer, problem.messages)
            tokens = self._solution(problem, len(prompt))
            if len(tokens) > sampling.max_new_tokens:
                raise ValueError(
                    f"problem {problem.id}: its solution has {len(tokens)} tokens, more than rollout.max_new_tokens = "
                    f"{sampling.max_new_tokens}: raise it, or leave the problem out"
                )
            check_length(problem, len(prompt), len(tokens), self.policy.context)
            text = answer_text(self.policy.tokenizer, tokens[:-1], prompt)
            completion = Completion(tokens, (0.0,) * len(tokens), text, ended=True)
            groups.append(Group(problem, prompt, (completion,) * group_size))
        return groups

    def _solution(self, problem: Problem, prompt: int) -> tuple[int, ...]:
        """The tokens of the answer, its end among them. Raises ValueError where there is no solution."""
        if not problem.solution:
            raise ValueError(
                f"problem {problem.id} has no worked solution, and sft learns from nothing else: choose an objective "
                'that samples, such as objective.kind = "raft", or a task with solutions (docs/tasks.md)'
            )
        answer = {"role": "assistant", "content": problem.solution}
        try:
            written = answer_tokens(self.policy.tokenizer, [*problem.messages, answer], ends=self.policy.ends)
        except ValueError as error:
            raise ValueError(f"problem {problem.id}: its solution: {error}") from error
        return tuple(written.tokens[prompt:])
