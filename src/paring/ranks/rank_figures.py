"""Figures of the ranks of a run, written: SVG, and PNG on request. Needs the extra `figures` (matplotlib)."""

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from paring.ranks.flow import rank_flow
from paring.ranks.heat_map import rank_map
from paring.ranks.reading import Ranks
from paring.runtime.files import write_durably

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

FIGURES = {"ranks-map": rank_map, "ranks-flow": rank_flow}
WIDTH = 7.2
"""Inches: both columns of a paper."""
STYLE: "dict[RcKeyType, object]" = {
    # A fixed salt and no date: the same run gives the same file.
    "svg.hashsalt": "paring",
    # Names come from a model: a dollar sign in them is no formula.
    "text.parse_math": False,
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "hatch.linewidth": 0.4,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "legend.columnspacing": 1.5,
    "legend.borderpad": 0.2,
    "legend.borderaxespad": 0,
    "legend.handletextpad": 0.2,
}


def write_figures(ranks: Ranks, to: Path, *, png: bool) -> list[Path]:
    """Write the figures into the folder `to`, made if needed; files of their names there are replaced.

    Raises ModuleNotFoundError without matplotlib, ValueError where the folder cannot be written."""
    try:
        from matplotlib import rc_context
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError('figures need matplotlib: pip install "paring[figures]"') from error
    drawn: dict[Path, bytes] = {}
    with rc_context(STYLE):
        for name, draw in FIGURES.items():
            figure = draw(ranks, WIDTH)
            for ending in ("svg", "png") if png else ("svg",):
                page = BytesIO()
                figure.savefig(page, format=ending, dpi=200, metadata={"Date": None} if ending == "svg" else None)
                drawn[to / f"{name}.{ending}"] = page.getvalue()
    try:
        to.mkdir(parents=True, exist_ok=True)
        for path, content in drawn.items():
            write_durably(path, content)
    except OSError as error:
        raise ValueError(f"{to} cannot be written: {error.strerror}. Choose another with --figures") from error
    return list(drawn)
