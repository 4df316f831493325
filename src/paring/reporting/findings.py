"""The findings of run and study folders, and the answer in words, made from their numbers alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from paring.maths.estimates import paired_t, unpaired_difference
from paring.maths.seeds import accuracy_difference
from paring.reporting.contests import Contest, Measure, Standing, contests_of, counted
from paring.reporting.contrasts import (
    Contrast,
    Effect,
    contrasts_of,
    effects_of,
    one_family,
)
from paring.reporting.declared import DeclaredTest, declared_passage, tests_of
from paring.reporting.differing import written
from paring.reporting.gathering import Arm, Gathered, gather
from paring.reporting.headline import MOST_NAMED, declared_headline, headline, of_two_seeds, verdict_words
from paring.reporting.passages import Passage
from paring.reporting.runs import RunRecord, finite
from paring.runtime.text import count_words, one_line, p_words, visible

LONGEST_WORDS = 600
"""Characters of a run's own words on its collapse."""
ALIKE = 0.02
"""Budgets that differ by a smaller share are the same: runs of one arm redraw a few problems more or less."""


@dataclass(frozen=True)
class Findings:
    """All findings of run and study folders, computed once, before any layout."""

    gathered: Gathered
    contests: list[Contest]
    contrasts: list[Contrast]
    effects: list[Effect]
    declared: list[DeclaredTest] = field(default_factory=list)

    @cached_property
    def answer(self) -> list[Passage]:
        """The answer in a passage or two, and what is missing: of several arms, in two sentences."""
        passages = []
        if not self.contests:
            none = "No run has come to its end: there is no result to report yet."
            passages.append(Passage(sentences=[none, *_so_far(self.gathered)], tone="lead"))
        elif self.gathered.declared:
            told = declared_headline(self.declared, len(self.gathered.declared))
            passages.append(Passage(sentences=told, tone="lead"))
        elif self.is_of_several:
            told = headline(self.contests, self.contrasts, len(self.effects), self.gathered.baseline)
            passages.append(Passage(sentences=told, tone="lead"))
        else:
            for contest in self.contests:
                first, *others = _of_one(contest.standings[0])
                passages += [Passage(contest.title, [first], tone="lead"), Passage(sentences=others)]
        passages.append(Passage(sentences=of_two_seeds(self.contests) if self.is_of_several else []))
        if fallen := [arm for arm in self.gathered.arms if any(run.collapse for run in arm.runs)]:
            shares = [f"{arm.full_label} in {_collapsed(arm)}" for arm in fallen]
            passages.append(Passage(sentences=[f"Collapsed: {_some(shares)}."]))
        count = sum(run.result is None for run in self.gathered.runs) + len(self.gathered.missing)
        if count:
            runs = "1 run has no result and is" if count == 1 else f"{count} runs have no result and are"
            passages.append(Passage(sentences=[f"Missing: {runs} in no mean; see the list of runs below."]))
        return [passage for passage in passages if passage]

    @cached_property
    def details(self) -> list[Passage]:
        """What the answer rests on, in words: contest by contest; then single settings and collapses."""
        passages = [Passage(sentences=verdict_words(self.contrasts, len(self.effects)))] if self.contrasts else []
        if self.gathered.declared:
            passages = [declared_passage(self.declared, len(self.gathered.declared))]
        for contest in self.contests if self.is_of_several else ():
            within = [contrast for contrast in self.contrasts if contrast.contest is contest]
            told = [] if self.gathered.declared else _differences(contest, within)
            passages.append(Passage(contest.title, [_ranking(contest), *told, *budget_words(contest)]))
        return [*passages, *_effects(self.effects), *_collapses(self.gathered)]

    @property
    def is_of_several(self) -> bool:
        """Whether arms meet in a contest."""
        return any(len(contest.standings) > 1 for contest in self.contests)


def find(folders: Sequence[Path]) -> Findings:
    """The findings in these run and study folders. Raises ValueError where there is nothing to report on."""
    gathered = gather(folders)
    contests = contests_of(gathered)
    if gathered.declared:
        return Findings(gathered, contests, [], [], tests_of(gathered.declared, contests))
    contrasts, effects = one_family(contrasts_of(contests), effects_of(gathered, contests))
    return Findings(gathered, contests, contrasts, effects)


def as_lines(passages: Sequence[Passage]) -> list[str]:
    """For a terminal: a title, and its sentences below it, harmless."""
    lines = []
    for passage in passages:
        lines += [visible(passage.title)] if passage.title else []
        lines += [("  " if passage.title else "") + visible(sentence) for sentence in passage.sentences]
    return lines


def collapse_words(run: RunRecord) -> str:
    """The run's own words on its collapse, on one line."""
    collapse = run.collapse or {}
    step = finite(collapse.get("step"))
    words = one_line(str(collapse.get("words") or collapse.get("kind") or "no words"), LONGEST_WORDS)
    return f"seed {run.seed}" + (f", step {step:.0f}" if step is not None else "") + f": {words}"


def _ranking(contest: Contest) -> str:
    """All arms from the best, or the best and the last where there are many."""
    ordered = sorted(contest.standings, key=lambda standing: standing.mean, reverse=contest.measure.accuracy)
    if len(ordered) <= MOST_NAMED:
        return "; ".join(standing.words for standing in ordered) + "."
    return f"Best of {len(ordered)}: {ordered[0].words}; last: {ordered[-1].words}."


def _differences(contest: Contest, contrasts: Sequence[Contrast]) -> list[str]:
    """The first arm, which is the baseline where it has a result, beside each other one; and how the others stand to
    each other."""
    same = [
        f"The same as {standing.label} in every run, and one arm with it in the tests: "
        f"{_some([copy.label for copy in copies])}."
        for standing in contest.distinct
        if (copies := contest.copies(standing))
    ]
    if not contrasts:
        if same and len(contest.distinct) == 1:
            return same
        return [*same, "These runs cannot show whether they differ beyond chance: repeat each with two seeds or more."]
    one = contest.standings[0]
    ordered = sorted(contrasts, key=lambda contrast: -abs(contrast.decisive.difference.mean))
    apart, alike, near, others = [], [], [], []
    for contrast in ordered:
        test = contrast.decisive
        if contrast.first is not one and contrast.second is not one:
            others.append(test.beyond_chance)
            continue
        label = (contrast.second if contrast.first is one else contrast.first).label
        difference = test.difference if contrast.first is one else test.difference.turned
        words = f"{label} {contest.measure.difference(difference)}, {p_words(test.adjusted)}"
        if test.beyond_chance:
            apart.append(words)
        elif test.identical:
            alike.append(label)
        else:
            near.insert(0, words)
    sentences = {
        f"Beyond chance, beside {one.label}: {_some(apart)}.": apart,
        f"The same as {one.label} in every pair: {_some(alike)}.": alike,
        f"Not told apart from {one.label}: {_some(near)}. This does not show them equal: see the intervals.": near,
        f"Beyond chance among the other {len(others)} comparisons here: {sum(others)}.": len(others) > 1,
    }
    return [*same, *(sentence for sentence, needed in sentences.items() if needed)]


def _some(words: Sequence[str]) -> str:
    more = len(words) - MOST_NAMED
    return "; ".join(words[:MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


def budget_words(contest: Contest) -> list[str]:
    """A sentence where the arms did not sample as many answers: a comparison by steps is then none by budget."""
    known = {one.label: count for one in contest.standings if (count := one.sampled) is not None}
    if not known or max(known.values()) <= min(known.values()) * (1 + ALIKE):
        return []
    arms: dict[str, list[str]] = {}
    for label, count in sorted(known.items(), key=lambda item: -item[1]):
        arms.setdefault(f"{count:,.0f}", []).append(label)
    budgets = "; ".join(f"{', '.join(labels)} {count}" for count, labels in arms.items())
    return [f"The budgets differ: answers sampled in training, a run: {budgets}."]


def _of_one(standing: Standing) -> list[str]:
    """From before to after training."""
    measure, before = standing.measure, standing.before
    if before is None:
        return [standing.words + "."]
    change = standing.mean - before
    verb = "is unchanged" if change == 0 else "improved" if measure.better(change) else "got worse"
    after, runs = measure.with_interval(standing.mean, standing.interval), count_words(len(standing.runs), "run")
    words = f"{measure.value(before)} -> {after} ({runs}), {measure.change(change)}"
    return [f"{standing.label} {verb}: {words}.", *_gain(standing)]


def _gain(standing: Standing) -> list[str]:
    """Whether the change could be chance: over seeds, or of a single run over its problems."""
    measure, runs = standing.measure, list(standing.runs.values())
    if len(runs) > 1:
        before = [value for run in runs if (value := standing.value(run, "before")) is not None]
        if len(before) < len(runs):
            return []
        after = list(standing.values.values())
        gain = accuracy_difference(before, after, standing.problems) if measure.accuracy else paired_t(before, after)
        return [f"Over seeds that change is {measure.changes(gain.interval)}, {p_words(gain.p)} (paired t)."]
    first, last = (counted(runs[0].evaluation(when)) for when in ("before", "after"))
    if first is None or last is None:
        return []
    gain = unpaired_difference(*first, *last)
    return [
        f"The interval of that change is {measure.changes(gain.interval)}. It takes the problems before and "
        "after for different ones; they are the same, so it is conservative. One run says nothing about other seeds."
    ]


def _effects(effects: Sequence[Effect]) -> list[Passage]:
    """Measure by measure, the largest first: `objective.std true -> false: +1.2 points [-0.5, +2.9], p = 0.12, ...`"""
    sentences: dict[Measure, list[str]] = {effect.measure: [] for effect in effects}
    for effect in sorted(effects, key=lambda effect: -abs(effect.difference.mean)):
        change = f"{effect.measure.difference(effect.difference)}, {p_words(effect.adjusted)}"
        setting, pairs = f"{written(effect.key)} {' -> '.join(effect.values)}", count_words(len(effect.pairs), "pair")
        sentences[effect.measure].append(f"{setting}: {change}, over {pairs} of arms.")
    return [
        Passage(f"{measure.name}: single settings, all else the same", told[:MOST_NAMED])
        for measure, told in sentences.items()
    ]


def _so_far(gathered: Gathered) -> Iterator[str]:
    """The last training reward of each run, of a few."""
    for arm in gathered.arms[:MOST_NAMED]:
        run, rewards = arm.first, list(arm.first.series("reward"))
        reward = f", reward {rewards[-1][1]:.3g}" if rewards else ""
        yield f"{arm.full_label}: step {run.step} of {run.steps}{reward}."


def _collapses(gathered: Gathered) -> list[Passage]:
    """Nothing where the runs kept no watch for it."""
    watched = [run for run in gathered.runs if run.collapse or "collapse" in (run.result or {}) or run.fell is not None]
    sentences = []
    for arm in gathered.arms:
        if collapsed := [run for run in arm.runs if run.collapse]:
            sentences.append(f"{arm.full_label}: {_collapsed(arm)}; {collapse_words(collapsed[0])}")
    none = f"None, in {count_words(len(watched), 'run')} that watched for it."
    return [Passage("Collapses", sentences or [none])] if watched else []


def _collapsed(arm: Arm) -> str:
    """`2 of 5 runs`"""
    return f"{sum(bool(run.collapse) for run in arm.runs)} of {count_words(len(arm.runs), 'run')}"
