"""`paring ranks`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from paring.commands.shared import Json


def ranks(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    figures: Annotated[Path | None, typer.Option(help="Write figures (SVG) into this folder.")] = None,
    png: Annotated[bool, typer.Option("--png", help="Write the figures as PNG too.")] = False,
    as_json: Json = False,
) -> None:
    """Show where a run's ranks went, by module type and depth, and what each rank event did; of a LoRA run, whose ranks
    are fixed, what its adapters do to the function."""
    if png and figures is None:
        raise typer.BadParameter("--png says how figures are written: give --figures DIR too")
    from paring.runtime.folder import RunFolder

    adapter = RunFolder(run).read_recipe().get("adapter")
    if isinstance(adapter, dict) and adapter.get("kind") == "lora":
        if figures is not None:
            raise typer.BadParameter("--figures shows ranks that move: those of a LoRA run are fixed")
        _show_map(run, as_json=as_json)
        return
    from paring.ranks.rank_figures import write_figures
    from paring.ranks.reading import read_ranks
    from paring.ranks.words import as_plain, as_text, next_steps

    moved = read_ranks(run)
    written = [str(path) for path in write_figures(moved, figures, png=png)] if figures else []
    if as_json:
        print(json.dumps(as_plain(moved) | {"figures": written}))
        return
    files = [f"written to {path}" for path in written]
    print("\n".join([as_text(moved), "", *files, *next_steps(moved, figures=bool(written))]))


def _show_map(run: Path, *, as_json: bool) -> None:
    """Measure and show a run whose ranks are fixed."""
    from paring.ranks.function_map import FunctionMap
    from paring.ranks.places import places
    from paring.ranks.reading import Module, Part
    from paring.subjects.measured_map import measured

    modules, tokens = measured(run)
    where = places(modules)
    part = Part(
        tuple(
            Module(path, where[path], one.rank, one.rank, one.worth, one.null, one.cost, one.proposed)
            for path, one in modules.items()
        )
    )
    found = FunctionMap(run, "lora", tokens, part)
    print(json.dumps(found.as_plain()) if as_json else found.as_text())
