"""`paring recipes`."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from paring.commands.shared import Json

if TYPE_CHECKING:
    from paring.settings.reference import Setting


def recipes(
    name: Annotated[
        str | None, typer.Argument(help="Print this one as TOML, to start your own from; with --keys, a section.")
    ] = None,
    keys: Annotated[bool, typer.Option("--keys", help="List the settings of all sections, or of one.")] = False,
    as_json: Json = False,
) -> None:
    """List the recipes, or print one; or list what can be set in one."""
    if keys:
        show_keys(name, as_json=as_json)
        return
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
        print("what can be set:  paring recipes --keys    in one section:  paring recipes --keys rollout")


def show_keys(section: str | None, *, as_json: bool) -> None:
    """Print the settings of a section, or of all. Raises ValueError for an unknown section, with the choices."""
    from paring.settings.reference import sections
    from paring.training.config import METHODS

    known = sections(METHODS)
    chosen = {name: rows for name, rows in known.items() if section in (None, name, name.partition(" ")[0])}
    if not chosen:
        names = dict.fromkeys(name.partition(" ")[0] for name in known)
        raise ValueError(f"section {section!r}: unknown; choices: {', '.join(names)}")
    if as_json:
        print(json.dumps({name: list(map(asdict, rows)) for name, rows in chosen.items()}))
    else:
        tables = ["\n".join([f"[{name}]", *_described(rows)]) for name, rows in chosen.items()]
        print("\n\n".join(tables))


def _described(rows: "Sequence[Setting]") -> list[str]:
    """Two lines a setting or more: key, type, bound, default and version; then its meaning, and its kinds."""
    from textwrap import wrap

    lines = []
    for row in rows:
        default = row.default if row.default == "required" else f"default {row.default}"
        since = f"since {row.since}" if row.since[:1].isdigit() else row.since
        lines.append(f"{row.key}: " + "; ".join(filter(None, (row.type, row.bound, default, since))))
        kinds = f"For {', '.join(row.kinds)}. " if row.kinds else ""
        lines += wrap(kinds + row.meaning, 110, initial_indent="    ", subsequent_indent="    ")
    return lines
