"""README.md and docs/*.md: short sentences, links that lead somewhere, an index of all pages."""

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

HOME = Path(__file__).parents[2]
PAGES = [HOME / "README.md", *sorted(HOME.glob("docs/*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)

_spec = spec_from_file_location("sentences", HOME / "tools" / "sentences.py")
counted = module_from_spec(_spec)
_spec.loader.exec_module(counted)


@pytest.fixture(params=PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def page(request) -> Path:
    return request.param


def test_a_sentence_is_what_a_reader_reads_as_one():
    text = """# A heading that is not counted.

Here are `code with. many words` and [a link](https://a.b/c.d?e=f). It ends e.g. here (as
arXiv says, sec. 3)! | Yes: 0.5 of it.

- First item without a stop
- Second item, of "quoted words." And more, to be sure

| a table | is not. counted at all |
```
neither is code. Not at all.
```
![nor an image. at all](x.svg) To end ... not here.
"""
    found = counted.sentences(text)
    assert found == [
        "Here are `code with. many words` and a link.",
        "It ends e.g. here (as arXiv says, sec. 3)!",
        "| Yes: 0.5 of it.",
        "First item without a stop",
        'Second item, of "quoted words."',
        "And more, to be sure",
        "To end ... not here.",
    ]
    assert [len(counted.words(one)) for one in found] == [6, 9, 4, 5, 5, 5, 4]


def test_the_mean_sentence_is_short(page):
    lengths = [len(counted.words(one)) for one in counted.sentences(page.read_text(encoding="utf-8"))]
    assert not lengths or sum(lengths) / len(lengths) < 18


def test_no_sentence_starts_with_of(page):
    assert [one for one in counted.sentences(page.read_text(encoding="utf-8")) if one.startswith("Of ")] == []


def test_relative_links_lead_to_a_file_and_a_heading(page):
    for target in LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        if target.startswith("https://") or not (HOME / place.relative_to(HOME).parts[0]).exists():
            continue  # of another site, or of a folder that this copy leaves out
        assert place.exists(), target
        assert not anchor or anchor in anchors(place), target


def test_every_page_is_in_the_index():
    index = LINK.findall((HOME / "docs" / "README.md").read_text(encoding="utf-8"))
    assert {page.name for page in HOME.glob("docs/*.md")} - {"README.md"} <= set(index)


def test_the_readme_is_short_and_shows_code_early():
    text = (HOME / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= 900
    assert "```python" in text.splitlines()[:59]


def anchors(page: Path) -> set[str]:
    """The headings of a page as a repository's site links to them."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
