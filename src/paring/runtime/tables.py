"""The table: cells of text, for a terminal, as Markdown and as HTML. Whatever stands in a cell is taken as text."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

from paring.runtime.text import one_line

LONGEST_CELL = 120
"""Characters of a cell on a terminal."""
LONGEST = 4000
"""Characters of any text in Markdown and HTML."""
_MARKUP = re.compile(r"([\\`*_\[\]{}<>|~&$#])")
_MINUS = re.compile(r"(?<![\w.-])-(?=\d)")


@dataclass(frozen=True)
class Table:
    """Cells by row under a `head`. The first cell of a row names it.

    title    stands above; empty: nothing does
    notes    sentences below
    words    the numbers of the columns that hold words, and not numbers; the first column always does
    strong   the numbers of the rows that stand out
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    notes: Sequence[str] = ()
    words: frozenset[int] = frozenset()
    strong: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.rows)

    @property
    def columns(self) -> list[int]:
        """The numbers of the columns that have any text below their head."""
        return [column for column in range(len(self.head)) if any(row[column] for row in self.rows)]

    def holds_words(self, column: int) -> bool:
        return column == 0 or column in self.words

    def as_text(self) -> list[str]:
        """Lines for a terminal: aligned columns under a rule, words to the left and numbers to the right."""
        rows = [[one_line(row[column], LONGEST_CELL) for column in self.columns] for row in (self.head, *self.rows)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        cells = list(zip(self.columns, widths, strict=True))
        lines = [
            "  ".join(
                text.ljust(width) if self.holds_words(column) else text.rjust(width)
                for text, (column, width) in zip(row, cells, strict=True)
            )
            for row in rows
        ]
        title = [one_line(self.title)] if self.title else []
        notes = [f"  {one_line(note)}" for note in self.notes]
        return [*title, lines[0].rstrip(), "-" * len(lines[0]), *(line.rstrip() for line in lines[1:]), *notes]

    def as_markdown(self) -> list[str]:
        """Lines of a table, its notes as a list; the title is the caller's heading."""
        rows = [[escaped(row[column]) for column in self.columns] for row in (self.head, *self.rows)]
        rule = ["---" if self.holds_words(column) else "---:" for column in self.columns]
        notes = ["", *(f"- {escaped(note)}" for note in self.notes)] if self.notes else []
        return [*(f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:])), *notes]

    def as_html(self) -> str:
        """A table in a region that scrolls by itself."""
        columns, words, number = self.columns, ' class="words"', ' class="n"'
        head = [
            f'<th scope="col"{"" if self.holds_words(column) else number}>{plain_html(self.head[column])}</th>'
            for column in columns
        ]
        lines = [
            f'<div class="scroll" role="region" aria-label="{plain_html(self.title)}" tabindex="0">',
            f"<table>\n<thead><tr>{''.join(head)}</tr></thead>\n<tbody>",
        ]
        for index, row in enumerate(self.rows):
            cells = [
                f"<td{words if self.holds_words(column) else number}>{plain_html(row[column])}</td>"
                for column in columns[1:]
            ]
            strong = ' class="strong"' if index in self.strong else ""
            lines.append(f'<tr{strong}><th scope="row">{plain_html(row[columns[0]])}</th>{"".join(cells)}</tr>')
        notes = "".join(f"<li>{plain_html(note)}</li>" for note in self.notes)
        return "\n".join([*lines, "</tbody>\n</table>\n</div>", *([f"<ul>{notes}</ul>"] if notes else [])])


def escaped(text: str) -> str:
    """A text as Markdown: harmless, on one line, and nothing in it is markup."""
    return _MARKUP.sub(r"\\\1", one_line(text, LONGEST))


def plain_html(text: str) -> str:
    """A text as HTML: harmless, on one line, no element; with a minus as wide as a plus, and arrows."""
    return html.escape(_MINUS.sub("−", one_line(text, LONGEST)).replace(" -> ", " → "))
