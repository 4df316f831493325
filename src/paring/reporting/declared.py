"""The contrasts that a study declares, tested: its only tests, and one family."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from paring.maths.estimates import Difference, holm
from paring.maths.seeds import Weighed, possible, weighed
from paring.reporting.contests import Contest, Measure
from paring.reporting.contrasts import LEVEL
from paring.reporting.gathering import Declared
from paring.reporting.passages import Passage
from paring.runtime.tables import Table
from paring.runtime.text import count_words, p_words, points

HEAD = ("contrast", "difference", "p (Holm)", "95 % interval", "p", "degrees", "within the margin", "p (Holm)")


@dataclass(frozen=True)
class DeclaredTest:
    """A declared contrast at one setting. adjusted: the p of "there is none" among all tests of the study;
    `equivalent`: that of "it lies beyond the margin", None where no margin is declared."""

    declared: Declared
    measure: Measure
    setting: str
    weighed: Weighed
    adjusted: float = 1.0
    equivalent: float | None = None

    @property
    def difference(self) -> Difference:
        """That of accuracies is cut to what is possible; an interaction is the difference of two differences."""
        found = self.weighed.difference
        return possible(found, most=2.0 if self.declared.interaction else 1.0) if self.measure.accuracy else found

    @property
    def label(self) -> str:
        return f"{self.declared.name} ({self.setting})" if self.setting else self.declared.name

    @property
    def verdict(self) -> str:
        """The conclusion in words."""
        if self.adjusted < LEVEL:
            return "beyond chance"
        if self.declared.margin is not None and self.equivalent is not None and self.equivalent < LEVEL:
            return f"shown to lie within {points(self.declared.margin).lstrip('+')} points"
        return "not shown either way"

    @property
    def words(self) -> str:
        found = f"{self.measure.difference(self.difference)}, {p_words(self.adjusted)}"
        return f"{self.label}: {found}: {self.verdict}."


def tests_of(declared: Sequence[Declared], contests: Sequence[Contest]) -> list[DeclaredTest]:
    """Every declared contrast at every setting at which all of its arms have two seeds or more; corrected together for
    their number, tests of equivalence among them (Holm 1979)."""
    tests = []
    for one in declared:
        for contest in contests:
            if not set(one.at) <= set(contest.setting.split(", ")):
                continue
            values = {standing.label: list(standing.values.values()) for standing in contest.standings}
            if any(len(values.get(arm, ())) < 2 for arm in (*one.more, *one.less)):
                continue
            halves = (1 if one.interaction else 1 / len(one.more)), (1 if one.interaction else 1 / len(one.less))
            arms = [(halves[0], values[arm]) for arm in one.more] + [(-halves[1], values[arm]) for arm in one.less]
            problems = contest.standings[0].problems if contest.measure.accuracy else None
            if (found := weighed(arms, problems)) is not None:
                tests.append(DeclaredTest(one, contest.measure, contest.setting, found))
    equivalences = [
        None if test.declared.margin is None else test.weighed.equivalence(test.declared.margin) for test in tests
    ]
    family = [test.difference.p for test in tests] + [p for p in equivalences if p is not None]
    adjusted = iter(holm(family))
    tests = [replace(test, adjusted=next(adjusted)) for test in tests]
    return [
        test if p is None else replace(test, equivalent=next(adjusted))
        for test, p in zip(tests, equivalences, strict=True)
    ]


def declared_passage(tests: Sequence[DeclaredTest], declared: int) -> Passage:
    """The answer of a study that declares its contrasts."""
    if not declared:
        return Passage()
    count = sum(1 + (test.equivalent is not None) for test in tests)
    tested = count_words(count, "test") if count > 1 else "only test"
    note = f"The study declares its contrasts; they are its {tested} (Welch's, over seeds not paired; Holm)."
    none = "None of them can be tested yet: each of its arms needs two finished seeds."
    return Passage("Declared contrasts", [note, *[test.words for test in tests]] if tests else [none])


def declared_table(tests: Sequence[DeclaredTest]) -> Passage:
    rows = [
        [
            test.label,
            test.measure.change(test.difference.mean, unit=False),
            _p(test.adjusted),
            test.measure.changes(test.difference.interval),
            _p(test.difference.p),
            f"{test.weighed.degrees}",
            "" if test.declared.margin is None else f"{100 * test.declared.margin:g}",
            "" if test.equivalent is None else _p(test.equivalent),
        ]
        for test in tests
    ]
    strong = frozenset(number for number, test in enumerate(tests) if test.adjusted < LEVEL)
    title = "Declared contrasts"
    return Passage(title, table=Table(HEAD, rows, title, strong=strong) if rows else None)


def _p(p: float) -> str:
    return p_words(p).removeprefix("p = ").removeprefix("p ")
