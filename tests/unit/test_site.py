"""The site of docs/: every command of a page can be given, every page is in it, the notebook runs."""

import colorsys
import importlib.util
import io
import json
import re
import shlex
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import typer

import paring
from paring import load_run
from paring.cli import app
from paring.settings.recipes import recipe_names

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
BLOCK = re.compile(r"^```[a-z]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMANDS = typer.main.get_command(app).commands
HERE = (
    "examples/",
    "adapter.start=",
    "task.",
    "tasks=",
    "model.path=",
    "data.",
    "objective.path=",
    "objective.teacher=",
)
"""Settings that name files of a reader's own, or settings that need one of these."""


def commands_of(page: Path) -> list[str]:
    """The lines of a page's blocks that begin with `paring`, continued lines joined."""
    blocks = BLOCK.findall(page.read_text(encoding="utf-8").replace("\\\n", " "))
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip().startswith("paring ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_can_be_given(page):
    for line in commands_of(page):
        words = shlex.split(line, comments=True)
        if len(words) < 2 or words[1].startswith("-"):
            continue
        assert words[1] in COMMANDS, line
        known = {option for part in COMMANDS[words[1]].params for option in part.opts} | {"--help"}
        assert {word.partition("=")[0] for word in words[2:] if word.startswith("--")} <= known, line
        overrides = [word.partition("=") for word in words[3:] if re.match(r"[a-z_.]+=", word)]
        if words[1] == "train" and words[2] in recipe_names() and not any(mark in line for mark in HERE):
            load_run(words[2], **{key: value_of(value) for key, _, value in overrides})


def value_of(text: str) -> object:
    """The value of an override as the command line takes it."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def test_the_pages_that_only_the_site_has_are_whole():
    module = loaded("write_site")
    page = module.api()
    assert [name for name in paring.__all__ if name != "__version__" and f"## {name}\n" not in page] == []
    assert "greedy" in page.lower() and "0x" not in page, "docstrings, and no address of an object"
    listed = re.findall(r"^- \[([\w-]+\.md)\]", module.llms(), re.MULTILINE)
    assert sorted(listed) == sorted(page.name for page in ROOT.glob("docs/*.md") if page.name != "README.md")


def loaded(tool):
    spec = importlib.util.spec_from_file_location(tool, ROOT / "tools" / f"{tool}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[tool] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("figure", sorted(ROOT.glob("docs/figures/*.svg")), ids=lambda figure: figure.name)
def test_a_figure_has_a_title_and_follows_the_readers_colours(figure):
    """`python tools/style_figures.py` after a figure was drawn anew."""
    tool = loaded("style_figures")
    text, title = figure.read_text(encoding="utf-8"), tool.titles()[figure.name]
    assert tool.styled(text, title, is_map="map" in figure.stem) == text and "<title>" in text
    drawn = text.partition("</style>")[2]
    assert "prefers-color-scheme: dark" in text and "#ffffff" not in drawn and "#000000" not in drawn
    assert 2 * drawn.count('class="light"') == 2 * drawn.count('class="dark"') == drawn.count("<image ")


def test_the_dark_colours_of_a_map_keep_their_hue():
    darkened = loaded("style_figures").darkened
    assert (darkened("ffffff"), darkened("000000")) == ("#171717", "#e6e6e6")  # 0.09 and 0.9 of 255
    hues = [colorsys.rgb_to_hls(*bytes.fromhex(colour))[0] for colour in ("fee0b6", darkened("fee0b6")[1:])]
    assert hues[0] == pytest.approx(hues[1], abs=0.01)


def test_a_training_of_a_guide_is_made_short_and_nothing_else():
    tool = loaded("follow_guides")
    assert tool.shortened("paring train quickstart seed=1") == f"paring train quickstart seed=1 {tool.SHORT}"
    assert [tool.shortened(same) for same in ("paring train a.toml --dry-run", "paring train --resume runs/a")] == [
        "paring train a.toml --dry-run",
        "paring train --resume runs/a",
    ]
    python = "python - <<'END'\nrun = paring.load_run(\"quickstart\", steps=50, seed=1)\nEND"
    assert 'load_run("quickstart", steps=3, seed=1)' in tool.shortened(python)
    assert next(tool.commands_of(ROOT / "docs/guides.md")) == "paring train quickstart"


def test_the_notebook_runs(monkeypatch):
    """Cell by cell in this process; what a cell ends with shows itself."""
    cells = json.loads((ROOT / "examples" / "first_run.ipynb").read_text(encoding="utf-8"))["cells"]
    names: dict[str, object] = {}
    with redirect_stdout(io.StringIO()):
        for cell in cells:
            if cell["cell_type"] == "code":
                exec("".join(cell["source"]), names)
    assert "<table>" in names["result"]._repr_html_() and "<table>" in names["evaluation"]._repr_html_()


def test_the_notebook_runs_in_a_kernel():
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    book = nbformat.read(ROOT / "examples" / "first_run.ipynb", as_version=4)
    nbclient.NotebookClient(book, timeout=120).execute()
    outputs = [out for cell in book.cells for out in cell.get("outputs", [])]
    assert sum("text/html" in out.get("data", {}) for out in outputs) >= 3
