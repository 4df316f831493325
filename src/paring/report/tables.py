"""The tables of a report, as text in cells: the page and the Markdown write the same ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from paring.maths.estimates import Difference
from paring.ranks.words import one_line
from paring.report.answer import collapse_words, p_words
from paring.report.budget import sampled_by
from paring.report.comparing import Comparison
from paring.report.differing import ABSENT, NOT_A_DIFFERENCE, differing, setting_words, written
from paring.report.effects import Effect, Pair
from paring.report.gathering import Gathered
from paring.report.outcomes import Benchmark, Block, Standing
from paring.report.runs import RunRecord, finite
from paring.report.series import SHOWN, last_tenth
from paring.settings.recipes import flattened


@dataclass(frozen=True)
class Table:
    """`strong` are the numbers of the rows that stand out. The first cell of a row names it; `words` are the numbers
    of the other columns that hold words, not numbers."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    strong: frozenset[int] = frozenset()
    words: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.rows)

    @property
    def columns(self) -> list[int]:
        """The numbers of the columns that have any text below their head."""
        return [column for column in range(len(self.head)) if any(row[column] for row in self.rows)]


def standing_table(block: Block) -> Table:
    """The means of a block, with their intervals."""
    rows = tuple(_standing_row(standing) for standing in block.standings)
    return Table(
        ("arm", "mean", "95 % interval", "runs", "before", "tokens", "cut off", "answers sampled", "collapsed"), rows
    )


def comparison_table(block: Block, comparisons: Sequence[Comparison]) -> Table:
    """The tests of a block; those beyond chance stand out."""
    within = [comparison for comparison in comparisons if comparison.block is block]
    head = ("pair", "difference", "95 % interval", "p", "p (Holm)", "pairs", "test", "over problems", "p (Holm)")
    strong = frozenset(number for number, comparison in enumerate(within) if comparison.decisive.beyond_chance)
    return Table(head, tuple(map(_comparison_row, within)), strong, frozenset({6}))


def effect_tables(effects: Sequence[Effect]) -> dict[str, Table]:
    """What single settings do, by benchmark: over all pairs of arms, then each pair, without a test of its own."""
    head = ("setting, pairs of arms", "difference", "95 % interval", "p", "p (Holm)", "seeds")
    tables = {}
    for name in dict.fromkeys(effect.benchmark.name for effect in effects):
        rows: list[tuple[str, ...]] = []
        strong = set()
        for effect in (effect for effect in effects if effect.benchmark.name == name):
            strong |= {len(rows)} if effect.beyond_chance else set()
            rows += _effect_rows(effect)
        tables[name] = Table(head, tuple(rows), frozenset(strong))
    return tables


def curve_table(gathered: Gathered) -> Table:
    """Where the curves end: means of the last tenth of the steps, over the runs of an arm."""
    ends = {
        contender.full_label: [last_tenth(contender.arm.runs, metric) for metric in SHOWN]
        for contender in gathered.contenders
    }
    used = [number for number in range(len(SHOWN)) if any(values[number] is not None for values in ends.values())]
    titles = list(SHOWN.values())
    rows = tuple((label, *(_short(values[number]) for number in used)) for label, values in ends.items())
    return Table(("arm", *(titles[number] for number in used)), rows if used else ())


def collapse_table(gathered: Gathered) -> Table:
    """Every run that collapsed, in its own words."""
    rows = tuple(
        (contender.full_label, collapse_words(run))
        for contender in gathered.contenders
        for run in contender.arm.runs
        if run.collapse
    )
    return Table(("arm", "what the run said"), rows, words=frozenset({1}))


def tuning_table(gathered: Gathered) -> Table:
    """What was chosen on the validation split, from which scores."""
    rows = tuple(
        (
            f"{choice.arm} ({setting_words(choice.setting)})" if choice.setting else choice.arm,
            f"{choice.key} = {choice.value}",
            ", ".join(f"{value}: {score:.3f}" for value, score in choice.scores.items()),
        )
        for choice in gathered.choices
    )
    return Table(("arm", "chosen", "scores on the validation split"), rows, words=frozenset({1, 2}))


def settings_table(gathered: Gathered) -> Table:
    """What differs between the arms: a column a setting. Nothing where nothing does."""
    recipes = [contender.arm.first.recipe for contender in gathered.contenders]
    names = [name for name in differing(recipes) if name not in NOT_A_DIFFERENCE]
    told = [{name: written(value) for name, value in flattened(recipe).items()} for recipe in recipes]
    rows = tuple(
        (contender.full_label, *(settings.get(name, ABSENT) for name in names))
        for contender, settings in zip(gathered.contenders, told, strict=True)
    )
    return Table(("arm", *map(one_line, names)), rows if names else (), words=frozenset(range(1, len(names) + 1)))


def run_table(gathered: Gathered) -> Table:
    """Every run: how far it came, what it came to, and what its folder does not hold."""
    rows = tuple(
        (
            one_line(str(Path(*run.folder.parts[-3:]))),
            contender.full_label,
            str(run.seed),
            run.state,
            _result(run),
            _seconds(run),
            "; ".join(map(one_line, run.missing)),
        )
        for contender in gathered.contenders
        for run in contender.arm.runs
    )
    return Table(("run", "arm", "seed", "state", "result", "training", "missing"), rows, words=frozenset({1, 3, 6}))


def version_table(gathered: Gathered) -> Table:
    """The versions that runs were made with, and how many runs with each."""
    counts: dict[str, int] = {}
    for run in gathered.runs:
        result = run.result or {}
        versions, threads = result.get("versions"), finite(result.get("threads"))
        if isinstance(versions, dict):
            told = ", ".join(f"{one_line(str(name))} {written(version)}" for name, version in versions.items())
            told += f", {threads:.0f} thread{'' if threads == 1 else 's'}" if threads is not None else ""
            counts[told] = counts.get(told, 0) + 1
    return Table(("versions", "runs"), tuple((told, str(count)) for told, count in counts.items()))


def _standing_row(standing: Standing) -> tuple[str, ...]:
    benchmark, interval = standing.benchmark, standing.interval
    length, truncated = (standing.mean_of("after", name) for name in ("length", "truncated"))
    sampled = sampled_by(standing)
    collapsed = sum(bool(run.collapse) for run in standing.contender.arm.runs)
    return (
        standing.label,
        benchmark.value(standing.mean),
        benchmark.interval(interval) if interval else "",
        f"{len(standing.runs)}",
        "" if standing.before is None else benchmark.value(standing.before),
        "" if length is None else f"{length:.1f}",
        "" if truncated is None else f"{100 * truncated:.1f} %",
        "" if sampled is None else f"{sampled:,.0f}",
        f"{collapsed}" if collapsed else "",
    )


def _effect_rows(effect: Effect) -> list[tuple[str, ...]]:
    several = len(effect.pairs) > 1
    arms = f"{len(effect.pairs)} pairs" if several else _pair_words(effect.pairs[0])
    change = f"{one_line(effect.key)} {' -> '.join(effect.values)}, {arms}"
    tested = (_p(effect.difference.p), _p(effect.adjusted), f"{len(effect.seeds)}")
    single = [
        (_pair_words(pair), *_changes(effect.benchmark, effect.of(pair)), "", "", "")
        for pair in effect.pairs
        if several
    ]
    return [(change, *_changes(effect.benchmark, effect.difference), *tested), *single]


def _pair_words(pair: Pair) -> str:
    """`rgra`, where both are that arm at two settings; else both names."""
    first, second = (standing.contender for standing in pair)
    return first.label if first.label == second.label else f"{first.label} -> {second.label}"


def _changes(benchmark: Benchmark, difference: Difference) -> tuple[str, str]:
    """A difference and its interval, the unit left to the head of the table."""
    mean = benchmark.change(difference.mean).removesuffix(" points").removesuffix(" nats a token")
    return mean, benchmark.changes((difference.low, difference.high))


def _comparison_row(comparison: Comparison) -> tuple[str, ...]:
    benchmark, decisive, items = comparison.block.benchmark, comparison.decisive, comparison.items
    return (
        f"{comparison.first.label} - {comparison.second.label}",
        *_changes(benchmark, decisive.difference),
        _p(decisive.difference.p),
        _p(decisive.adjusted),
        f"{decisive.pairs}",
        decisive.name,
        benchmark.changes(items.interval) if items else "",
        _p(items.adjusted) if items else "",
    )


def _p(p: float) -> str:
    return p_words(p).removeprefix("p = ").removeprefix("p ")


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _result(run: RunRecord) -> str:
    after = run.evaluation("after")
    accuracy, loss = finite(after.get("accuracy")), finite(after.get("loss"))
    if accuracy is not None:
        return f"{100 * accuracy:.1f} %"
    return "" if loss is None else f"{loss:.4f}"


def _seconds(run: RunRecord) -> str:
    seconds = finite((run.result or {}).get("training_seconds"))
    return "" if seconds is None else f"{seconds:.0f} s"
