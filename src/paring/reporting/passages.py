"""The form of a report: sections of passages. The page and the Markdown render the same list."""

from collections.abc import Sequence
from dataclasses import dataclass

from paring.reporting.chart import Gallery, Strips
from paring.reporting.exchanges import Exchange
from paring.reporting.rank_grid import RankPicture
from paring.runtime.tables import Table


@dataclass(frozen=True)
class Passage:
    """Sentences, a table and figures under a title; each may be absent. Markdown leaves passages with figures out.

    fold      the line under which sentences and table fold away on the page; empty: they stand open
    unfolded  whether they are open at first
    strips    drawn beside the rows of the table
    narrow    the table is a list of names and values, for several columns on the page
    """

    title: str = ""
    sentences: Sequence[str] = ()
    table: Table | None = None
    fold: str = ""
    unfolded: bool = True
    strips: Strips | None = None
    narrow: bool = False
    figures: Sequence[Gallery | Exchange | RankPicture] = ()


@dataclass(frozen=True)
class Section:
    """Passages under a heading; `name` is where a link leads, `tone` how its sentences look."""

    name: str
    title: str
    passages: Sequence[Passage]
    tone: str = "note"
