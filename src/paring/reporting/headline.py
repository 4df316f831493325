"""The answer of a report in two sentences: what differs from the baseline beyond chance, and the largest difference."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from paring.reporting.contests import Contest
from paring.reporting.contrasts import OVER_SEEDS, Contrast, Test
from paring.reporting.declared import DeclaredTest
from paring.runtime.text import count_words, p_words

MOST_NAMED = 6
"""Arms or contrasts that a sentence names; the tables have all."""


@dataclass
class Verdicts:
    """An arm beside the baseline: in how many contests it is better or worse beyond chance, the same run for run, not
    told apart, and not tested."""

    better: int = 0
    worse: int = 0
    same: int = 0
    alike: int = 0
    untested: int = 0
    tests: list[tuple[Contest, Test]] = field(default_factory=list)
    """Each difference from the baseline, the arm less the baseline."""

    @property
    def contests(self) -> int:
        return self.better + self.worse + self.same + self.alike + self.untested


def headline(contests: Sequence[Contest], contrasts: Sequence[Contrast], effects: int, baseline: str) -> list[str]:
    """Two sentences on all arms beside the baseline, or one where nothing can be tested."""
    verdicts = verdicts_of(contests, contrasts, baseline)
    kinds: dict[str, list[str]] = {}
    for arm, verdict in verdicts.items():
        kinds.setdefault(_words(verdict), []).append(arm)
    order = ("better", "worse", "not told", "the same", "without")
    ordered = sorted(kinds.items(), key=lambda kind: next(n for n, word in enumerate(order) if word in kind[0]))
    clauses = "; ".join(f"{_names(arms)} {'is' if len(arms) == 1 else 'are'} {words}" for words, arms in ordered)
    first = f"Beside {baseline}, the baseline: {clauses}."
    tests = [(arm, contest, test) for arm, verdict in verdicts.items() for contest, test in verdict.tests]
    if not tests:
        return [first]
    # Accuracies and losses have no common unit: the largest is looked for among those of the first contest's kind.
    kind = contests[0].measure.accuracy
    same_unit = [one for one in tests if one[1].measure.accuracy == kind] or tests
    arm, contest, test = max(same_unit, key=lambda one: abs(one[2].difference.mean))
    where = f" at {contest.setting}" if contest.setting else ""
    family = len(contrasts) + effects
    corrected = f", corrected for {count_words(family, 'test')}" if family > 1 else ""
    return [
        first,
        f"The largest difference is that of {arm}{where}: {contest.measure.difference(test.difference)}, "
        f"{p_words(test.adjusted)} ({test.name}{corrected}).",
    ]


def verdicts_of(contests: Sequence[Contest], contrasts: Sequence[Contrast], baseline: str) -> dict[str, Verdicts]:
    """By arm, for all arms that meet the baseline in a contest."""
    verdicts: dict[str, Verdicts] = {}
    for contest in contests:
        base = contest.standings[0]
        if base.label != baseline:
            continue
        distinct = contest.distinct
        for standing in contest.standings[1:]:
            verdict = verdicts.setdefault(standing.label, Verdicts())
            if standing.repeats(base):
                verdict.same += 1
                continue
            one = next(one for one in distinct if one is standing or standing.repeats(one))
            test = next(
                (contrast.decisive for contrast in contrasts if contrast.first is base and contrast.second is one), None
            )
            if test is None:
                verdict.untested += 1
                continue
            verdict.tests.append((contest, test))
            if not test.beyond_chance:
                verdict.alike += 1
            elif contest.measure.better(test.difference.mean):
                verdict.better += 1
            else:
                verdict.worse += 1
    return verdicts


def verdict_words(contrasts: Sequence[Contrast], effects: int) -> list[str]:
    """How many comparisons of a report are beyond chance, and by which tests."""
    beyond = sum(contrast.decisive.beyond_chance for contrast in contrasts)
    tests = ", ".join(dict.fromkeys(contrast.decisive.name for contrast in contrasts))
    are = "is" if beyond < 2 else "are"
    verdict = (
        f"The two {'differ' if beyond else 'are not told apart'} at the 5 % level ({tests})."
        if len(contrasts) + effects == 1
        else f"{beyond or 'None'} of {len(contrasts)} comparisons {are} beyond chance at the 5 % level ({tests}; "
        f"Holm's correction for all {len(contrasts) + effects}{' with the single settings' if effects else ''})."
    )
    seeds = all(contrast.decisive.name == OVER_SEEDS for contrast in contrasts)
    return [verdict] if seeds else [verdict, "A test that is not over seeds says nothing about other seeds."]


def declared_headline(tests: Sequence[DeclaredTest], declared: int) -> list[str]:
    """Two sentences on the contrasts that a study declares."""
    if not tests:
        return [f"{count_words(declared, 'declared contrast')}, and none can be tested yet: each arm needs two seeds."]
    if len(tests) == 1:
        return [tests[0].words]
    groups: dict[str, list[str]] = {}
    for test in tests:
        groups.setdefault(test.verdict, []).append(test.label)
    clauses = "; ".join(f"{words}: {_names(labels)}" for words, labels in sorted(groups.items()))
    largest = max(tests, key=lambda test: abs(test.difference.mean))
    return [
        f"{clauses[0].upper()}{clauses[1:]}.",
        f"The largest of these differences is {largest.label}: {largest.measure.difference(largest.difference)}, "
        f"{p_words(largest.adjusted)}.",
    ]


def of_two_seeds(contests: Sequence[Contest]) -> list[str]:
    """A sentence on the arms that have no third seed; none where all have one."""
    standings = [standing for contest in contests for standing in contest.standings]
    few = list(dict.fromkeys(standing.label for standing in standings if len(standing.runs) == 2))
    if not few:
        return []
    return [f"Two seeds hardly show a spread: no conclusion rests on intervals and tests of {_names(few)}."]


def _words(verdict: Verdicts) -> str:
    """`better` of one contest; of several `better at 2 of 4 settings`."""
    of = f" of {verdict.contests} settings" if verdict.contests > 1 else ""
    counts = {"better": verdict.better, "worse": verdict.worse}
    told = " and ".join(f"{word} at {count}{of}" if of else word for word, count in counts.items() if count)
    if told:
        return f"{told} beyond chance"
    if verdict.same == verdict.contests:
        return "the same run for run"
    if verdict.alike:
        return "not told apart"
    return "without a test (too few seeds)" if verdict.untested else "the same run for run"


def _names(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`; of many the first."""
    if len(names) > MOST_NAMED:
        return f"{', '.join(names[:MOST_NAMED])} and {len(names) - MOST_NAMED} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
