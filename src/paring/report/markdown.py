"""A report as Markdown: the answer and the tables, for an issue, a mail or a repository."""

import re

from paring.report.differing import shared, written
from paring.report.report import Report
from paring.report.tables import (
    Table,
    collapse_table,
    comparison_table,
    curve_table,
    effect_tables,
    run_table,
    settings_table,
    standing_table,
    tuning_table,
    version_table,
)
from paring.runtime.text import visible

LONGEST = 4000
"""Characters of a text."""
_MARKUP = re.compile(r"([\\`*_\[\]<>|~&$])")


def as_markdown(report: Report) -> str:
    """Headings, sentences and tables. Every text that comes from a folder is escaped; answers of models stand in the
    page and in `paring samples` only."""
    gathered = report.gathered
    lines = [f"# {_plain(gathered.title)}", ""]
    if gathered.question:
        lines += [f"> {_plain(gathered.question)}", ""]
    lines += ["## Answer", ""]
    for passage in report.answer:
        lines += [f"**{_plain(passage.title)}**", ""] if passage.title else []
        lines += [_plain(" ".join(passage.sentences)), ""]
    for block in report.blocks:
        lines += _section(f"Results: {block.title}", standing_table(block))
        lines += _section(f"Comparisons: {block.title}", comparison_table(block, report.comparisons))
    for name, table in effect_tables(report.effects).items():
        lines += _section(f"Single settings, all else the same: {name}", table)
    lines += _section("Collapses", collapse_table(gathered))
    lines += _section("The last tenth of the steps", curve_table(gathered))
    lines += _section("Chosen on the validation split", tuning_table(gathered))
    lines += _section("What differs between the arms", settings_table(gathered))
    recipe = shared([run.recipe for run in gathered.runs])
    lines += _section(
        "What all runs share", Table(("setting", "value"), tuple((k, written(v)) for k, v in recipe.items()))
    )
    lines += _section("Runs", run_table(gathered))
    lines += ["", *(f"- {_plain(line)}" for line in gathered.missing)] if gathered.missing else []
    lines += _section("Versions", version_table(gathered))
    return "\n".join(lines).rstrip() + "\n"


def _section(title: str, table: Table) -> list[str]:
    """Nothing for an empty table. Columns without any text are left out."""
    if not table:
        return []
    rows = [[_plain(row[column]) for column in table.columns] for row in (table.head, *table.rows)]
    rule = ["---" if column == 0 or column in table.words else "---:" for column in table.columns]
    return ["", f"### {_plain(title)}", "", *(f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:]))]


def _plain(text: str) -> str:
    """Harmless, on one line, and nothing in it is markup."""
    return _MARKUP.sub(r"\\\1", " ".join(visible(text, LONGEST).split()))
