"""`paring report`."""

from pathlib import Path
from typing import Annotated

import typer

from paring.commands.shared import Json


def report(
    subjects: Annotated[list[Path], typer.Argument(metavar="RUN|STUDY...", help="Folders of runs and of studies.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder to write into; by default the one that is named, of several: report.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write what runs or a study came to: a page (HTML), Markdown and JSON."""
    from paring.reporting.findings import as_lines
    from paring.reporting.report import next_steps, report

    written = report(*subjects, out=out)
    if as_json:
        print(written.summary.read_text(encoding="utf-8"), end="")
    else:
        print("\n".join([*as_lines([*written.findings.answer, *written.findings.details]), "", *next_steps(written)]))
