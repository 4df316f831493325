"""The embedded game: a number near another is to be guessed, and the reply to a guess says higher or lower."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Annotated, Literal

from pydantic import Field

from paring.settings.declare import settings
from paring.tasks.arithmetic import INTEGER, ending_answer
from paring.tasks.judge import JudgedTask
from paring.tasks.splits import hold_out
from paring.types import Environment, Message, Problem, Reply, Score, Split

CENTRES = range(20, 80)
LOGICAL = 0.3


@settings
class HigherLower(JudgedTask):
    """`44+3-3=` asks for a number from 41 to 47: `<answer>44</answer>`. The reply `44+` says that it is larger, `44-`
    that it is smaller, `?` that no number was read. The game ends with the number, or after the last guess.

    within    how far the number is from the centre, which is 20 to 79
    guesses   the most guesses of a game

    A centre is a game with each of its numbers. An eighth of the centres each, by a hash, is `validation` and `test`.
    """

    name: Literal["higher-lower"] = "higher-lower"
    within: Annotated[int, Field(ge=1, le=19)] = 3
    guesses: Annotated[int, Field(ge=1, le=20)] = 3

    def problems(self, split: Split) -> Sequence[Problem]:
        return _splits(self)[split]

    def score(self, problem: Problem, text: str) -> Score:
        """As the first guess of a game."""
        return self.reply(problem, [{"role": "assistant", "content": text}]).score

    def reply(self, problem: Problem, turns: Sequence[Message]) -> Reply:
        """Parts, for each guess: `found` 1.0 where it is the number; `logical` 0.3 where it can be the number by the
        question and the earlier replies, and at once for all guesses that are left where it is the number. Trait:
        `logical`, of the last guess."""
        number, centre = int(problem.gold), int(problem.messages[-1]["content"].partition("+")[0])
        *earlier, last = (_guess(turn["content"]) for turn in turns if turn["role"] == "assistant")
        possible = set(range(centre - self.within, centre + self.within + 1))
        for guess in (guess for guess in earlier if guess is not None):
            possible = {one for one in possible if one != guess and (one > guess) == (number > guess)}
        is_logical, found = last in possible, last == number
        left = self.guesses - len(earlier) if found else 1
        parts = {"found": 1.0 if found else 0.0, "logical": LOGICAL * left if is_logical else 0.0}
        score = Score(parts, found, {"logical": is_logical})
        if found or len(earlier) + 1 == self.guesses:
            return Reply(score=score)
        return Reply("?" if last is None else f"{last}{'+' if number > last else '-'}", score)


def _guess(text: str) -> int | None:
    number = INTEGER.fullmatch(ending_answer(text) or "")
    return None if number is None else int(number[1])


@cache
def _splits(task: HigherLower) -> dict[Split, Sequence[Problem]]:
    test, validation, train = (
        [_game(task, centre, centre + step) for step in range(-task.within, task.within + 1) for centre in part]
        for part in hold_out(CENTRES, str, parts=2, source=task.name)
    )
    return {"train": train, "validation": validation, "test": test}


def _game(task: HigherLower, centre: int, number: int) -> Problem:
    asked = f"{centre}+{task.within}-{task.within}="
    problem = Problem(f"higher-lower/{asked}{number}", ({"role": "user", "content": asked},), str(number))
    return replace(problem, environment=Environment(partial(task.reply, problem), task.guesses))
