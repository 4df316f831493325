"""The report on runs and studies: report.html, report.md and summary.json."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from paring.reporting.findings import Findings, find
from paring.reporting.passages import as_markdown
from paring.reporting.sections import sections_of
from paring.reporting.summary import as_plain
from paring.reporting.web_page import fitting_page
from paring.runtime import text
from paring.runtime.files import write_durably

LARGEST_PAGE = 1_000_000
"""Bytes of report.html, less than."""


@dataclass(frozen=True)
class Written:
    """The files of a report, and the findings in them."""

    page: Path
    text: Path
    summary: Path
    findings: Findings


def report(*folders: Path | str, out: Path | str | None = None) -> Written:
    """Write what run and study folders show: a page, Markdown and JSON.

    out  the folder of the three files, made if needed; files of their names there are replaced. By default the one
         folder that the report is about, and `report` in the working directory for several.

    The same folders give the same bytes. Raises ValueError where there is nothing to report on, or `out` cannot be
    written."""
    paths = [Path(folder) for folder in folders]
    return write_report(find(paths), place_of(paths) if out is None else Path(out))


def write_report(findings: Findings, out: Path) -> Written:
    """Write the three files into the folder `out`. Raises ValueError where it cannot be written."""
    written = Written(out / "report.html", out / "report.md", out / "summary.json", findings)
    gathered = findings.gathered
    contents = {
        written.page: fitting_page(findings, below=LARGEST_PAGE),
        written.text: as_markdown(gathered.title, gathered.question, sections_of(findings)),
        written.summary: json.dumps(as_plain(findings), indent=1, allow_nan=False) + "\n",
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path, content in contents.items():
            write_durably(path, content.encode())
    except OSError as error:
        raise ValueError(f"{out} cannot be written: {error.strerror}. Choose another folder with --out") from error
    return written


def place_of(folders: Sequence[Path]) -> Path:
    """The default place of a report: the one folder that it is about, else `report` here."""
    return folders[0] if len(folders) == 1 else Path("report")


def next_steps(written: Written) -> list[str]:
    """Where the files lie, and what to do with them."""
    commands = {f"python -m webbrowser {quote(str(written.page))}": "read it; it loads nothing from anywhere"}
    sampled = [run for run in written.findings.gathered.runs if run.samples_answers]
    if sampled:
        commands[f"paring samples {quote(str(sampled[0].folder))} --worst"] = "what the first run still gets wrong"
    files = written.page, written.text, written.summary
    return [*(f"written to {path}" for path in files), *text.next_steps(commands)]
