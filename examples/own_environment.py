"""A conversation of one's own: count down to zero, one number a turn. `paring train quickstart task.path=...` below.

paring train quickstart task.path=examples/own_environment.py:Countdown rollout.max_new_tokens=16
"""

from collections.abc import Sequence

from paring import Problem, Reply, Score

TURNS = 3
SPLITS = {"train": range(20, 80), "validation": range(80, 90), "test": range(90, 100)}


class Countdown:
    """`17-1=` asks for 16; then `16-1=` asks for 15, and so on, until a number is wrong or TURNS are right."""

    def problems(self, split: str) -> Sequence[Problem]:
        """A problem for each first number."""
        return [Problem(f"down/{n}", ({"role": "user", "content": f"{n}-1-0="},), str(n)) for n in SPLITS[split]]

    def reply(self, problem: Problem, turns: Sequence[dict[str, str]]) -> Reply:
        """A reward by turn: 1 / TURNS for each right number."""
        number = sum(turn["role"] == "assistant" for turn in turns)
        expected = int(problem.gold) - number
        right = turns[-1]["content"].endswith(f"<answer>{expected}</answer>")
        score = Score({"right": 1 / TURNS if right else 0.0}, correct=right and number == TURNS)
        return Reply(f"{expected}-1-0=" if right and number < TURNS else None, score)
