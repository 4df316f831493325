"""The section of curves: figures under their legend, what they are, and where they end."""

from paring.reporting.chart import Gallery, charts_of, look
from paring.reporting.findings import Findings
from paring.reporting.passages import Passage
from paring.reporting.series import MOST_CURVES, SHOWN, figures_of, last_tenth, styles_of, tuning_figures
from paring.runtime.tables import Table
from paring.runtime.text import count_words

OPEN_FIGURES, OPEN_METRICS = 8, 4
"""Figures that stand open where they stand side by side, and metrics where each has a row of settings."""
BANDS = "A line is the mean over an arm's runs, its band reaches from the lowest run to the highest."


def curve_passages(findings: Findings, points: int) -> list[Passage]:
    """Figures under their legend; and where the curves end: means of the last tenth, over the runs of an arm."""
    gathered = findings.gathered
    figures, styles = figures_of(gathered, points=points), styles_of(gathered)
    if not figures:
        return []
    width = figures[0].steps_a_point
    several = any(len(arm.runs) > 1 for arm in gathered.arms)
    note = [
        BANDS if several else "",
        "Each point is one step." if width == 1 else f"Each point is the mean of {width} steps.",
        "A cross marks the step that noticed a collapse." if any(run.collapse for run in gathered.runs) else "",
        "Some runs end before others: a line goes on with those that are left."
        if any(curve.thins_out for figure in figures for curve in figure.curves)
        else "",
        f"The first {MOST_CURVES} of {len(styles)} arms are drawn." if len(styles) > MOST_CURVES else "",
        *_hidden(findings),
        *(
            f"{figure.title}: {figure.constant:g} at every step of every run."
            for figure in figures
            if figure.constant is not None
        ),
    ]
    legend = [(label, *look(number)) for label, number in styles.items()][:MOST_CURVES]
    shown = [figure for figure in (*figures, *tuning_figures(gathered)) if figure.constant is None]
    charts = [(figure, charts_of(figure)) for figure in shown]
    beside = all(len(figure.panels) == 1 for figure in shown)
    some = OPEN_FIGURES if beside else OPEN_METRICS
    galleries = [Gallery(legend if len(legend) > 1 else (), part, beside) for part in (charts[:some], charts[some:])]
    more = count_words(len(charts[some:]), "more curve")
    known = {figure.metric: SHOWN[figure.metric] for figure in figures if figure.metric in SHOWN}
    ends = []
    for arm in gathered.arms:
        means = [last_tenth(arm.runs, metric) for metric in known]
        ends.append([arm.full_label, *("" if mean is None else f"{mean:.3g}" for mean in means)])
    title = "Where the curves end: means of the last tenth of the steps"
    meanings = [(figure.title, figure.meaning) for figure in shown]
    what = Table(("curve", "meaning"), meanings, "What the curves are", words=frozenset({1}))
    return [
        Passage(sentences=[" ".join(filter(None, note))], figures=galleries[:1]),
        Passage(figures=galleries[1:] if charts[some:] else (), fold=more, unfolded=False),
        Passage(table=what, fold="What the curves are", unfolded=False),
        Passage(table=Table(("arm", *known.values()), ends, title), fold=title, unfolded=False),
    ]


def _hidden(findings: Findings) -> list[str]:
    """Arms whose lines lie on each other, since their runs are the same."""
    hidden: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for contest in findings.contests:
        for standing in contest.distinct:
            if copies := contest.copies(standing):
                names = standing.label, tuple(copy.label for copy in copies)
                hidden.setdefault(names, []).append(contest.setting)
    return [
        f"{', '.join(copies)} {'lies' if len(copies) == 1 else 'lie'} on {one}, since their runs are the same"
        + (f" ({'; '.join(settings)})." if any(settings) else ".")
        for (one, copies), settings in hidden.items()
    ]
