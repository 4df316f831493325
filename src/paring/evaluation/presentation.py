"""Results as tables, and as a line a figure."""

from collections.abc import Iterator, Sequence

from paring.evaluation.benchmarks.benchmark import Flaw
from paring.evaluation.measuring import Evaluation
from paring.evaluation.request import Request
from paring.evaluation.results import SIZES, Results
from paring.runtime.tables import Table
from paring.runtime.text import percent, percent_interval, points, points_interval, visible

SHOWN = 5
"""Ids of problems in a note."""


def lines(results: Results) -> list[str]:
    """For a terminal: one task in words with its subjects and levels, several as tables."""
    if len(results.tasks) == 1 and results.request.compare is None:
        words = [visible(line) for line in [*_words(results.tasks[0].evaluation, results.request), *_notes(results)]]
        return [*words, *(line for table in _breakdowns(results) for line in ("", *table.as_text()))]
    return "\n\n".join("\n".join(table.as_text()) for table in _tables_of_all(results)).split("\n")


def tables(results: Results) -> list[Table]:
    """Accuracy of each task; the comparison; by subject, level or kind where a benchmark has them."""
    return [*_tables_of_all(results), *_breakdowns(results)]


def _tables_of_all(results: Results) -> list[Table]:
    request, titles = results.request, [task.about.title for task in results.tasks]
    evaluations = [task.evaluation for task in results.tasks]
    notes, how = list(_notes(results)), request.how
    shown = [_accuracies(titles, evaluations, f"{request.subject} ({how})", notes)]
    others = [task.other for task in results.tasks if task.other is not None]
    if others:
        shown += [_accuracies(titles, others, f"{request.compare} ({how})", notes), _comparisons(results)]
    classes = sorted({name for one in evaluations for name in one.verdicts})
    counts = [
        [title, *(str(one.verdicts.get(name, 0)) for name in classes)]
        for title, one in zip(titles, evaluations, strict=True)
    ]
    return [*shown, Table(["task", *classes], counts, f"verdicts: {request.subject}")]


def _accuracies(titles: Sequence[str], evaluations: Sequence[Evaluation], title: str, notes: Sequence[str]) -> Table:
    ks = sorted({k for one in evaluations for k in one.pass_at} - {1})
    several = [f"{kind}@{k} %" for k in ks for kind in ("pass", "maj")]
    accuracy = next(iter({one.accuracy_name for one in evaluations}))
    deviation = ["sd of a pass"] if accuracy != "accuracy" else []
    head = [
        "task",
        "problems",
        f"{accuracy} %",
        *deviation,
        *several,
        "cut off %",
        "no answer %",
        "tokens",
        "s an answer",
    ]
    rows = [
        [
            name,
            str(one.problems),
            f"{percent(one.accuracy)} {percent_interval(*one.interval)}",
            *([] if one.spread is None else [f"{100 * one.spread:.1f}"]),
            *(str(by[k]) for k in ks for by in (one.pass_at, one.maj_at)),
            percent(one.truncated),
            percent(one.no_answer),
            f"{one.length:.0f}",
            f"{one.seconds / (one.problems * one.samples):.2f}",
        ]
        for name, one in zip(titles, evaluations, strict=True)
    ]
    return Table(head, rows, title, notes)


def _comparisons(results: Results) -> Table:
    head = ["task", "problems", "difference, points", "only first", "only second", "p", "p (Holm)"]
    first, second = results.request.subject, results.request.compare
    notes = [
        f"first: {first}; second: {second}; difference: second less first, with its 95 % interval",
        "p: McNemar's exact test with one answer a problem, else Student's paired test over problems; "
        "Holm: adjusted for all tasks here",
        "n for d: problems needed to see a difference of d points in 4 of 5 cases at the 5 % level",
    ]
    rows = []
    for title, comparison in ((task.about.title, task.comparison) for task in results.tasks):
        if comparison is not None:
            pair = comparison.paired
            only = ["-" if count is None else str(count) for count in (pair.first_only, pair.second_only)]
            difference = f"{points(pair.difference)} {points_interval(pair.low, pair.high)}"
            ps = [f"{pair.p:.3g}", f"{comparison.p_holm:.3g}"]
            needed = [f"{pair.needed(size):,}" for size in SIZES]
            rows.append([title, str(pair.problems), difference, *only, *ps, *needed])
    return Table([*head, *(f"n for {100 * size:.0f}" for size in SIZES)], rows, "comparison, second less first", notes)


def _breakdowns(results: Results) -> Iterator[Table]:
    for task in results.tasks:
        for label, values in task.evaluation.by.items():
            rows = [[value or "-", str(part.problems), str(part)] for value, part in values.items()]
            yield Table([label, "problems", "accuracy %"], rows, f"{task.about.title} by {label}")


def _notes(results: Results) -> Iterator[str]:
    yield from results.notes
    for about, one in ((task.about, task.evaluation) for task in results.tasks):
        if about.style is not None:
            yield f"{one.task}: style {about.style}, {about.shots} shots, the first {one.problems} problems"
        cut_off = f"; {percent(one.truncated)} % of them were cut off there" if one.truncated else ""
        yield f"{one.task}: answers of at most {about.max_new_tokens:,} tokens{cut_off}"
        if about.too_long:
            first = ", ".join(about.too_long[:SHOWN])
            yield f"{one.task}: {len(about.too_long)} problems left out, too long for the context: {first}"
        if about.note:
            yield f"{one.task}: {about.note}"
        if about.mended:
            yield f"{one.task}: judged by a gold of ours: row {_rows(about.mended)}"
        if about.left_out:
            yield f"{one.task}: left out: row {_rows(about.left_out)}"
        if about.as_published:
            rows = ", ".join(str(flaw.row) for flaw in about.as_published)
            yield f"{one.task}: known to be broken, and kept as published: row {rows}"


def _rows(flaws: Sequence[Flaw]) -> str:
    return ", ".join(f"{flaw.row} ({flaw.reason})" for flaw in flaws)


def _words(one: Evaluation, request: Request) -> Iterator[str]:
    answers = f"{one.problems} problems" + (f" x {one.samples} answers" if one.samples > 1 else "")
    yield f"{one.task}: {one.accuracy_name} {one} on {answers} (test split, {request.drawn})"
    if one.spread is not None:
        yield f"single passes over the problems: standard deviation {100 * one.spread:.1f} points of accuracy"
    for k in sorted(one.pass_at.keys() - {1}):
        yield f"pass@{k} {one.pass_at[k]} %, maj@{k} {one.maj_at[k]} %"
    for name, share in one.traits.items():
        yield f"answers with {name.replace('_', ' ')}: {percent(share)} %"
    yield "verdicts: " + ", ".join(f"{number} {name}" for name, number in one.verdicts.items())
    lengths = {"right": one.length_correct, "wrong": one.length_wrong}
    means = ", ".join(f"{kind} {length:.1f}" for kind, length in lengths.items() if length is not None)
    yield f"mean length {one.length:.1f} tokens ({means}), cut off {percent(one.truncated)} %, {one.seconds:.1f} s"
