"""Recipes side by side: dotted settings, what all share, what differs."""

from collections.abc import Mapping, Sequence
from typing import Any

from paring.ranks.words import one_line
from paring.settings.recipes import flattened

NOT_A_DIFFERENCE = {"seed", "description", "evaluate.every", "save.every", "save.keep"}
"""Runs that differ in these alone are repetitions of one recipe."""
ABSENT = "–"
"""Written where a recipe has no such setting."""


def repeated(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that make a recipe another one."""
    return {key: value for key, value in flattened(recipe).items() if key not in NOT_A_DIFFERENCE}


def shared(recipes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Settings of the same value in all recipes; no recipes share nothing."""
    first, *others = map(flattened, recipes) if recipes else [{}]
    return {key: value for key, value in first.items() if all(key in other and other[key] == value for other in others)}


def differing(recipes: Sequence[Mapping[str, Any]]) -> list[str]:
    """The dotted names whose values are not all the same, in the order of their first appearance."""
    names = dict.fromkeys(name for recipe in recipes for name in flattened(recipe))
    same = shared(recipes)
    return [name for name in names if name not in same]


def written(value: Any) -> str:
    """A value as a person writes it, on one line: 0.001, rgra, [0.9, 0.99]."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return one_line("[" + ", ".join(map(written, value)) + "]")
    return one_line(str(value))


def setting_words(setting: Mapping[str, Any]) -> str:
    """`rollout.updates = 4`, several joined by commas; nothing for no setting."""
    return ", ".join(f"{one_line(str(key))} = {written(value)}" for key, value in setting.items())
