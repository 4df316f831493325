"""`paring samples`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from paring.commands.shared import Json


def samples(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    step: Annotated[int | None, typer.Option(min=1, help="Answers of this step; by default of the last.")] = None,
    worst: Annotated[bool, typer.Option("--worst", help="Lowest reward first.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many answers.")] = 8,
    as_json: Json = False,
) -> None:
    """Show the answers that a run sampled, and their rewards."""
    from paring.reporting.samples import as_text, choose

    rows = choose(run, step=step, worst=worst, limit=limit)
    print(json.dumps(rows) if as_json else as_text(rows))
