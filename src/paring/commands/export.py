"""`paring export`."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from paring.commands.shared import Checkpoint, Json, one_of


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, or a PEFT adapter's.")],
    to: Annotated[Path, typer.Option(help="The folder to write.")],
    merged: Annotated[bool, typer.Option("--merged", help="A whole model, not an adapter beside its base.")] = False,
    portable: Annotated[
        bool, typer.Option("--portable", help="All modules padded to one rank, for SGLang and llama.cpp.")
    ] = False,
    dtype: Annotated[
        str | None,
        typer.Option(help="Of a merged model: float32, bfloat16 or float16. By default that of its checkpoint."),
    ] = None,
    checkpoint: Checkpoint = None,
    as_json: Json = False,
) -> None:
    """Write a run's adapter, or its merged model, for PEFT or vLLM. It is read back and compared first."""
    if merged and portable:
        raise typer.BadParameter("--merged writes no adapter that could be --portable: choose one")
    from paring.subjects.export import DTYPES, Dtype, exported

    chosen: Dtype | None = one_of("--dtype", dtype, DTYPES)
    layout = "portable" if portable else "compact"
    written = exported(run, to, merged=merged, layout=layout, dtype=chosen, checkpoint=checkpoint)
    if written.note is not None:
        print(f"note: {written.note}", file=sys.stderr)
    print(json.dumps(written.as_plain()) if as_json else written)
