"""`paring filter`."""

import json
import sys
from pathlib import Path
from shlex import join
from typing import Annotated

import typer

from paring.commands.shared import Json, Overrides, parsed


def filter(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, a TOML file or a run's folder: task and sampling.")],
    overrides: Overrides = None,
    by: Annotated[
        str | None,
        typer.Option(metavar="RUN_OR_MODEL", help="The model that answers; by default the run, else its base."),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Answers to each problem.")] = 8,
    least: Annotated[float, typer.Option(min=0, max=1, help="The lowest pass rate that is kept.")] = 0.1,
    most: Annotated[float, typer.Option(min=0, max=1, help="The highest pass rate that is kept.")] = 0.9,
    limit: Annotated[int | None, typer.Option(min=1, help="Measure the first N training problems alone.")] = None,
    server: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="A vLLM server that answers; may be given several times.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder, by default kept/RECIPE; the same command goes on in it.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, and write nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Measure the pass rate of each training problem, and write those within a range as data to train on."""
    from paring.subjects.filtering import checked_filter, filter_problems, summary
    from paring.training.config import load_run

    run = load_run(recipe, **parsed(overrides))
    asked_by = by or (recipe if Path(recipe).is_dir() else None)
    asked = checked_filter(
        run, by=asked_by, samples=samples, least=least, most=most, limit=limit, server=tuple(server or ())
    )
    folder = out or Path("kept") / Path(recipe).stem
    measured = filter_problems(asked, folder, dry_run=dry_run)
    if isinstance(measured, int):
        print(f"stopped; kept in {folder}: the same command goes on", file=sys.stderr)
        raise typer.Exit(measured)
    train = join(["paring", "train", recipe, *(overrides or [])])
    print(json.dumps(measured.record) if as_json else "\n".join(summary(measured, folder, train)))
