"""The form of a report: sections of passages. The page and the Markdown render the same list."""

from collections.abc import Sequence
from dataclasses import dataclass

from paring.reporting.chart import Gallery
from paring.reporting.exchanges import Exchange
from paring.reporting.means_figure import MeansFigure
from paring.reporting.rank_grid import RankPicture
from paring.runtime.tables import Table, escaped


@dataclass(frozen=True)
class Passage:
    """Sentences, a table and figures under a title; each may be absent. Markdown leaves passages with figures out.

    fold      the line under which sentences, table and figures fold away on the page; empty: they stand open
    unfolded  whether they are open at first
    narrow    the table is a list of names and values, for several columns on the page
    tone      how the sentences look on the page: lead, plain or note
    """

    title: str = ""
    sentences: Sequence[str] = ()
    table: Table | None = None
    fold: str = ""
    unfolded: bool = True
    narrow: bool = False
    tone: str = "note"
    figures: Sequence[Gallery | MeansFigure | Exchange | RankPicture] = ()

    def __bool__(self) -> bool:
        return bool(self.sentences or self.table or self.figures)


@dataclass(frozen=True)
class Section:
    """Passages under a heading; `name` is where a link leads. fold: the line under which all of them fold away."""

    name: str
    title: str
    passages: Sequence[Passage]
    fold: str = ""


def as_markdown(title: str, question: str, sections: Sequence[Section]) -> str:
    """Sentences and tables, for an issue, a mail or a repository. Every text that comes from a folder is escaped."""
    lines = [f"# {escaped(title)}", *(["", f"> {escaped(question)}"] if question else [])]
    for section in sections:
        passages = [passage for passage in section.passages if not passage.figures]
        lines += ["", f"## {section.title}"] if passages else []
        for passage in passages:
            lines += ["", f"### {escaped(passage.title)}"] if passage.title else []
            lines += [line for sentence in passage.sentences for line in ("", escaped(sentence))]
            lines += ["", escaped(passage.fold)] if passage.fold else []
            lines += ["", *passage.table.as_markdown()] if passage.table else []
    return "\n".join(lines) + "\n"
