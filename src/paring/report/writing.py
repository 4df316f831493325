"""The files of a report: report.html, report.md and summary.json."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from paring.report.markdown import as_markdown
from paring.report.page import fitting_page
from paring.report.report import Report
from paring.report.summary import as_plain
from paring.runtime.files import write_durably

LARGEST_PAGE = 1_000_000
"""Bytes of report.html, less than."""


@dataclass(frozen=True)
class Written:
    """The files of a report."""

    page: Path
    text: Path
    summary: Path


def write_report(report: Report, out: Path) -> Written:
    """Write the three files into the folder `out`, made if needed; files of their names there are replaced.

    The same folders give the same bytes. Raises ValueError where it cannot be written."""
    written = Written(out / "report.html", out / "report.md", out / "summary.json")
    contents = {
        written.page: fitting_page(report, below=LARGEST_PAGE),
        written.text: as_markdown(report),
        written.summary: json.dumps(as_plain(report), indent=1, allow_nan=False) + "\n",
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path, content in contents.items():
            write_durably(path, content.encode())
    except OSError as error:
        raise ValueError(f"{out} cannot be written: {error.strerror}. Choose another folder with --out") from error
    return written


def place_of(folders: Sequence[Path]) -> Path:
    """Where a report goes unless told: into the one folder that it is about, else into `report` here."""
    return folders[0] if len(folders) == 1 else Path("report")


def next_steps(report: Report, written: Written) -> list[str]:
    """Where the files lie, and what to do with them."""
    commands = {f"python -m webbrowser {quote(str(written.page))}": "read it; it loads nothing from anywhere"}
    sampled = [run for run in report.gathered.runs if run.recipe.get("method", "rl") == "rl"]
    if sampled:
        commands[f"paring samples {quote(str(sampled[0].folder))} --worst"] = "what the first run still gets wrong"
    width = max(map(len, commands))
    return [
        *(f"written to {path}" for path in (written.page, written.text, written.summary)),
        "next:",
        *(f"  {command:<{width}}  {purpose}" for command, purpose in commands.items()),
    ]
