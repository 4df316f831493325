"""Hold tiny models of every family to the contract, and write the table of docs/models.md: make test-models

    python tools/write_models.py --date 2026-11-27 [--only NAME ...]

With --only the rows of these cases are printed and the page stays. The exit status is 1 where a row is wrong."""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

HOME = Path(__file__).parents[1]
sys.path.insert(0, str(HOME / "tests" / "models"))

import families  # noqa: E402
import torch  # noqa: E402
from transformers.utils import logging  # noqa: E402

import contract  # noqa: E402

PAGE = HOME / "docs" / "models.md"
BEGIN, END = "<!-- table: written by tools/write_models.py -->", "<!-- end of the table -->"
CHECKS = list(contract.TOLERANCES)


def outcome(case: families.Case) -> contract.Row:
    """The row of one case."""
    with TemporaryDirectory() as folder:
        model = families.build(case)
        families.write_checkpoint(model, Path(folder) / "base")
        return contract.examine(model, Path(folder))


def cell(name: str, error: float | str) -> str:
    """One error, in bold where the check does not hold."""
    if isinstance(error, str):
        return "**fails**" if contract.fails(name, error) else "refused"
    text = str(error) if isinstance(error, int) else f"{error:.0e}"
    text = text.replace("e-0", "e-").replace("0e+00", "0")
    return f"**{text}**" if contract.fails(name, error) else text


def line(name: str, row: contract.Row) -> str:
    cells = [cell(check, row.errors[check]) if check in row.errors else "" for check in CHECKS]
    return f"| {name} | {plain(row.path)} | {' | '.join(cells)} |"


def plain(text: str) -> str:
    """A reason as it stands in a cell: without advice that many end with, and without numbers of this machine."""
    return re.split(r": choose | \(a model is | \(off by ", text)[0].replace("|", "/")


def block(rows: Mapping[str, contract.Row], date: str) -> str:
    """The part of the page that this tool writes."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("transformers", "torch", "peft"))
    counted = Counter(kind(row) for row in rows.values())
    counts = ", ".join(f"{counted[name]} {name}" for name in sorted(counted))
    parts = [
        f"{len(rows)} models: {counts}. {versions}; {date}.",
        table(["model", "path", *CHECKS], (line(name, row) for name, row in rows.items())),
    ]
    if wrong := [f"- {name}: {words}" for name, row in rows.items() for words in failures(row)]:
        parts += ["What does not hold:", "\n".join(wrong)]
    parts.append("Families without a row:")
    parts.append(table(["family", "reason"], (f"| {name} | {why} |" for name, why in families.UNBUILT.items())))
    return "\n\n".join([BEGIN, *parts, END])


def table(heads: list[str], lines: Iterable[str]) -> str:
    return "\n".join([f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}", *lines])


def kind(row: contract.Row) -> str:
    if row.refused:
        return "refused"
    return "wrong" if row.wrong else f"right ({row.path.partition(':')[0]})"


def failures(row: contract.Row) -> list[str]:
    """The checks that were stopped by an error, with the error."""
    return [f"{check}: {plain(row.errors[check])}" for check in row.wrong if isinstance(row.errors[check], str)]


def write(text: str) -> None:
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(before + text + rest.partition(END)[2], encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--date", required=True, help="of the page, as 2026-11-27")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these cases, or all of these families")
    given = parser.parse_args()
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    rows = {}
    for case in families.cases():
        if given.only is None or {case.name, case.family} & set(given.only):
            rows[case.name] = outcome(case)
            print(line(case.name, rows[case.name]), *failures(rows[case.name]), sep="\n  ", flush=True)
    if given.only is None:
        write(block(rows, given.date))
    return int(any(row.wrong for row in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
