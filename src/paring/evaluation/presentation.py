"""Results as tables, and as a line a figure."""

from collections.abc import Iterator, Mapping

from paring.evaluation.comparison import SIZES, Comparison
from paring.evaluation.figures import Share, Summary
from paring.evaluation.results import Results
from paring.evaluation.tables import Table
from paring.runtime.text import visible


def lines(results: Results) -> list[str]:
    """For a terminal: one task in words with its subjects and levels, several as tables."""
    if len(results.summaries) == 1 and not results.comparison:
        task, summary = next(iter(results.summaries.items()))
        breakdowns = [table.as_text() for table in _breakdowns(results)]
        return [*map(visible, _in_words(results, task, summary)), *(f"\n{table}" for table in breakdowns)]
    return ["\n\n".join(table.as_text() for table in _tables_of_all(results))]


def tables(results: Results) -> list[Table]:
    """Accuracy of each task; the comparison; by subject, level or kind where a benchmark has them."""
    return [*_tables_of_all(results), *_breakdowns(results)]


def _tables_of_all(results: Results) -> list[Table]:
    found = [_accuracies(results, results.asked.subject, results.summaries)]
    if results.comparison:
        found.append(_accuracies(results, str(results.asked.compare), results.others))
        found.append(_comparisons(results))
    return [*found, _verdicts(results)]


def _accuracies(results: Results, who: str, summaries: Mapping[str, Summary]) -> Table:
    ks = sorted({k for summary in summaries.values() for k in summary.pass_at} - {1})
    header = ["task", "problems", "accuracy %", *(f"{kind}@{k} %" for k in ks for kind in ("pass", "maj"))]
    header += ["cut off %", "no answer %", "tokens", "s an answer"]
    rows = []
    for task, summary in summaries.items():
        several = [str(by[k]) if k in by else "-" for k in ks for by in (summary.pass_at, summary.maj_at)]
        answers = summary.problems * summary.samples
        cost = [f"{summary.length:.0f}", f"{summary.seconds / answers:.2f}"]
        failed = [_percent(summary.truncated), _percent(summary.no_answer)]
        title = results.about[task]["title"]
        rows.append([title, str(summary.problems), str(summary.accuracy), *several, *failed, *cost])
    return Table(f"{who} ({results.asked.how})", header, rows, list(_notes(results)))


def _comparisons(results: Results) -> Table:
    header = ["task", "problems", "difference, points", "only first", "only second", "p", "p (Holm)"]
    header += [f"n for {100 * size:.0f}" for size in SIZES]
    notes = [
        f"difference: {results.asked.subject} minus {results.asked.compare}, paired over problems, 95 % bootstrap",
        "p: McNemar's exact test with one answer a problem, else the bootstrap's; Holm: adjusted for all tasks here",
        "n for d: problems needed to see a difference of d points in 4 of 5 cases at the 5 % level",
    ]
    rows = [[results.about[task]["title"], *_compared(one)] for task, one in results.comparison.items()]
    return Table("comparison on the same problems", header, rows, notes)


def _compared(comparison: Comparison) -> list[str]:
    apart, found = comparison.discordant, comparison.difference
    return [
        str(comparison.problems),
        f"{100 * found.mean:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]",
        "-" if apart is None else str(apart.first_only),
        "-" if apart is None else str(apart.second_only),
        f"{comparison.p:.3g}",
        f"{comparison.p_holm:.3g}",
        *(f"{comparison.needed[size]:,}" for size in SIZES),
    ]


def _verdicts(results: Results) -> Table:
    classes = sorted({name for summary in results.summaries.values() for name in summary.verdicts})
    rows = [
        [results.about[task]["title"], *(str(summary.verdicts.get(name, 0)) for name in classes)]
        for task, summary in results.summaries.items()
    ]
    return Table(f"verdicts: {results.asked.subject}", ["task", *classes], rows)


def _breakdowns(results: Results) -> Iterator[Table]:
    for task, summary in results.summaries.items():
        for label, values in summary.by.items():
            rows = [
                [value or "-", str(one["problems"]), str(Share(one["value"], one["low"], one["high"]))]
                for value, one in values.items()
            ]
            yield Table(f"{results.about[task]['title']} by {label}", [label, "problems", "accuracy %"], rows)


def _notes(results: Results) -> Iterator[str]:
    yield from results.notes
    for task, about in results.about.items():
        asked = results.summaries[task].problems
        if about.get("style"):
            yield f"{task}: style {about['style']}, {about['shots']} shots, the first {asked} problems"
        if about.get("note"):
            yield f"{task}: {about['note']}"
        if about.get("mended"):
            rows = ", ".join(f"{flaw['row']} ({flaw['reason']})" for flaw in about["mended"])
            yield f"{task}: judged by a gold of ours: row {rows}"
        if about.get("left_out"):
            rows = ", ".join(f"{flaw['row']} ({flaw['reason']})" for flaw in about["left_out"])
            yield f"{task}: left out: row {rows}"
        if about.get("as_published"):
            rows = ", ".join(str(flaw["row"]) for flaw in about["as_published"])
            yield f"{task}: known to be broken, and kept as published: row {rows}"


def _in_words(results: Results, task: str, summary: Summary) -> Iterator[str]:
    answers = f"{summary.problems} problems" + (f" x {summary.samples} answers" if summary.samples > 1 else "")
    temperature = results.asked.temperature
    how = "greedy" if temperature == 0 else f"temperature {temperature:g}"
    share = summary.accuracy
    interval = f"[{100 * share.low:.1f}, {100 * share.high:.1f}]"
    yield f"{task}: accuracy {100 * share.value:.1f} % {interval} on {answers} (test split, {how})"
    for k in sorted(summary.pass_at.keys() - {1}):
        yield f"pass@{k} {summary.pass_at[k]} %, maj@{k} {summary.maj_at[k]} %"
    for name, part in summary.traits.items():
        yield f"answers with {name.replace('_', ' ')}: {_percent(part)} %"
    yield "verdicts: " + ", ".join(f"{number} {name}" for name, number in summary.verdicts.items())
    lengths = {"right": summary.length_correct, "wrong": summary.length_wrong}
    told = ", ".join(f"{which} {length:.1f}" for which, length in lengths.items() if length is not None)
    cut = f"cut off {_percent(summary.truncated)} %"
    yield f"mean length {summary.length:.1f} tokens ({told}), {cut}, {summary.seconds:.1f} s"
    yield from _notes(results)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
