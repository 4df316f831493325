"""`paring train`."""

from pathlib import Path
from typing import Annotated

import typer

from paring.commands.shared import Overrides, parsed
from paring.runtime.machine import is_restart, may_restart, say_losses_alone


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
    if resume is None and out is None and may_restart():
        raise typer.BadParameter("torchrun --max-restarts: name the run's folder by --out, so that a restart finds it")
    say_losses_alone()
    from paring.runtime.folder import RunFolder, check_free, free_folder
    from paring.training.config import load_run
    from paring.training.method import preview
    from paring.training.method import train as train_run
    from paring.training.progress import resumed
    from paring.training.world import World

    with World.opened() as world:
        named = resume or out
        if named is None:
            named = Path(str(world.from_first(lambda: str(free_folder(Path(recipe or "").stem)))))
        folder = RunFolder(named)
        run = world.together(lambda: load_run(recipe or folder.existing_recipe(), **parsed(overrides)))
        if dry_run:
            if resume:
                run = resumed(folder, run, allow_changed=allow_changed)
            else:
                check_free(folder.path)
            shown = preview(run)
            print(shown if world.is_first else "", end="\n" if world.is_first else "")
            return
        # A restart of torchrun repeats its command: what was begun is gone on with.
        goes_on = resume is not None or world.any(is_restart() and folder.recipe.is_file())
        result = train_run(run, folder.path, resume=goes_on, allow_changed=allow_changed)
        if world.is_first:
            print(result)
    raise typer.Exit(result.exit_code)
