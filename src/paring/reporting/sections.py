"""The one list of sections that page and Markdown render."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

from paring.reporting.by_task import task_table
from paring.reporting.curve_passages import curve_passages
from paring.reporting.differing import NOT_A_DIFFERENCE, differing, setting_words, shared, written
from paring.reporting.exchanges import exchanges_of, first_and_last
from paring.reporting.findings import Findings
from paring.reporting.gathering import Gathered
from paring.reporting.means_figure import means_of
from paring.reporting.passages import Passage, Section
from paring.reporting.rank_grid import rank_pictures
from paring.reporting.result_passages import result_passages
from paring.reporting.runs import finite, mapping
from paring.runtime.tables import Table
from paring.runtime.text import count_words, percent
from paring.settings.recipes import flattened

POINTS, CHARACTERS = 60, 160_000
"""Points of a curve, and characters of all answers, on a page that has room for them."""
MOST_OPEN = 12
"""Runs, and lines on missing things, that stand open."""
OPEN_SAMPLES = 2
READING = [
    "Intervals are at 95 %. The interval of several runs is Student’s over seeds: it shows where the mean of many more "
    "seeds would lie, on the same test problems; other problems are not covered. The spread of an accuracy over seeds "
    "is taken as one test problem more or less at least. Intervals are cut at 0 and 100 %, those of differences at 100 "
    "points. The interval of a single run is over its problems: another seed may lie outside. The figure of the "
    "answer shows the mean (dot), its interval (line), the seeds (strokes) and the base (dashes), on one scale a "
    "benchmark.",
    "Differences are second less first, and a pair is written in that order. Two arms are compared over their seeds, "
    "which are not paired (Welch’s t), where each has two or more; else over the problems that both answered "
    "(McNemar’s exact test and Newcombe’s interval for two runs, paired t for several); else unpaired. “n” counts the "
    "runs of each arm, or the problems. Up to 12 arms each is compared with each; beyond that, each with "
    "the first. Arms whose runs are copies of each other are one arm in the tests. “p (Holm)” is corrected for the "
    "number of all tests of this report, comparisons and single settings together; below 0.05 a difference counts as "
    "beyond chance. Intervals over problems beside tests over seeds describe these runs, and are no test.",
    "Runs without a result count in the curves and nowhere else.",
]
READING_FOLD = "Intervals, tests, and what is left out"
SMALL = "To keep this page small, curves have fewer points and answers are cut shorter than usual."


def sections_of(findings: Findings, *, detail: float = 1.0) -> list[Section]:
    """The sections that have anything in them, with this share of the points of curves and of the text of answers."""
    gathered = findings.gathered
    reading = READING if detail == 1 else [*READING[:-1], f"{READING[-1]} {SMALL}"]
    means = means_of(findings.contests)
    figure = [Passage(figures=[means])] if means else []
    sections = [
        Section("answer", "Answer", [findings.answer[0], *figure, *findings.answer[1:]]),
        Section("words", "In words", findings.details, "Each setting, single settings and collapses, in sentences"),
        Section("results", "Results", result_passages(findings)),
        Section("tasks", "Tasks", _tasks(gathered)),
        Section("curves", "Curves", curve_passages(findings, max(2, round(detail * POINTS)))),
        Section("samples", "Samples", _samples(gathered, round(detail * CHARACTERS))),
        Section("ranks", "Ranks", _ranks(gathered)),
        Section("settings", "Settings", _settings(gathered)),
        Section("runs", "Runs", _runs(gathered)),
        Section("reading", "How to read this", [Passage(sentences=reading, tone="plain")], READING_FOLD),
    ]
    held = [replace(section, passages=[passage for passage in section.passages if passage]) for section in sections]
    return [section for section in held if section.passages]


def _tasks(gathered: Gathered) -> list[Passage]:
    """Each of several tasks apart, described and not tested."""
    note = (
        "Accuracies on the held-out problems of each task, means over an arm’s runs, with the interval of a single run "
        "over its problems; “change” is in points from before training. Reward and length are means of the last tenth "
        "of the steps that sampled the task."
    )
    table = task_table(gathered.arms)
    return [Passage(sentences=[note], table=table)] if table else []


def _samples(gathered: Gathered, characters: int) -> list[Passage]:
    answered = exchanges_of(gathered, characters=characters)
    waiting = first_and_last(gathered, characters=characters // 4)
    note = (
        "Answers to the first held-out problems: nobody chose them. Each arm shows its first finished run; arms that "
        "answer alike stand together. Invisible characters, and those that turn the direction of text, are written as "
        "escapes; “…” ends a text that was cut."
    )
    if not (answered or waiting):
        return []
    more = answered[OPEN_SAMPLES:]
    return [
        Passage(sentences=[note], figures=answered[:OPEN_SAMPLES]),
        Passage(figures=more, fold=count_words(len(more), "more problem"), unfolded=False),
        Passage("Training answers of arms without a result", figures=waiting),
    ]


def _ranks(gathered: Gathered) -> list[Passage]:
    pictures, missing = rank_pictures(gathered)
    note = "Final rank of each module, the mean where a layer has several of a type. Each arm shows its first run."
    return [Passage(sentences=[note] if pictures else [], figures=pictures), Passage(sentences=missing)]


def _settings(gathered: Gathered) -> list[Passage]:
    """For each arm the settings that set it apart from the others; and those that all runs share."""
    recipes = [arm.first.recipe for arm in gathered.arms]
    names = [name for name in differing(recipes) if name not in NOT_A_DIFFERENCE]
    places: dict[tuple[str, str], list[str]] = {}
    for arm, settings in zip(gathered.arms, map(flattened, recipes), strict=True):
        # What an arm's place says already is not repeated.
        own = {name: settings[name] for name in names if name in settings}
        words = [
            one for name, value in own.items() if (one := setting_words({name: value})) not in arm.place.split(", ")
        ]
        places.setdefault((arm.label, ", ".join(words)), []).append(arm.place)
    labels = [label for label, _ in places]
    rows = [
        [label if labels.count(label) == 1 else f"{label} ({'; '.join(where)})", words]
        for (label, words), where in places.items()
    ]
    title = "What differs between the arms"
    table = Table(("arm", "settings"), rows if names and len(rows) > 1 else [], title, words=frozenset({1}))
    same = [(written(name), written(value)) for name, value in shared([run.recipe for run in gathered.runs]).items()]
    fold = f"What all runs share: {count_words(len(same), 'setting')}"
    common = Table(("setting", "value"), same, fold, words=frozenset({1}))
    return [Passage(title, table=table), Passage(table=common, fold=fold, unfolded=False, narrow=True)]


def _runs(gathered: Gathered) -> list[Passage]:
    """Every run: how far it came, its result, and what its folder lacks; then what is missing, and versions."""
    rows: list[list[str]] = []
    versions: Counter[str] = Counter()
    for label, run in ((arm.full_label, run) for arm in gathered.arms for run in arm.runs):
        accuracy, loss = (finite(run.evaluation("after").get(name)) for name in ("accuracy", "loss"))
        result = "" if loss is None else f"{loss:.4f}"
        seconds, threads = (finite(run.ended(name)) for name in ("training_seconds", "threads"))
        rows.append(
            [
                written(Path(*run.folder.parts[-3:])),
                label,
                str(run.seed),
                run.state,
                result if accuracy is None else f"{percent(accuracy)} %",
                "" if seconds is None else f"{seconds:.0f} s",
                "; ".join(map(written, run.missing)),
            ]
        )
        made_with = [f"{written(name)} {written(version)}" for name, version in mapping(run.ended("versions")).items()]
        if made_with:
            versions[", ".join([*made_with, *([] if threads is None else [count_words(int(threads), "thread")])])] += 1
    head = ("run", "arm", "seed", "state", "result", "training", "missing")
    table = Table(head, rows, "Runs", words=frozenset({1, 3, 6}))
    missing = gathered.missing
    counts = [(words, str(count)) for words, count in versions.items()]
    return [
        Passage(table=table, fold=count_words(len(rows), "run"), unfolded=len(rows) <= MOST_OPEN),
        Passage(sentences=missing, fold=f"{len(missing)} missing", unfolded=len(missing) <= MOST_OPEN),
        Passage("Versions", table=Table(("versions", "runs"), counts, "Versions")),
    ]
