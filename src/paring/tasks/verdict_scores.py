"""From the verifier's verdict to the score of a task."""

from collections.abc import Mapping

from paring.types import Score
from paring.verifier import Verdict


def score_of(verdict: Verdict, traits: Mapping[str, bool] | None = None) -> Score:
    """1 for a right answer, else 0, with the answer that was read and why it is judged so."""
    parts = {"correct": float(verdict.correct)}
    return Score(parts, verdict.correct, dict(traits or {}), why=verdict.why, answer=verdict.answer)
