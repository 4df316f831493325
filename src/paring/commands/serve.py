"""`paring serve`."""

import sys
from typing import Annotated

import typer

from paring.commands.shared import Overrides, parsed


def serve(
    subject: Annotated[
        str, typer.Argument(metavar="RECIPE_OR_RUN", help="A recipe, whose rollouts are served; a run; a PEFT adapter.")
    ],
    overrides: Overrides = None,
    only_print: Annotated[bool, typer.Option("--print", help="Show the line that starts vLLM, and end.")] = False,
    host: Annotated[str, typer.Option(help="The address that is listened on; by default this machine alone.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    context: Annotated[
        int | None, typer.Option(min=2, help="Tokens of prompt and answer; by default 1024 more than the answer's.")
    ] = None,
) -> None:
    """Start vLLM for a recipe's rollouts, or to answer as a trained run does, by the API of OpenAI."""
    from paring.subjects.served_subject import served_subject

    served = served_subject(subject, parsed(overrides), host=host, port=port, context=context)
    if only_print:
        print(served.plan.line())
        return
    served.check()
    print(served.words(), file=sys.stderr, flush=True)
    served.run()
