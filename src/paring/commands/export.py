"""`paring export`."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from paring.commands.shared import Json


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, or a PEFT adapter's.")],
    to: Annotated[Path, typer.Option(help="The folder to write.")],
    merged: Annotated[bool, typer.Option("--merged", help="A whole model, not an adapter beside its base.")] = False,
    portable: Annotated[
        bool, typer.Option("--portable", help="All modules padded to one rank, for SGLang and llama.cpp.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a run's adapter, or its merged model, for PEFT or vLLM."""
    if merged and portable:
        raise typer.BadParameter("--merged writes no adapter that could be --portable: choose one")
    from paring.subjects.export import engine_note
    from paring.subjects.export import export as write

    folder = write(run, to, merged=merged, layout="portable" if portable else "compact")
    kind, note = ("model", None) if merged else ("adapter", engine_note(folder))
    if note is not None:
        print(f"note: {note}", file=sys.stderr)
    print(json.dumps({"folder": str(folder), "kind": kind}) if as_json else f"{kind} written to {folder}")
