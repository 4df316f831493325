"""A report as one self-contained HTML page: no script, no request, and no element that data could make.

The template writes HTML and nothing else does. What it puts out is first made visible, then escaped, by the template
engine itself and not by the template, so that there is no place where it could be forgotten."""

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from paring.report import chart
from paring.report.answers import examples_of, first_and_last
from paring.report.differing import shared, written
from paring.report.outcomes import Block
from paring.report.rank_grid import rank_pictures
from paring.report.report import Report
from paring.report.series import MOST_CURVES, figures_of, styles_of
from paring.report.strips import strips_of
from paring.report.tables import (
    collapse_table,
    comparison_table,
    curve_table,
    effect_tables,
    run_table,
    settings_table,
    standing_table,
    tuning_table,
    version_table,
)
from paring.report.tuned import tuning_figures
from paring.runtime.text import visible

TEMPLATES = Path(__file__).parent / "templates"
POINTS, CHARACTERS = 60, 160_000
"""Points of a curve, and characters of all answers, on a page that has room for them."""
LONGEST = 20_000
"""Characters of any other text of a folder."""
_MINUS = re.compile(r"(?<![\w.-])-(?=\d)")


def fitting_page(report: Report, *, below: int) -> str:
    """The page of less than `below` bytes: with half the points and half the text, again and again, until it fits.

    Raises ValueError where its tables alone are too large."""
    detail = 1.0
    while len((page := as_page(report, detail=detail)).encode()) >= below:
        if detail < 0.01:
            raise ValueError(
                f"{len(report.gathered.runs)} runs: their tables alone take {len(page):,} bytes, and a page has less "
                f"than {below:,}. Report on fewer of them"
            )
        detail /= 2
    return page


def as_page(report: Report, *, detail: float = 1.0) -> str:
    """The page with this share of the points of its curves and of the text of its answers."""
    gathered = report.gathered
    characters = round(detail * CHARACTERS)
    figures = figures_of(gathered, points=max(2, round(detail * POINTS)))
    tuned = [figure for figure in tuning_figures(gathered) if figure.constant is None]
    pictures, ranks_missing = rank_pictures(gathered)
    style = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    return _template().render(
        style=Markup(style),
        policy=_policy(style),
        report=report,
        gathered=gathered,
        blocks=[_block(report, block) for block in report.blocks],
        effects=effect_tables(report.effects),
        collapses=collapse_table(gathered),
        figures=[
            (figure, None if figure.constant is not None else chart.charts_of(figure)) for figure in [*figures, *tuned]
        ],
        one_setting=all(len(figure.panels) == 1 for figure in figures),
        thinning=any(curve.thins_out for figure in figures for curve in figure.curves),
        legend=[(label, *chart.look(number)) for label, number in styles_of(gathered).items()][:MOST_CURVES],
        labels=len(styles_of(gathered)),
        curves=curve_table(gathered),
        examples=examples_of(gathered, characters=characters),
        unfinished=first_and_last(gathered, characters=characters // 4),
        pictures=pictures,
        ranks_missing=ranks_missing,
        tuning=tuning_table(gathered),
        differs=settings_table(gathered),
        recipe={key: written(value) for key, value in shared([run.recipe for run in gathered.runs]).items()},
        runs=run_table(gathered),
        versions=version_table(gathered),
        detail=detail,
        chart=chart,
    )


def _block(report: Report, block: Block) -> dict[str, Any]:
    return {
        "title": block.title,
        "standings": standing_table(block),
        "strips": strips_of(block),
        "comparisons": comparison_table(block, report.comparisons),
    }


def _template():
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalized,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["typeset"] = _typeset
    return environment.get_template("page.html")


def _finalized(value: Any) -> Any:
    """What is no markup of ours is made visible, and is not endless; the engine escapes it after this."""
    return value if isinstance(value, Markup | int | float) else visible(str(value), LONGEST)


def _typeset(text: str) -> str:
    """Our own sentences and numbers with a minus that is as wide as a plus, and an arrow."""
    return _MINUS.sub("−", text).replace(" -> ", " → ")


def _policy(style: str) -> str:
    """Nothing may be loaded or run, and of styles only ours, by its hash."""
    digest = b64encode(sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
