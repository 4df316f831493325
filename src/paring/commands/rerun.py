"""`paring rerun`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from paring.commands.shared import Json


def rerun(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run that has come to its end.")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare with the run: the hashes, and what differs first.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Keep the rerun here; go on with it where it was stopped.")] = None,
    as_json: Json = False,
) -> None:
    """Make a run again from its own recipe. Exit code 1 where --verify finds a difference."""
    if not verify:
        raise ValueError(f"rerun compares: add --verify. To train alone:  paring train {run}")
    from paring.subjects.rerunning import verified

    found = verified(run, out)
    print(json.dumps(found.as_plain()) if as_json else found)
    raise typer.Exit(0 if found.is_same else 1)
