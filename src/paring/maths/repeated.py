"""The chances of k answers to one problem together, estimated without bias from n >= k of them: pass@k and maj@k."""

from collections import Counter
from collections.abc import Hashable, Sequence
from math import comb


def pass_at(k: int, correct: int, answers: int) -> float:
    """The chance that of k answers at least one is right: 1 - C(n - c, k) / C(n, k) (Chen et al., arXiv 2107.03374).

    The mean over all choices of k of the n answers, of which c are right. Raises ValueError unless
    0 <= c <= n and 1 <= k <= n."""
    if not 0 <= correct <= answers:
        raise ValueError(f"{correct} right of {answers} answers: must lie between 0 and their number")
    _check(k, answers)
    return 1.0 - comb(answers - correct, k) / comb(answers, k)


def majority_at(k: int, votes: Sequence[Hashable], right: Hashable) -> float:
    """The chance that the commonest of k answers is right (maj@k; Wang et al., arXiv 2203.11171), without bias.

    The mean over all choices of k of the n `votes`. Among t commonest answers each wins with 1/t; None is an answer
    that was not given and has no vote. Counted, not drawn: with c votes for the right answer and m of them chosen, the
    other answers are added one after the other, keeping how many votes are chosen in all and how many answers tie."""
    _check(k, len(votes))
    count = Counter(votes)
    unasked = count.pop(None, 0)
    mine = count.pop(right, 0)
    won = 0.0
    for votes_mine in range(1, min(mine, k) + 1):
        ways = {(votes_mine, 0): comb(mine, votes_mine)}
        for others in count.values():
            ways = _with_another(ways, others, votes_mine, k)
        for (chosen, ties), number in ways.items():
            won += number * comb(unasked, k - chosen) / (1 + ties)
    return won / comb(len(votes), k)


def _with_another(ways: dict[tuple[int, int], int], size: int, most: int, k: int) -> dict[tuple[int, int], int]:
    """The ways to choose (votes in all, answers that tie with the right one), once one more answer may have up to
    `most` of its `size` votes chosen."""
    after: Counter[tuple[int, int]] = Counter()
    for (chosen, ties), number in ways.items():
        for votes in range(min(size, most, k - chosen) + 1):
            after[chosen + votes, ties + (votes == most)] += number * comb(size, votes)
    return after


def _check(k: int, answers: int) -> None:
    if not 1 <= k <= answers:
        raise ValueError(f"k = {k} of {answers} answers: must be at least 1 and at most their number")
