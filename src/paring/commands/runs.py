"""`paring runs`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from paring.commands.shared import Json


def runs(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to look.")] = Path("runs"),
    as_json: Json = False,
) -> None:
    """List the runs in a folder: what they train, their state, result and age."""
    from paring.reporting.watching import runs_in, runs_table

    found = runs_in(folder)
    if as_json:
        print(json.dumps([one.as_plain() for one in found]))
    else:
        print("\n".join([*runs_table(found).as_text(), *(one.fault for one in found if one.fault)]))
