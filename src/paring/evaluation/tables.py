"""A table of texts, for a terminal, as Markdown and as HTML. Whatever stands in it is taken as text."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

from paring.runtime.text import visible

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
        lines = [[visible(one_line(cell), LONGEST_CELL) for cell in row] for row in [self.header, *self.rows]]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        told = ["  ".join(map(_aligned, line, widths, range(len(line)))).rstrip() for line in lines]
        return "\n".join([one_line(self.title), *told, *(f"  {one_line(note)}" for note in self.notes)])

    def as_markdown(self) -> str:
        rows = [self.header, *self.rows]
        lines = ["| " + " | ".join(map(_markdown, row)) + " |" for row in rows]
        lines.insert(1, "| " + " | ".join([":--", *["--:"] * (len(self.header) - 1)]) + " |")
        notes = "".join(f"\n- {_markdown(note)}" for note in self.notes)
        return f"## {_markdown(self.title)}\n\n" + "\n".join(lines) + ("\n" + notes if notes else "")

    def as_html(self) -> str:
        head = "".join(f'<th scope="col">{_html(cell)}</th>' for cell in self.header)
        body = "\n".join(map(_html_row, self.rows))
        notes = "".join(f"<li>{_html(note)}</li>" for note in self.notes)
        return (
            f'<section><h2>{_html(self.title)}</h2><div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n'
            f"<tbody>\n{body}\n</tbody></table></div>" + (f"<ul>{notes}</ul>" if notes else "") + "</section>"
        )


def one_line(text: str) -> str:
    """Visible characters, and one space for every stretch of white space."""
    return visible(" ".join(text.split()))


def _aligned(cell: str, width: int, place: int) -> str:
    return cell.rjust(width) if place else cell.ljust(width)


def _markdown(text: str) -> str:
    return one_line(text).translate(_MARKED)


def _html(text: str) -> str:
    return html.escape(one_line(text))


def _html_row(row: Sequence[str]) -> str:
    first, *others = row
    cells = "".join(f"<td>{_html(cell)}</td>" for cell in others)
    return f'<tr><th scope="row">{_html(first)}</th>{cells}</tr>'
