"""A report as one self-contained HTML page: no script, no request, and no element that data could make.

HTML is written by the template, and by the one Table. The template engine makes every value visible and escapes it,
whatever the template does, so that there is no place where it could be forgotten."""

from base64 import b64encode
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from paring.report import chart
from paring.report.findings import Findings
from paring.report.passages import Passage
from paring.report.sections import sections_of
from paring.runtime.tables import LONGEST, plain_html
from paring.runtime.text import count_words, visible

TEMPLATES = Path(__file__).parent / "templates"


def fitting_page(findings: Findings, *, below: int) -> str:
    """The page of less than `below` bytes: with half the points and half the text, again and again, until it fits.

    Raises ValueError where its tables alone are too large."""
    detail = 1.0
    while len((page := as_page(findings, detail=detail)).encode()) >= below:
        if detail < 0.01:
            raise ValueError(
                f"{len(findings.gathered.runs)} runs: their tables alone take {len(page):,} bytes, and a page has less "
                f"than {below:,}. Report on fewer of them"
            )
        detail /= 2
    return page


def as_page(findings: Findings, *, detail: float = 1.0) -> str:
    """The page with this share of the points of its curves and of the text of its answers."""
    style = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    # Nothing may be loaded or run, and of styles only ours, by its hash.
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return _template().render(
        style=Markup(style),
        policy=policy,
        title=findings.gathered.title,
        question=findings.gathered.question,
        runs=count_words(len(findings.gathered.runs), "run"),
        sections=sections_of(findings, detail=detail),
        chart=chart,
    )


def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalized,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"typeset": lambda text: Markup(plain_html(text)), "table": _table}
    return environment.get_template("page.html")


def _finalized(value: object) -> object:
    """What is no markup of ours is made visible, and is not endless; the engine escapes it after this."""
    return value if isinstance(value, Markup | int | float) else visible(str(value), LONGEST)


def _table(passage: Passage) -> Markup:
    """The table of a passage, with its strips."""
    assert passage.table is not None
    strips = passage.strips or chart.Strips((), "")
    return Markup(passage.table.as_html(drawn=strips.cells, drawn_head=strips.head))
