"""The site of docs/: every command of a page can be given, every page is in it, the notebook runs."""

import importlib.util
import io
import json
import re
import shlex
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
    spec = importlib.util.spec_from_file_location("write_site", ROOT / "tools" / "write_site.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = module.api()
    assert [name for name in paring.__all__ if name != "__version__" and f"## {name}\n" not in page] == []
    assert "greedy" in page.lower() and "0x" not in page, "docstrings, and no address of an object"
    listed = re.findall(r"^- \[([\w-]+\.md)\]", module.llms(), re.MULTILINE)
    assert sorted(listed) == sorted(page.name for page in ROOT.glob("docs/*.md") if page.name != "README.md")


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
