"""`paring recipes`."""

import json
from typing import Annotated

import typer

from paring.commands.shared import Json


def recipes(
    name: Annotated[str | None, typer.Argument(help="Print this one as TOML, to start your own from.")] = None,
    as_json: Json = False,
) -> None:
    """List the recipes, or print one."""
    from paring.runtime.text import visible
    from paring.settings.recipes import described, read_recipe, recipe_text

    if name is not None:
        print(json.dumps(read_recipe(name)) if as_json else visible(recipe_text(name)), end="\n" if as_json else "")
    elif as_json:
        print(json.dumps(described()))
    else:
        width = max(map(len, described()))
        print("\n".join(f"{recipe:<{width}}  {text}" for recipe, text in described().items()))
        print("\nprint one:  paring recipes quickstart > mine.toml    train with it:  paring train mine.toml")
