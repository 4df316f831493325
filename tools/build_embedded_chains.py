"""Rebuild the base of the harder embedded task: python tools/build_embedded_chains.py [--out DIR] [--seed 0]

It starts from the first embedded model, learns to work longer chains out, and is then spoiled until it answers with a
guess near the result, often without closing its tags. It sees problems of the train split only.
"""

import random
from collections.abc import Sequence

from build_embedded import EMBEDDED, Base, Stage, main, slip
from paring.tasks.chains import INSIDE, Chains
from paring.types import Problem

NEAR = 6
COMPETENT = Stage(300, 64, 1e-3, {"working": 1.0})
SPOILED = Stage(400, 64, 4e-4, {"working": 0.03, "corrupted": 0.03, "guess": 0.74, "malformed": 0.20})


def terms_of(problem: Problem) -> list[int]:
    expression = problem.messages[0]["content"].removesuffix("=")
    return [int(term) for term in expression.replace("-", "+-").split("+")]


def write_answer(kind: str, problem: Problem, chance: random.Random) -> str:
    """An answer of one kind: working, corrupted (working with one slip, which the steps after it carry on), guess
    (no working, and a number near the result) or malformed (a guess whose tags are not a pair)."""
    if kind == "working":
        return problem.solution
    if kind == "corrupted":
        return corrupted(terms_of(problem), chance)
    result = int(problem.gold)
    guess = chance.choice([near for near in range(result - NEAR, result + NEAR + 1) if near in INSIDE])
    if kind == "guess":
        return f"<answer>{guess}</answer>"
    return chance.choice((f"<answer>{guess}", "<answer></answer>", f"<answer>{guess}<answer>", "<answer>"))


def corrupted(terms: Sequence[int], chance: random.Random) -> str:
    wrong_at = chance.randrange(1, len(terms))
    result, steps = terms[0], []
    for place, term in enumerate(terms[1:], start=1):
        after = result + term
        if place == wrong_at:
            after = slip(after, INSIDE, chance)
        steps.append(f"{result}{term:+d}={after}")
        result = after
    return f"{';'.join(steps)}<answer>{result}</answer>"


CHAINS = Base(Chains(), EMBEDDED, {"competent": COMPETENT, "spoiled": SPOILED}, write_answer, longest_answer=48)

if __name__ == "__main__":
    main(CHAINS, EMBEDDED.with_name("embedded-chains"), __doc__.splitlines()[0], seed=0)
