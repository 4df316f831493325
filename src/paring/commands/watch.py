"""`paring watch`."""

from pathlib import Path
from typing import Annotated

import typer


def watch(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run that another process trains.")],
) -> None:
    """Follow a run from another terminal, until it ends. Ctrl-C ends the watching, never the run."""
    from paring.reporting.watching import watch as follow
    from paring.runtime.screen import Screen

    screen = Screen()
    try:
        ended = follow(run, screen, forever=False)
    except KeyboardInterrupt:
        ended = "no longer watched; the run goes on"
    finally:
        screen.finish()
    print(ended)
