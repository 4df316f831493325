"""A table of texts, for a terminal, as Markdown and as HTML. Whatever stands in it is taken as text."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

from paring.runtime.screen import visible

LONGEST_CELL = 120
_MARKED = str.maketrans({character: f"\\{character}" for character in "\\`*_{}[]<>#|~!"})


@dataclass(frozen=True)
class Table:
    """Cells by row, the first column left-aligned and the others right; `notes` stand below."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def as_text(self) -> str:
        """For a terminal: in columns, with nothing in it that a terminal would obey."""
        lines = [[_cell(cell) for cell in row] for row in [self.header, *self.rows]]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        told = [
            "  ".join(cell.rjust(width) if place else cell.ljust(width) for place, (cell, width) in enumerate(row))
            for row in (list(zip(line, widths, strict=True)) for line in lines)
        ]
        notes = [f"  {visible(note)}" for note in self.notes]
        return "\n".join(line.rstrip() for line in [visible(self.title), *told, *notes])

    def as_markdown(self) -> str:
        head = [self.header, [":--", *["--:"] * (len(self.header) - 1)]]
        rows = [[_plain_markdown(cell) for cell in row] for row in self.rows]
        lines = ["| " + " | ".join(row) + " |" for row in [*head, *rows]]
        notes = "".join(f"\n- {_plain_markdown(note)}" for note in self.notes)
        return f"## {_plain_markdown(self.title)}\n\n" + "\n".join(lines) + ("\n" + notes if notes else "")

    def as_html(self) -> str:
        head = "".join(f'<th scope="col">{_plain_html(cell)}</th>' for cell in self.header)
        body = "\n".join(_html_row(row) for row in self.rows)
        notes = "".join(f"<li>{_plain_html(note)}</li>" for note in self.notes)
        return (
            f'<section><h2>{_plain_html(self.title)}</h2><div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n'
            f"<tbody>\n{body}\n</tbody></table></div>" + (f"<ul>{notes}</ul>" if notes else "") + "</section>"
        )


def _cell(text: str) -> str:
    """One line of visible characters."""
    return visible(" ".join(text.split()), LONGEST_CELL)


def _plain_markdown(text: str) -> str:
    return _cell_or_note(text).translate(_MARKED)


def _plain_html(text: str) -> str:
    return html.escape(_cell_or_note(text))


def _cell_or_note(text: str) -> str:
    return visible(" ".join(text.split()))


def _html_row(row: Sequence[str]) -> str:
    first, *others = row
    return (
        f'<tr><th scope="row">{_plain_html(first)}</th>'
        + "".join(f"<td>{_plain_html(c)}</td>" for c in others)
        + "</tr>"
    )
