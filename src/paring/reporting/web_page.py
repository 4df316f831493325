"""A report as one self-contained HTML page: no script, no request, and no element that data could make.

HTML is written by the template, and by the one Table. The template engine makes every value visible and escapes it,
whatever the template does, so that there is no place where it could be forgotten."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from paring.reporting import chart
from paring.reporting.findings import Findings
from paring.reporting.passages import Passage
from paring.reporting.sections import sections_of
from paring.runtime.page import page
from paring.runtime.tables import LONGEST, plain_html
from paring.runtime.text import count_words, visible

TEMPLATES = Path(__file__).parent / "templates"


def fitting_page(findings: Findings, *, below: int) -> str:
    """The page of less than `below` bytes: with half the points and half the text, again and again, until it fits.

    Raises ValueError where its tables alone are too large."""
    detail = 1.0
    while len((whole := as_page(findings, detail=detail)).encode()) >= below:
        if detail < 0.01:
            raise ValueError(
                f"{len(findings.gathered.runs)} runs: their tables alone take {len(whole):,} bytes, and a page has "
                f"less than {below:,}. Report on fewer of them"
            )
        detail /= 2
    return whole


def as_page(findings: Findings, *, detail: float = 1.0) -> str:
    """The page with this share of the points of its curves and of the text of its answers."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalized,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"typeset": lambda text: Markup(plain_html(text)), "table": _table}
    gathered = findings.gathered
    body = environment.get_template("page.html").render(
        title=gathered.title,
        question=gathered.question,
        runs=count_words(len(gathered.runs), "run"),
        sections=sections_of(findings, detail=detail),
        chart=chart,
    )
    return page(f"{gathered.title}: report", body, (TEMPLATES / "page.css").read_text(encoding="utf-8"))


def _finalized(value: object) -> object:
    """Any text but our own markup is made visible and cut; the engine escapes it after this."""
    return value if isinstance(value, Markup | int | float) else visible(str(value), LONGEST)


def _table(passage: Passage) -> Markup:
    assert passage.table is not None
    return Markup(passage.table.as_html())
