"""`paring compare`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from paring.commands.shared import Json


def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    second: Annotated[Path, typer.Argument(metavar="RUN", help="Another's.")],
    as_json: Json = False,
) -> None:
    """Show how two runs differ, in their recipes and in their results; differences are second less first."""
    from paring.reporting.compare import compare

    compared = compare(first, second)
    print(json.dumps(compared.as_plain()) if as_json else compared.as_text())
