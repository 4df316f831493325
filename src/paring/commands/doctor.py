"""`paring doctor`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from paring.commands.shared import Json


def doctor(
    place: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where runs are to lie.")] = Path("runs"),
    quick: Annotated[bool, typer.Option("--quick", help="Without the run that is killed and resumed.")] = False,
    as_json: Json = False,
) -> None:
    """Check this machine, and that a killed run resumes to the same bytes; exit 1 on a fault."""
    from paring.runtime.checkup import findings
    from paring.runtime.text import visible

    found = []
    for finding in findings(place, self_test=not quick):
        found.append(finding)
        if not as_json:
            print(visible(str(finding)), flush=True)
    if as_json:
        print(json.dumps([asdict(finding) for finding in found]))
    raise typer.Exit(0 if all(finding.well for finding in found) else 1)
