"""The verifier: golds and texts in, verdicts out. Comparisons that could hang or explode run in killable workers."""

import json
from collections.abc import Iterable, Sequence
from importlib.util import find_spec

from paring.verifier.golds import Gold
from paring.verifier.verdicts import WHYS, NeedsAlgebra, Verdict, decide
from paring.verifier.workers import Workers

MOST_REMEMBERED = 10_000
"""An answer that comes again costs nothing, and is judged the same."""
WALL_FACTOR = 10
"""An answer may take this many times its processor time by the clock, on a machine with much else to do."""


class Verifier:
    """Judges answers by the policy of docs/verifier.md. Cheap to make: workers start when they are first needed.

    workers     processes for answers that need math-verify (the `math` extra); this process decides the others
    seconds     processor time for one answer in a worker; one that needs more counts as wrong, `timeout`
    memory_mb   address space of a worker; an answer that needs more counts as wrong, `killed`

    Use it as a context manager, or `close` it; else its workers end with the process. Safe to use in several threads,
    which then take turns, and after a fork, where the child starts workers of its own.
    """

    def __init__(self, *, workers: int = 2, seconds: float = 3.0, memory_mb: int = 1024):
        if workers < 1:
            raise ValueError(f"workers={workers}: at least 1 is needed")
        if not 0.1 <= seconds <= 600:
            raise ValueError(f"seconds={seconds}: give 0.1 to 600 for one answer")
        if memory_mb < 512:
            raise ValueError(f"memory_mb={memory_mb}: a worker needs 512 to load math-verify")
        arguments = (str(seconds), str(memory_mb))
        self._workers = Workers("paring.verifier.worker", arguments, count=workers, seconds=WALL_FACTOR * seconds)
        self._remembered: dict[tuple[Gold, str], Verdict] = {}

    def judge(self, pairs: Sequence[tuple[Gold, str]]) -> list[Verdict]:
        """One verdict for each (gold, text of a response), in their order.

        Never raises on a text, whatever it is. Raises ModuleNotFoundError if an answer takes math-verify and it is
        not installed (see `check`), and RuntimeError if workers cannot start at all.
        """
        verdicts: dict[int, Verdict] = {}
        places: dict[tuple[Gold, str], list[int]] = {}
        for place, (gold, text) in enumerate(pairs):
            try:
                verdicts[place] = decide(gold, text)
            except NeedsAlgebra as needed:
                places.setdefault((gold, needed.answer), []).append(place)
        unknown = [question for question in places if question not in self._remembered]
        known = {question: self._remembered[question] for question in places if question in self._remembered}
        if unknown:
            _require_math_verify("comparing expressions")
            lines = [json.dumps({"kind": gold.kind, "gold": gold.text, "answer": answer}) for gold, answer in unknown]
            for question, why in zip(unknown, self._workers.ask(lines), strict=True):
                if len(self._remembered) >= MOST_REMEMBERED:
                    del self._remembered[next(iter(self._remembered))]
                known[question] = self._remembered[question] = Verdict(why == "right", WHYS[why], question[1])
        for question, verdict in known.items():
            verdicts |= dict.fromkeys(places[question], verdict)
        return [verdicts[place] for place in range(len(pairs))]

    def judge_any(self, pairs: Sequence[tuple[Sequence[Gold], str]]) -> list[Verdict]:
        """One verdict for each (golds, text of a response): right if the answer is any of the golds, else the verdict
        by the first of them. Each needs a gold. Raises as `judge` does."""
        verdicts = iter(self.judge([(gold, text) for golds, text in pairs for gold in golds]))
        by_pair = [[next(verdicts) for _ in golds] for golds, _ in pairs]
        return [next((verdict for verdict in judged if verdict.correct), judged[0]) for judged in by_pair]

    def check(self, golds: Iterable[Gold]) -> None:
        """Raise ModuleNotFoundError before any work if a gold may need math-verify and it is not installed."""
        needing = next((gold for gold in golds if gold.needs_symbols), None)
        if needing is not None:
            _require_math_verify(f"comparing answers with {needing.text!r} ({needing.kind})")

    def close(self) -> None:
        """End the workers. The verifier can be used again: it starts new ones."""
        self._workers.close()

    def __enter__(self) -> "Verifier":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _require_math_verify(purpose: str) -> None:
    if find_spec("math_verify") is None:
        raise ModuleNotFoundError(f'{purpose} needs math-verify: pip install "paring[math]"')
