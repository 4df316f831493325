"""The section of results: means, comparisons, single settings, collapses, tuned values."""

from collections.abc import Sequence

from paring.maths.estimates import Difference
from paring.reporting.chart import strips_of
from paring.reporting.contests import Contest, Measure
from paring.reporting.contrasts import Contrast, Effect, Pair
from paring.reporting.declared import declared_table
from paring.reporting.differing import setting_words, written
from paring.reporting.findings import Findings, collapse_words
from paring.reporting.gathering import Gathered
from paring.reporting.passages import Passage
from paring.reporting.sampled_answers import sampled_table
from paring.runtime.tables import Table
from paring.runtime.text import count_words, p_words, percent

MOST_OPEN, MOST_COLLAPSES_OPEN = 15, 6
"""Rows of a table of comparisons, and of one of collapses, that stand open."""


def result_passages(findings: Findings) -> list[Passage]:
    """Nothing where no run has come to its end."""
    if not findings.contests:
        return []
    passages = [declared_table(findings.declared)]
    for contest in findings.contests:
        passages.append(Passage(contest.title, table=_means(contest), strips=strips_of(contest)))
        passages.append(Passage(table=sampled_table(contest)))
        within = [contrast for contrast in findings.contrasts if contrast.contest is contest]
        fold = f"{count_words(len(within), 'comparison')}, second less first"
        if within or not findings.gathered.declared:
            passages.append(Passage(table=_comparisons(contest, within), fold=fold, unfolded=len(within) <= MOST_OPEN))
    for measure in dict.fromkeys(effect.measure for effect in findings.effects):
        title = f"{measure.name}: single settings, all else the same"
        passages.append(Passage(title, table=effect_table(measure, findings.effects)))
    return [*passages, _collapses(findings.gathered), _tuned(findings.gathered)]


def _means(contest: Contest) -> Table:
    head = ("arm", "mean", "95 % interval", "runs", "before", "tokens", "cut off", "answers sampled", "collapsed")
    rows = []
    for standing in contest.standings:
        measure, before, sampled = standing.measure, standing.before, standing.sampled
        length, truncated = (standing.mean_of("after", name) for name in ("length", "truncated"))
        collapsed = sum(bool(run.collapse) for run in standing.arm.runs)
        rows.append(
            [
                standing.label,
                measure.value(standing.mean),
                measure.interval(standing.interval),
                f"{len(standing.runs)}",
                "" if before is None else measure.value(before),
                "" if length is None else f"{length:.1f}",
                "" if truncated is None else f"{percent(truncated)} %",
                "" if sampled is None else f"{sampled:,.0f}",
                f"{collapsed}" if collapsed else "",
            ]
        )
    return Table(head, rows, f"Results: {contest.title}")


def _comparisons(contest: Contest, contrasts: Sequence[Contrast]) -> Table:
    """The tests of a contest; those beyond chance stand out."""
    head = ("pair", "difference", "95 % interval", "p", "p (Holm)", "n", "test", "over problems")
    strong = frozenset(number for number, contrast in enumerate(contrasts) if contrast.decisive.beyond_chance)
    rows = [
        [
            f"{contrast.second.label} - {contrast.first.label}",
            *_change(contest.measure, contrast.decisive.difference),
            _p(contrast.decisive.difference.p),
            _p(contrast.decisive.adjusted),
            " + ".join(map(str, contrast.decisive.counts)),
            contrast.decisive.name,
            contest.measure.changes(contrast.items.difference.interval) if contrast.items else "",
        ]
        for contrast in contrasts
    ]
    return Table(head, rows, f"Comparisons: {contest.title}", words=frozenset({6}), strong=strong)


def effect_table(measure: Measure, effects: Sequence[Effect]) -> Table:
    """The effects on one measure: over all pairs of arms, then each pair, without a test of its own."""
    rows: list[list[str]] = []
    strong = set()
    for effect in (effect for effect in effects if effect.measure == measure):
        strong |= {len(rows)} if effect.beyond_chance else set()
        several = len(effect.pairs) > 1
        arms = f"{len(effect.pairs)} pairs" if several else _pair_words(effect.pairs[0])
        change = f"{written(effect.key)} {' -> '.join(effect.values)}, {arms}"
        tested = _p(effect.difference.p), _p(effect.adjusted), f"{effect.runs}"
        rows.append([change, *_change(measure, effect.difference), *tested])
        for pair in effect.pairs if several else ():
            own = effect.by_pair(pair)
            rows.append([_pair_words(pair), *(_change(measure, own) if own else ("", "")), "", "", ""])
    head = ("setting, pairs of arms", "difference", "95 % interval", "p", "p (Holm)", "runs")
    return Table(head, rows, f"Single settings: {measure.name}", strong=frozenset(strong))


def _pair_words(pair: Pair) -> str:
    """`rgra`, where both are that arm at two settings; else both names."""
    first, second = (standing.arm for standing in pair)
    return first.label if first.label == second.label else f"{first.label} -> {second.label}"


def _change(measure: Measure, difference: Difference) -> tuple[str, str]:
    """A difference and its interval, the unit left to the head of the table."""
    return measure.change(difference.mean, unit=False), measure.changes(difference.interval)


def _p(p: float) -> str:
    return p_words(p).removeprefix("p = ").removeprefix("p ")


def _collapses(gathered: Gathered) -> Passage:
    """Every run that collapsed, in its own words."""
    rows = [[arm.full_label, collapse_words(run)] for arm in gathered.arms for run in arm.runs if run.collapse]
    table = Table(("arm", "words of the run"), rows, "Collapses", words=frozenset({1}))
    fold = f"{count_words(len(rows), 'run')}, each in its own words"
    return Passage("Collapses", table=table, fold=fold, unfolded=len(rows) <= MOST_COLLAPSES_OPEN)


def _tuned(gathered: Gathered) -> Passage:
    rows = [
        [
            f"{tuned.arm} ({setting_words(tuned.setting)})" if tuned.setting else tuned.arm,
            tuned.choice,
            ", ".join(f"{value}: {score:.3f}" for value, score in tuned.scores.items()),
        ]
        for tuned in gathered.tuned
    ]
    title = "Chosen on the validation split"
    head = ("arm", "chosen", "scores on the validation split")
    return Passage(title, table=Table(head, rows, title, words=frozenset({1, 2})))
