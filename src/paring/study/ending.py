"""A study in words, as it ends: each arm and setting over its seeds, what was chosen, and what has no result."""

from shlex import quote
from typing import Any

from paring.maths.estimates import t_interval
from paring.study.cells import Cell, cells
from paring.study.course import Course


def run_words(result: dict[str, Any]) -> str:
    """The end of a run in a line."""
    after = result["after"]
    measured = f"accuracy {100 * after['accuracy']:.1f} %" if "accuracy" in after else f"loss {after['loss']:.4f}"
    fell = result.get("collapse")
    return f"{measured} after {result['training_seconds']:.0f} s" + (f"; {fell['words']}" if fell else "")


def summary(course: Course, *, interrupted: bool) -> list[str]:
    """The lines that end a study."""
    path = course.folder.path
    rows = [(str(cell), _measured(course, cell), _chosen(course, cell)) for cell in cells(course.study)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(part.ljust(width) for part, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    troubled = [one for one in course.runs if one.folder in course.troubles]
    lines += [f"{one} {course.troubles[one.folder].kind}: {course.troubles[one.folder].words}" for one in troubled]
    if interrupted:
        return [*lines, f"interrupted, and saved; go on with:  {course.folder.resume_command()}"]
    if any(course.troubles[one.folder].kind == "broken" for one in troubled):
        lines.append(f"mend what is broken, then go on with:  {course.folder.resume_command()}")
    return [*lines, f"written to {path}", "next:", f"  paring report {quote(str(path))}"]


def _measured(course: Course, cell: Cell) -> str:
    """The mean over seeds of what the runs of a cell came to, with Student's 95 % interval."""
    runs = [planned for planned in course.final if planned.cell == cell]
    results = [result for result in map(course.result, runs) if result is not None]
    if not results:
        return "no result"
    name, factor, unit = ("accuracy", 100, " %") if "accuracy" in results[0]["after"] else ("loss", 1, "")
    values = [factor * result["after"][name] for result in results]
    told = f"{name} {sum(values) / len(values):.4g}{unit}"
    if len(values) > 1:
        low, high = t_interval(values)
        told += f" [{low:.4g}, {high:.4g}]"
    collapsed = sum(bool(result.get("collapse")) for result in results)
    return f"{told} over {len(values)} of {len(runs)} seeds" + (f", {collapsed} collapsed" if collapsed else "")


def _chosen(course: Course, cell: Cell) -> str:
    choice = course.choices.get(str(cell))
    return f"{course.study.tune.key} = {choice.value}" if choice else ""
