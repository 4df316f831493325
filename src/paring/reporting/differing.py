"""Recipes side by side: names and values of settings in words, what all share, what differs."""

from collections.abc import Mapping, Sequence

from paring.runtime.text import one_line
from paring.settings.recipes import flattened
from paring.types import JsonObject

NOT_A_DIFFERENCE = {"seed", "description", "evaluate.every", "evaluate.samples", "save.every", "save.keep", "save.best"}
"""Runs that differ in these alone are repetitions of one recipe."""
ABSENT = "–"
"""Written where a recipe has no such setting."""
LONGEST_NAME = 120


def repeated(recipe: JsonObject) -> JsonObject:
    """The settings that make a recipe another one."""
    return {key: value for key, value in flattened(recipe).items() if key not in NOT_A_DIFFERENCE}


def shared(recipes: Sequence[JsonObject]) -> JsonObject:
    """Settings of the same value in all recipes; no recipes share nothing."""
    first, *others = map(flattened, recipes) if recipes else [{}]
    return {key: value for key, value in first.items() if all(key in other and other[key] == value for other in others)}


def differing(recipes: Sequence[JsonObject]) -> list[str]:
    """The dotted names whose values are not all the same, in the order of their first appearance."""
    names = dict.fromkeys(name for recipe in recipes for name in flattened(recipe))
    same = shared(recipes)
    return [name for name in names if name not in same]


def written(value: object) -> str:
    """A name or value as a person writes it, on one line and not endless: rgra, 0.001, true, [0.9, 0.99]."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        value = "[" + ", ".join(map(written, value)) + "]"
    return one_line(str(value), LONGEST_NAME)


def setting_words(setting: Mapping[str, object]) -> str:
    """`rollout.updates = 4`, several joined by commas; nothing for no setting."""
    return ", ".join(f"{written(key)} = {written(value)}" for key, value in setting.items())
