"""The section of results: means, comparisons, single settings, collapses, tuned values."""

from collections.abc import Sequence

from paring.maths.estimates import Difference
from paring.reporting.contests import Contest, Measure
from paring.reporting.contrasts import Contrast, Effect, Pair, Tested
from paring.reporting.declared import declared_table
from paring.reporting.differing import setting_words, written
from paring.reporting.findings import Findings, collapse_words
from paring.reporting.gathering import Gathered
from paring.reporting.passages import Passage
from paring.reporting.sampled_answers import sampled_table
from paring.runtime.tables import Table
from paring.runtime.text import count_words, p_words, percent

MOST_OPEN = 6
"""Rows of a table of comparisons, and of one of collapses, that stand open."""
SAMPLED = "Several sampled answers a problem: pass@k, entropy, KL, length"


def result_passages(findings: Findings) -> list[Passage]:
    """Nothing where no run has come to its end."""
    if not findings.contests:
        return []
    passages = [declared_table(findings.declared)]
    for contest in findings.contests:
        within = [contrast for contrast in findings.contrasts if contrast.contest is contest]
        passages.append(Passage(contest.title, table=_means(contest, within)))
        passages.append(Passage(table=sampled_table(contest), fold=SAMPLED, unfolded=False))
        fold = f"{count_words(len(within), 'comparison')}, second less first"
        if within or not findings.gathered.declared:
            few = len(within) <= MOST_OPEN and len(findings.contests) == 1
            passages.append(Passage(table=_comparisons(contest, within), fold=fold, unfolded=few))
    for measure in dict.fromkeys(effect.measure for effect in findings.effects):
        title = f"{measure.name}: single settings, all else the same"
        table = effect_table(measure, findings.effects)
        fold = f"{count_words(len(table.rows), 'difference')}, each setting and each pair of arms"
        passages.append(Passage(title, table=table, fold=fold, unfolded=len(table.rows) <= MOST_OPEN))
    return [*passages, _collapses(findings.gathered), _tuned(findings.gathered)]


def _means(contest: Contest, contrasts: Sequence[Contrast]) -> Table:
    """The arms, with what each differs in from the first; those that differ beyond chance stand out."""
    base = contest.standings[0]
    tests = {
        copy.label: contrast.decisive
        for contrast in contrasts
        for copy in (contrast.second, *contest.copies(contrast.second))
        if contrast.first is base
    }
    less, strong = f"less {base.label}", {label for label, test in tests.items() if test.beyond_chance}
    tail = ("runs", "before", "tokens", "cut off", "answers sampled", "collapsed")
    rows = []
    for standing in contest.standings:
        measure, before, sampled = standing.measure, standing.before, standing.sampled
        length, truncated = (standing.mean_of("after", name) for name in ("length", "truncated"))
        collapsed = sum(bool(run.collapse) for run in standing.arm.runs)
        test = tests.get(standing.label)
        same = standing is not base and standing.repeats(base)
        rows.append(
            [
                standing.label,
                measure.value(standing.mean),
                measure.change(test.difference.mean, unit=False) if test else "the same" if same else "",
                _p(test.adjusted) if test else "",
                measure.interval(standing.interval),
                f"{len(standing.runs)}",
                "" if before is None else measure.value(before),
                "" if length is None else f"{length:.1f}",
                "" if truncated is None else f"{percent(truncated)} %",
                "" if sampled is None else f"{sampled:,.0f}",
                f"{collapsed}" if collapsed else "",
            ]
        )
    stands_out = frozenset(number for number, row in enumerate(rows) if row[0] in strong)
    head = ("arm", "mean", less, "p (Holm)", "95 % interval", *tail)
    return Table(head, rows, f"Results: {contest.title}", strong=stands_out)


def _comparisons(contest: Contest, contrasts: Sequence[Contrast]) -> Table:
    """The tests of a contest; those beyond chance stand out."""
    head = ("pair", "difference", "p (Holm)", "95 % interval", "p", "n", "test", "over problems")
    strong = frozenset(number for number, contrast in enumerate(contrasts) if contrast.decisive.beyond_chance)
    rows = [
        [
            f"{contrast.second.label} - {contrast.first.label}",
            *_tested(contest.measure, contrast.decisive),
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
        rows.append([change, *_tested(measure, effect), f"{effect.runs}"])
        for pair in effect.pairs if several else ():
            own = effect.by_pair(pair)
            mean, interval = _change(measure, own) if own else ("", "")
            rows.append([_pair_words(pair), mean, "", interval, "", ""])
    head = ("setting, pairs of arms", "difference", "p (Holm)", "95 % interval", "p", "runs")
    return Table(head, rows, f"Single settings: {measure.name}", strong=frozenset(strong))


def _pair_words(pair: Pair) -> str:
    """`rgra`, where both are that arm at two settings; else both names."""
    first, second = (standing.arm for standing in pair)
    return first.label if first.label == second.label else f"{first.label} -> {second.label}"


def _tested(measure: Measure, tested: Tested) -> tuple[str, str, str, str]:
    """A difference, the p that decides, the interval, and the p before correction."""
    change, interval = _change(measure, tested.difference)
    return change, _p(tested.adjusted), interval, _p(tested.difference.p)


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
    return Passage("Collapses", table=table, fold=fold, unfolded=len(rows) <= MOST_OPEN)


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
    table = Table(head, rows, title, words=frozenset({1, 2}))
    return Passage(title, table=table, fold=count_words(len(rows), "choice"), unfolded=len(rows) <= MOST_OPEN)
