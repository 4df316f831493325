"""Whether an answer is right: it is taken out of a text, compared with a gold, and never trusted (docs/verifier.md).

from paring.verifier import Gold, Verifier

with Verifier() as verifier:
    verdicts = verifier.judge([(Gold.read(r"\\frac{1}{2}"), r"So it is \\boxed{0.5}.")])
"""

from paring.verifier.golds import Gold, Kind
from paring.verifier.verdicts import Verdict, Why
from paring.verifier.verifier import Verifier

__all__ = ["Gold", "Kind", "Verdict", "Verifier", "Why"]
