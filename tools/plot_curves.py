"""Draw a metric of finished runs: python tools/plot_curves.py METRIC OUT.svg TITLE NAME=RUN[,RUN...] ..."""

import sys
from pathlib import Path

from paring.report.plots import curves


def main() -> None:
    metric, out, title, *named = sys.argv[1:]
    runs = {name: [Path(run) for run in folders.split(",")] for name, _, folders in (n.partition("=") for n in named)}
    curves(runs, metric, Path(out), title=title)


if __name__ == "__main__":
    main()
