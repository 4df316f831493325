"""How an arm does at each value that a study tried for it: a figure for each tuned setting."""

from paring.report.gathering import Choice, Gathered
from paring.report.series import Curve, Figure, Point, styles_of

MEANING = (
    "Accuracy on the validation split after training, by the values that were tried: the wider an arm's plateau, the "
    "less it depends on the choice."
)


def tuning_figures(gathered: Gathered) -> list[Figure]:
    """Scores against the values in the order in which they were tried, at equal distances."""
    figures = []
    for key in dict.fromkeys(choice.key for choice in gathered.choices):
        choices = [choice for choice in gathered.choices if choice.key == key]
        values = list(dict.fromkeys(value for choice in choices for value in choice.scores))
        panels = _panels(gathered, choices, values)
        if panels and len(values) > 1:
            ticks = tuple((place, value) for place, value in enumerate(values, 1))
            figures.append(Figure(key, f"Tuning {key}", MEANING, panels, 1, len(values) + 1, key, ticks))
    return figures


def _panels(gathered: Gathered, choices: list[Choice], values: list[str]) -> dict[str, tuple[Curve, ...]]:
    """By setting, with the looks that the arms have in the other figures."""
    styles = styles_of(gathered)
    panels: dict[str, tuple[Curve, ...]] = {}
    for choice in choices:
        label, setting = gathered.label(choice.arm, choice.setting)
        points = tuple(
            Point(place, score, score, score, 1)
            for place, value in enumerate(values, 1)
            if (score := choice.scores.get(value)) is not None
        )
        if points and label in styles:
            panels[setting] = (*panels.get(setting, ()), Curve(label, styles[label], points, 1, ()))
    return panels
