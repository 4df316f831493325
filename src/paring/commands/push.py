"""`paring push`."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from paring.commands.shared import Json


def push(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, or a PEFT adapter's.")],
    to: Annotated[str, typer.Option(metavar="ORG/NAME", help="The repository on the Hugging Face hub.")],
    merged: Annotated[bool, typer.Option("--merged", help="A whole model, not an adapter beside its base.")] = False,
    base: Annotated[
        str | None, typer.Option(metavar="ORG/NAME", help="The base on the hub, where the run has a local folder.")
    ] = None,
    licence: Annotated[str | None, typer.Option(help="Its identifier, such as apache-2.0, for the card.")] = None,
    private: Annotated[bool, typer.Option("--private", help="A new repository that its owner alone sees.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show files and card; push nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Put a run's adapter, or its merged model, on the Hugging Face hub, with a model card."""
    from paring.subjects.pushing import push as push_run

    pushed = push_run(run, to, merged=merged, base=base, licence=licence, private=private, dry_run=dry_run)
    if as_json:
        plain = {
            "to": pushed.to,
            "kind": pushed.export.kind,
            "files": pushed.files,
            "check": asdict(pushed.export.check),
        }
        print(json.dumps(plain | {"pushed": pushed.is_there}))
    else:
        print(pushed)
