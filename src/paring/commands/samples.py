"""`paring samples`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from paring.commands.shared import Json


def samples(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder; with --tokens also a recipe.")],
    step: Annotated[int | None, typer.Option(min=1, help="Answers of this step; by default of the last.")] = None,
    worst: Annotated[bool, typer.Option("--worst", help="Lowest reward first.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many answers.")] = 8,
    tokens: Annotated[
        bool, typer.Option("--tokens", help="The text that the model reads, learned parts marked.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the answers that a run sampled, and their rewards; or the text that it reads and learns."""
    from paring.reporting.samples import as_text, choose

    if tokens:
        from paring.training.config import Run, load_run
        from paring.training.showing import shown_tokens

        recipe = load_run(run)
        answered = run.is_dir() and isinstance(recipe, Run)
        rows = choose(run, step=step, worst=worst, limit=limit) if answered else []
        print(shown_tokens(recipe, rows, step=step or 1, limit=limit))
        return
    rows = choose(run, step=step, worst=worst, limit=limit)
    print(json.dumps(rows) if as_json else as_text(rows))
