"""Write docs/settings.md from the settings classes: python tools/write_settings.py"""

from collections.abc import Sequence
from pathlib import Path

from paring.settings.foreign import FOREIGN
from paring.settings.reference import Setting, sections
from paring.training.config import METHODS

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"


def page() -> str:
    parts = [
        "# Settings",
        "Every key of a recipe, from the code. The command line takes them as `KEY=VALUE`: "
        "`paring train quickstart optimiser.lr=5e-4`. Python takes them as "
        '`load_run("quickstart", **{"optimiser.lr": 5e-4})`. '
        "`paring recipes --keys SECTION` prints the same list.",
        'A run of reinforcement learning has `method = "rl"`, which is the default. A supervised one has '
        '`method = "sft"`. Sections that differ between the two stand here twice.',
        "`since` names the version in [CHANGELOG.md](../CHANGELOG.md) that brought the setting.",
        "This page is written by `tools/write_settings.py`.",
    ]
    for name, rows in sections(METHODS).items():
        cells = [
            [f"`{row.key}`", _type(row), row.default, row.bound, ", ".join(row.kinds), _text(row.meaning), row.since]
            for row in rows
        ]
        parts += [f"## {name}", _table(("setting", "type", "default", "bound", "for", "meaning", "since"), cells)]
    here = [[f"`{one.name}`", one.library, " or ".join(f"`{key}`" for key in one.ours), one.note] for one in FOREIGN]
    parts += [
        "## Names of other libraries",
        "A recipe with one of these names is answered with ours.",
        _table(("there", "library", "here", "note"), here),
    ]
    return "\n\n".join(parts) + "\n"


def _type(row: Setting) -> str:
    return row.type.replace('" or "', '", "')


def _text(meaning: str) -> str:
    """No tag that a meaning names is one of the page."""
    return meaning.replace("<", "\\<")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table, without the columns that are empty. The texts are our own, so their marks of code stay."""
    kept = [place for place in range(len(head)) if any(row[place] for row in rows)]
    lines = [[row[place].replace("|", "\\|") for place in kept] for row in (head, ["---"] * len(head), *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
