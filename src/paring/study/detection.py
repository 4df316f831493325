"""The power of a study's design: the differences that it can detect, by the spread of runs that have ended."""

from collections.abc import Sequence
from statistics import fmean, stdev

from paring.maths.power import detectable, margin_shown
from paring.runtime.tables import Table
from paring.runtime.text import count_words
from paring.study.cells import cells
from paring.study.course import Course

SEEDS = (3, 5, 7, 10, 15, 20)


def power_table(course: Course) -> str:
    """By number of seeds: the difference of two arms that is seen with a power of 80 %, alone and among all tests of
    the study, and the margin within which equal arms are shown to be so. In points.

    The spread is the root mean square of the arms' own over seeds. Raises ValueError where no arm has two finished
    runs, or they have no accuracy."""
    spreads = _spreads(course)
    if not spreads:
        raise ValueError(
            f"{course.folder.path}: no arm has two finished runs, so the spread over seeds is not known; run the "
            "study, or a pilot of it with two seeds, first"
        )
    spread = fmean(one**2 for one in spreads.values()) ** 0.5
    tests = _tests(course)
    seeds = sorted({*SEEDS, len(course.study.seeds)} - {1})
    rows = [
        [
            f"{count}" + (" (this design)" if count == len(course.study.seeds) else ""),
            *(f"{100 * detectable(spread, count, level=level):.1f}" for level in (0.05, 0.05 / tests)),
            f"{100 * margin_shown(spread, count):.1f}",
        ]
        for count in seeds
    ]
    head = ("seeds an arm", "one test", f"the first of {tests} (Holm)", "equal within")
    least = f"{100 * min(spreads.values()):.1f} to {100 * max(spreads.values()):.1f}"
    lines = [
        f"spread over seeds: {100 * spread:.1f} points ({count_words(len(spreads), 'arm')}, {least})",
        "differences in points that are seen with a power of 80 % at the 5 % level:",
        *Table(head, rows).as_text(),
    ]
    return "\n".join(lines)


def _spreads(course: Course) -> dict[str, float]:
    """By cell, the standard deviation of its accuracies over seeds, of the test set's resolution at least."""
    spreads = {}
    for cell in cells(course.study):
        runs = [planned for planned in course.final if planned.cell == cell]
        results = [result for result in map(course.result, runs) if result and result.measure == "accuracy"]
        if len(results) > 1:
            values = [result.value for result in results]
            spreads[str(cell)] = max(stdev(values), 1 / results[0].problems)
    return spreads


def _tests(course: Course) -> int:
    """The declared contrasts at each setting, and a second test where one has a margin; else all pairs of arms."""
    study = course.study
    settings: Sequence = [cell.setting for cell in cells(study) if cell.arm == next(iter(study.arms))]
    if study.contrasts:
        return sum(
            1 + (one.margin is not None)
            for one in study.contrasts.values()
            for setting in settings
            if all(setting.get(key) == value for key, value in one.at.items())
        )
    return max(1, len(study.arms) * (len(study.arms) - 1) // 2 * len(settings))
