"""The answer of a report in words, made from its numbers alone."""

from collections.abc import Sequence
from dataclasses import dataclass

from paring.maths.estimates import paired_t, unpaired_difference
from paring.ranks.words import one_line
from paring.report.budget import budget_words
from paring.report.comparing import MOST_PAIRED, Comparison, counted
from paring.report.effects import Effect
from paring.report.gathering import Gathered
from paring.report.outcomes import Block, Standing
from paring.report.runs import RunRecord, finite
from paring.runtime.text import visible

LONGEST_WORDS = 600
"""Characters of what a run said of its collapse."""
MOST_NAMED = 6
"""Arms or pairs that a sentence names; the tables have all."""


@dataclass(frozen=True)
class Passage:
    """Sentences under a title, which may be empty."""

    title: str
    sentences: tuple[str, ...]


def answer(
    gathered: Gathered, blocks: Sequence[Block], comparisons: Sequence[Comparison], effects: Sequence[Effect]
) -> list[Passage]:
    """First what differs, block by block; then single settings, collapses, and what is not there."""
    passages = []
    if comparisons:
        passages.append(Passage("", _verdict(comparisons)))
    for block in blocks:
        within = [comparison for comparison in comparisons if comparison.block is block]
        lone = len(block.standings) == 1
        sentences = _of_one(block.standings[0]) if lone else _of_several(block, within)
        passages.append(Passage(block.title, tuple(sentences)))
    if not blocks:
        passages.append(
            Passage("", ("No run has come to its end: there is no result to report yet.", *_so_far(gathered)))
        )
    return [*passages, *_effects(effects), *filter(None, (_collapses(gathered), _unfinished(gathered)))]


def as_lines(passages: Sequence[Passage]) -> list[str]:
    """For a terminal: a title, and its sentences below it, harmless."""
    lines = []
    for passage in passages:
        lines += [visible(passage.title)] if passage.title else []
        lines += [("  " if passage.title else "") + visible(sentence) for sentence in passage.sentences]
    return lines


def p_words(p: float) -> str:
    """p < 0.001, p = 0.012, p = 0.34."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def collapse_words(run: RunRecord) -> str:
    """What the run itself said of its collapse, on one line."""
    collapse = run.collapse or {}
    step = finite(collapse.get("step"))
    said = " ".join(visible(str(collapse.get("words") or collapse.get("kind") or "no words"), LONGEST_WORDS).split())
    return f"seed {run.seed}" + (f", step {step:.0f}" if step is not None else "") + f": {said}"


def _verdict(comparisons: Sequence[Comparison]) -> tuple[str, ...]:
    beyond = sum(comparison.decisive.beyond_chance for comparison in comparisons)
    tests = ", ".join(dict.fromkeys(comparison.decisive.name for comparison in comparisons))
    are = "is" if beyond < 2 else "are"
    verdict = (
        f"The two {'differ' if beyond else 'are not told apart'} at the 5 % level ({tests})."
        if len(comparisons) == 1
        else f"{beyond or 'None'} of {len(comparisons)} comparisons {are} beyond chance at the 5 % level ({tests}; "
        f"Holm's correction for all {len(comparisons)})."
    )
    seeds = all(comparison.decisive.over_seeds for comparison in comparisons)
    return verdict, *(() if seeds else ("What is not tested over seeds says nothing of other seeds.",))


def _of_several(block: Block, comparisons: Sequence[Comparison]) -> list[str]:
    return [_ranking(block), *_differences(block, comparisons), *budget_words(block)]


def _ranking(block: Block) -> str:
    """All arms from the best, or the best and the last where there are many."""
    ordered = sorted(block.standings, key=lambda standing: standing.mean, reverse=block.benchmark.accuracy)
    if len(ordered) <= MOST_NAMED:
        return "; ".join(map(_standing, ordered)) + "."
    return f"Best of {len(ordered)}: {_standing(ordered[0])}; last: {_standing(ordered[-1])}."


def _standing(standing: Standing) -> str:
    interval = standing.interval
    ends = f" {standing.benchmark.interval(interval)}" if interval else ""
    return f"{standing.label} {standing.benchmark.value(standing.mean)}{ends} ({_runs(len(standing.runs))})"


def _differences(block: Block, comparisons: Sequence[Comparison]) -> list[str]:
    """The best arm beside each other one, where each was compared with each, else the first arm; and how the others
    stand to each other."""
    if not comparisons:
        return ["Whether they differ beyond chance these runs cannot say: repeat each with two seeds or more."]
    best = (max if block.benchmark.accuracy else min)(block.standings, key=lambda standing: standing.mean)
    one = best if len(block.standings) <= MOST_PAIRED else block.standings[0]
    beside = [comparison for comparison in comparisons if one is comparison.first or one is comparison.second]
    others = [comparison for comparison in comparisons if one is not comparison.first and one is not comparison.second]
    ordered = sorted(beside, key=lambda comparison: -abs(comparison.decisive.difference.mean))
    apart = [_other(comparison, one) for comparison in ordered if comparison.decisive.beyond_chance]
    alike = [comparison for comparison in ordered if comparison.decisive.identical]
    near = [
        _other(comparison, one)
        for comparison in reversed(ordered)
        if not comparison.decisive.beyond_chance and not comparison.decisive.identical
    ]
    beyond = sum(comparison.decisive.beyond_chance for comparison in others)
    sentences = {
        f"Beyond chance, beside {one.label}: {_some(apart)}.": apart,
        f"The same as {one.label} in every pair: {_some(_names(alike, one))}.": alike,
        f"Not told apart from {one.label}: {_some(near)}. This does not show them equal: see the intervals.": near,
        f"Of the other {len(others)} comparisons here {beyond} are beyond chance.": len(others) > 1,
    }
    return [sentence for sentence, said in sentences.items() if said]


def _names(comparisons: Sequence[Comparison], one: Standing) -> list[str]:
    """Of the other arms."""
    return [(found.second if found.first is one else found.first).label for found in comparisons]


def _other(comparison: Comparison, one: Standing) -> str:
    """The other arm of a comparison, with how far it stands from this one."""
    benchmark, test = comparison.block.benchmark, comparison.decisive
    change, interval, other = test.difference.mean, test.interval, comparison.first
    if other is one:
        change, interval, other = -change, (-interval[1], -interval[0]), comparison.second
    return f"{other.label} {benchmark.change(change)} {benchmark.changes(interval)}, {p_words(test.adjusted)}"


def _some(words: Sequence[str]) -> str:
    more = len(words) - MOST_NAMED
    return "; ".join(words[:MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _of_one(standing: Standing) -> list[str]:
    """From before to after training."""
    benchmark, before = standing.benchmark, standing.before
    if before is None:
        return [_standing(standing) + "."]
    change = standing.mean - before
    verb = "is unchanged" if change == 0 else "improved" if benchmark.better(change) else "got worse"
    ends = benchmark.interval(standing.interval) if standing.interval else ""
    after = f"{benchmark.value(before)} -> {benchmark.value(standing.mean)} {ends}".rstrip()
    return [
        f"{standing.label} {verb}: {after} ({_runs(len(standing.runs))}), {benchmark.change(change)}.",
        *_gain(standing),
    ]


def _gain(standing: Standing) -> list[str]:
    """Whether the change could be chance: over seeds, or of a single run over its problems."""
    benchmark, runs = standing.benchmark, list(standing.runs.values())
    if len(runs) > 1:
        before = [standing.value(run, "before") for run in runs]
        if None in before:
            return []
        gain = paired_t(list(standing.values.values()), before)
        return [f"Over seeds that change is {benchmark.changes((gain.low, gain.high))}, {p_words(gain.p)} (paired t)."]
    counts = [counted(runs[0].evaluation(when)) for when in ("after", "before")]
    if None in counts:
        return []
    (right, problems), (right_before, problems_before) = counts
    gain = unpaired_difference(right, problems, right_before, problems_before)
    return [
        f"The interval of that change is {benchmark.changes((gain.low, gain.high))}, taken as if before and after had "
        "been asked different problems: they were asked the same, so it is rather too wide. One run says nothing of "
        "other seeds."
    ]


def _effects(effects: Sequence[Effect]) -> list[Passage]:
    """What single settings do, benchmark by benchmark, the largest first."""
    ordered = sorted(effects, key=lambda effect: -abs(effect.difference.mean))
    passages = []
    for name in dict.fromkeys(effect.benchmark.name for effect in effects):
        sentences = [_effect(effect) for effect in ordered if effect.benchmark.name == name]
        passages.append(Passage(f"{name}: single settings, all else the same", tuple(sentences[:MOST_NAMED])))
    return passages


def _effect(effect: Effect) -> str:
    """`objective.std true -> false: +1.2 points [-0.5, +2.9], p = 0.12, over 4 pairs of arms.`"""
    difference, benchmark = effect.difference, effect.benchmark
    change = f"{benchmark.change(difference.mean)} {benchmark.changes((difference.low, difference.high))}"
    pairs = "1 pair" if len(effect.pairs) == 1 else f"{len(effect.pairs)} pairs"
    values = " -> ".join(effect.values)
    return f"{one_line(effect.key)} {values}: {change}, {p_words(effect.adjusted)}, over {pairs} of arms."


def _so_far(gathered: Gathered) -> list[str]:
    """The last training reward of each run, of a few."""
    return [
        f"{contender.full_label}: step {run.step} of {run.steps}"
        + (f", reward {reward[-1][1]:.3g}." if (reward := list(run.series("reward"))) else ".")
        for contender in gathered.contenders[:MOST_NAMED]
        for run in contender.arm.runs[:1]
    ]


def _collapses(gathered: Gathered) -> Passage | None:
    """Nothing where the runs kept no watch for it."""
    watched = [run for run in gathered.runs if run.collapse or "collapse" in (run.result or {})]
    if not watched:
        return None
    sentences = []
    for contender in gathered.contenders:
        runs = contender.arm.runs
        collapsed = [run for run in runs if run.collapse]
        if collapsed:
            sentences.append(
                f"{contender.full_label}: {len(collapsed)} of {_runs(len(runs))}; {collapse_words(collapsed[0])}"
            )
    return Passage("Collapses", tuple(sentences) or (f"None, in {_runs(len(watched))} that watched for it.",))


def _unfinished(gathered: Gathered) -> Passage | None:
    unfinished = [run for run in gathered.runs if run.result is None]
    count = len(unfinished) + len(gathered.missing)
    if not count:
        return None
    return Passage(
        "Not there", (f"{_runs(count)} without a result; no mean above counts them. The runs are listed below.",)
    )


def _runs(count: int) -> str:
    return f"{count} run{'' if count == 1 else 's'}"
