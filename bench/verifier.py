"""Claim: the verifier decides 1,000 integer answers a second on one core, however hostile other answers are."""

import time
from collections.abc import Sequence
from statistics import median

from measuring import options, report
from paring.verifier import Gold, Verifier
from paring.verifier.corpus import hostile

BOUND = 1000
GOLD_OF_WORKERS = r"\frac{\sqrt{3}}{2}"
"""What is compared with it takes algebra, unless it is refused."""
Pair = tuple[Gold, str]


def responses(answers: Sequence[str]) -> list[str]:
    """Each answer at the end of a response of a few hundred characters, as models write."""
    working = "We know that 16 - 3 - 4 = 9, so she sells 9 eggs a day and earns 2 * 9 = 18 dollars. " * 5
    return [rf"{working} So the answer is \boxed{{{answer}}}." for answer in answers]


def rate(verifier: Verifier, pairs: list[Pair]) -> float:
    """Answers for each second of this process's time: other load on the machine does not show."""
    start = time.process_time()
    verifier.judge(pairs)
    return len(pairs) / (time.process_time() - start)


def seconds_of_each(verifier: Verifier, gold: Gold) -> dict[str, float]:
    """Wall clock for each hostile text alone."""
    taken = {}
    for name, text in hostile("18").items():
        start = time.perf_counter()
        verifier.judge([(gold, text)])
        taken[name] = time.perf_counter() - start
    return taken


def bombs(count: int) -> list[str]:
    """Boxed answers that explode, each another."""
    kinds = ("9^{{9^{{{}}}}}", "{}00000000!", r"\binom{{{}000000000}}{{5}}", "(({}^9)^{{9999}})^{{9999}}")
    return [rf"\boxed{{{kinds[number % len(kinds)].format(number + 10)}}}" for number in range(count)]


def main() -> None:
    arguments = options(__doc__, at_least=1.0, answers=5000, expressions=100, bombs=64).parse_args()
    integers = [(Gold.read(str(n)), text) for n, text in enumerate(responses(list(map(str, range(arguments.answers)))))]
    fractions = [
        (Gold.read(rf"\frac{{{n}}}{{7}}"), text)
        for n, text in enumerate(responses([rf"\dfrac{{{2 * n}}}{{14}}" for n in range(arguments.answers)]))
    ]
    gold = Gold.read(GOLD_OF_WORKERS)
    good = [
        (gold, text)
        for text in responses([rf"\frac{{{n}\sqrt{{3}}}}{{{2 * n}}}" for n in range(1, arguments.expressions + 1)])
    ]
    with Verifier(workers=1) as verifier:
        rates = {"integers": rate(verifier, integers), "fractions": rate(verifier, fractions)}
        start = time.perf_counter()
        verifier.judge([(gold, r"\boxed{\frac{3}{2\sqrt{3}}}")])
        first = time.perf_counter() - start
        start = time.perf_counter()
        assert all(verdict.correct for verdict in verifier.judge(good))
        of_expression = (time.perf_counter() - start) / len(good)
        start = time.perf_counter()
        verifier.judge([(gold, text) for text in bombs(arguments.bombs)])
        of_bombs = time.perf_counter() - start
        hostile_exact, hostile_algebra = seconds_of_each(verifier, Gold.read("18")), seconds_of_each(verifier, gold)
    report(
        arguments,
        f"integer answers a second of processor time / {BOUND}",
        rates["integers"] / BOUND,
        answers_a_second=rates,
        seconds_of_first_worker=first,
        seconds_of_an_expression=of_expression,
        seconds_of_all_bombs=of_bombs,
        hostile_median_seconds=median([*hostile_exact.values(), *hostile_algebra.values()]),
        hostile_slowest_exact=max((seconds, name) for name, seconds in hostile_exact.items()),
        hostile_slowest_algebra=max((seconds, name) for name, seconds in hostile_algebra.items()),
    )


if __name__ == "__main__":
    main()
