"""`paring train`."""

from pathlib import Path
from typing import Annotated

import typer

from paring.commands.shared import Overrides, parsed


def train(
    recipe: Annotated[str | None, typer.Argument(help="A recipe's name or a TOML file; see `paring recipes`.")] = None,
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; by default a new one in runs/.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the run in this folder.")] = None,
    allow_changed: Annotated[
        bool, typer.Option("--allow-changed", help="Resume though recipe or files have changed; it goes on record.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, show it, and write nothing.")] = False,
) -> None:
    """Post-train a model as a recipe says."""
    if recipe is not None and "=" in recipe and resume is not None:
        recipe, overrides = None, [recipe, *(overrides or [])]
    if resume is None and (recipe is None or "=" in recipe):
        raise typer.BadParameter("name a recipe, such as quickstart, or --resume a run; see `paring recipes`")
    if resume is not None and out is not None:
        raise typer.BadParameter("--resume goes on in the run's own folder: leave --out away")
    if allow_changed and resume is None:
        raise typer.BadParameter("--allow-changed is of use with --resume alone")
    from paring.runtime.folder import RunFolder, check_free, free_folder
    from paring.training.config import load_run
    from paring.training.method import preview
    from paring.training.method import train as train_run
    from paring.training.progress import resumed

    folder = resume or out or free_folder(Path(recipe or "").stem)
    run = load_run(recipe or RunFolder(folder).existing_recipe(), **parsed(overrides))
    if dry_run:
        if resume:
            run = resumed(RunFolder(folder), run, allow_changed=allow_changed)
        else:
            check_free(folder)
        print(preview(run))
        return
    result = train_run(run, folder, resume=resume is not None, allow_changed=allow_changed)
    print(result)
    raise typer.Exit(result.exit_code)
