"""What a recipe or its overrides leave unsaid about data: the kind of rows, and what belonged to other data."""

from typing import Any

from paring.tasks.row_forms import KINDS

OF_THE_HUB = ("hub_config", "revision")
"""Settings that mean nothing for other data than those they were written for."""


def name_rows(data: dict[str, Any], recipe: dict[str, Any] | None = None) -> None:
    """In place: the kind of `data.rows` need not be named where its settings say which it is, unless they are settings
    of the kind that the `recipe` has."""
    rows, old = (_section(one, "data", "rows") for one in (data, recipe or {}))
    if rows and "kind" not in rows and not rows.keys() <= old.keys():
        rows |= next(({"kind": kind} for kind, names in KINDS.items() if rows.keys() <= {*names}), {})


def leave_old_data(data: dict[str, Any], given: dict[str, Any]) -> None:
    """In place: where overrides are `given` that name other data, the configuration and revision of a recipe's go."""
    for section in ("task", "data"):
        old, new = _section(data, section), _section(given, section)
        if "data" in new and new["data"] != old.get("data"):
            for name in {*OF_THE_HUB} & old.keys() - new.keys():
                del old[name]


def _section(data: dict[str, Any], *names: str) -> dict[str, Any]:
    """A nested section; an empty one where there is none."""
    for name in names:
        inner = data.get(name)
        data = inner if isinstance(inner, dict) else {}
    return data
