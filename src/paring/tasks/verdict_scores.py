"""From the verifier's verdict to the score of a task."""

from paring.types import Score
from paring.verifier import Verdict


def score_of(verdict: Verdict) -> Score:
    """1 for a right answer, else 0, with the answer that was read and why it is judged so."""
    return Score({"correct": float(verdict.correct)}, verdict.correct, why=verdict.why, answer=verdict.answer)
