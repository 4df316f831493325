"""Tables: aligned in a terminal, and hostile text is text in every form."""

from html.parser import HTMLParser

import pytest

from paring.runtime.tables import Table

SMALL = Table(["task", "n"], [["a", "1"], ["long name", "20"]], "Two", ["a note"])


def test_as_text():
    lines = ["Two", "task        n", "-------------", "a           1", "long name  20", "  a note"]
    assert SMALL.as_text() == lines


def test_as_markdown():
    assert SMALL.as_markdown() == ["| task | n |", "| --- | ---: |", "| a | 1 |", "| long name | 20 |", "", "- a note"]


def test_as_html():
    shown = SMALL.as_html()
    assert '<th scope="row">long name</th><td class="n">20</td>' in shown and "<li>a note</li>" in shown


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, [name for name, _ in attributes]))


def tags(page):
    parser = Tags()
    parser.feed(page)
    return parser.found


def table_of(text):
    return Table([text, "n"], [[text, text]], text, [text])


def test_hostile_text_makes_no_element_and_no_cell(hostile):
    shown = table_of(hostile).as_html()
    assert tags(shown) == tags(table_of("plain").as_html())
    assert "\x1b" not in shown and "\u202e" not in shown and "\x00" not in shown


def test_hostile_text_is_harmless_in_a_terminal(hostile):
    lines = table_of(hostile).as_text()
    assert len(lines) == 5
    assert all(line.isprintable() for line in lines)


def test_hostile_text_stays_in_its_cell_of_markdown(hostile):
    lines = table_of(hostile).as_markdown()
    assert len(lines) == len(table_of("plain").as_markdown())
    for row in (lines[0], lines[2]):
        assert row.replace("\\|", "").count("|") == 3
        assert "<" not in row.replace("\\<", "") and "[" not in row.replace("\\[", "")


@pytest.mark.parametrize("text", ["", " ", "x" * 10_000])
def test_cells_of_any_length(text):
    assert all(len(line) < 300 for line in table_of(text).as_text()[1:4])
