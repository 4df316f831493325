"""The table of a run in a notebook, and results as HTML: drawn in one place, escaped, without a script."""

import sys
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest

import paring
from paring.runtime import notebook
from paring.runtime.notebook import NotebookTable, is_notebook
from paring.runtime.screen import PlainLines, Screen

ALLOWED = {"p", "strong", "div", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "details", "summary", "pre"}


class Elements(HTMLParser):
    """The elements of a text, and their attributes."""

    def __init__(self, html):
        super().__init__()
        self.names, self.attributes = set(), set()
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}


def check_harmless(html):
    found = Elements(html)
    assert found.names <= ALLOWED and found.attributes <= {"class", "scope", "role", "aria-label", "tabindex"}


@pytest.fixture
def kernel(monkeypatch):
    """A notebook that remembers what was shown, and what was put in its place."""
    drawn = []

    def show(html):
        drawn.append([html])
        return drawn[-1].append

    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object())))
    monkeypatch.setattr(NotebookTable.__init__, "__defaults__", (show,))
    return drawn


@pytest.fixture(scope="module")
def finished_result(small_run, tmp_path_factory):
    """The result of a run of one step, and an evaluation of it."""
    folder = tmp_path_factory.mktemp("shown") / "run"
    return paring.train(small_run({"steps": 1}), folder), paring.evaluate(folder, limit=3)


def test_a_run_is_one_table_that_is_drawn_again(kernel, hostile):
    screen = Screen(clock=lambda: 5.0)
    screen.start(hostile, 4)
    screen.sample(hostile, hostile, 0.5)
    for step in (1, 2):
        screen.step({"step": step, "reward": step / 4, "accuracy": 0.5, "entropy": float("nan")})
    screen.note(hostile)
    screen.finish()
    [table] = kernel
    assert len(table) == 4 and "step 2/4" in table[-1] and "0.5" in table[-1] and "▁█" in table[-1]
    for html in table:
        check_harmless(html)
    screen.start("again", 4)
    assert len(kernel) == 2


def test_elsewhere_nothing_changes(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not is_notebook() and isinstance(Screen()._display, PlainLines)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert not notebook.is_notebook()


def test_results_show_themselves(finished_result, kernel, hostile):
    result, evaluation = finished_result
    html = result._repr_html_()
    check_harmless(html)
    assert "accuracy" in html and "before" in html and str(result.folder) in html
    examples = [replace(one, question=hostile, answer=hostile, after=hostile) for one in result.values.examples]
    check_harmless(replace(result, values=replace(result.values, examples=examples))._repr_html_())
    check_harmless(replace(result, values=None)._repr_html_())
    check_harmless(replace(evaluation, task=hostile, verdicts={hostile: 1}, traits={hostile: 0.5})._repr_html_())
    assert "accuracy" in evaluation._repr_html_()
