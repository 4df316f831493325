"""Tables: aligned in a terminal, and hostile text is text in every form."""

from html.parser import HTMLParser

from paring.evaluation.tables import Table

SMALL = Table("Two", ["task", "n"], [["a", "1"], ["long name", "20"]], ["a note"])


def test_as_text():
    assert SMALL.as_text() == "Two\ntask        n\na           1\nlong name  20\n  a note"


def test_as_markdown():
    assert SMALL.as_markdown() == "## Two\n\n| task | n |\n| :-- | --: |\n| a | 1 |\n| long name | 20 |\n\n- a note"


def test_as_html():
    told = SMALL.as_html()
    assert '<th scope="row">long name</th><td>20</td>' in told and "<h2>Two</h2>" in told and "<li>a note</li>" in told


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, attributes))


def tags(page):
    parser = Tags()
    parser.feed(page)
    return parser.found


def table_of(text):
    return Table(text, [text, "n"], [[text, text]], [text])


def test_hostile_text_makes_no_element_and_no_cell(hostile):
    told = table_of(hostile).as_html()
    assert tags(told) == tags(table_of("plain").as_html())
    assert "\x1b" not in told and "\u202e" not in told and "\x00" not in told


def test_hostile_text_is_harmless_in_a_terminal(hostile):
    told = table_of(hostile).as_text()
    assert len(told.split("\n")) == 4
    assert all(character.isprintable() or character == "\n" for character in told)


def test_hostile_text_stays_in_its_cell_of_markdown(hostile):
    lines = table_of(hostile).as_markdown().split("\n")
    assert len(lines) == len(table_of("plain").as_markdown().split("\n"))
    for row in (lines[2], lines[4]):
        cells_are_text(row)


def cells_are_text(row):
    assert row.replace("\\|", "").count("|") == 3
    assert "<" not in row.replace("\\<", "") and "[" not in row.replace("\\[", "")
