"""The page: no element that data could make, nothing that loads or runs, small, the same bytes, legible colours."""

import base64
import hashlib
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser

import pytest

from paring.reporting.findings import find
from paring.reporting.web_page import TEMPLATES, as_page, fitting_page

HOSTILE = [
    "<script>document.title='owned'</script>",
    "<img src=x onerror=alert(1)>",
    "</style></title></bdi></dd></main><h1>owned</h1>",
    "\"'><a href=javascript:alert(1)>x</a>",
    "{{ 7*7 }}{% raw %}&lt;b&gt;&#60;",
    "\u202eright to left\u2066\u200f\u200b\ufeff",
    "\x00\x1b[2J\x07\r\u2028\u2029\x85\x0b",
    "\ud800 lone, \U0010ffff no character",
    "]]><svg onload=alert(1)><!-- -->",
]


class Census(HTMLParser):
    """Elements by name, attributes by name, and the text."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.attributes, self.links, self.text = Counter(), Counter(), [], ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.elements[tag] += 1
        self.attributes.update(name for name, _ in attributes)
        self.links += [value for name, value in attributes if name in ("href", "src", "xlink:href", "action")]

    def handle_data(self, data):
        self.text += data


def page_of(*folders, **detail):
    return as_page(find(folders), **detail)


@pytest.fixture
def study_of(make_study, tmp_path):
    """A study of two arms; every text that somebody else could have written is `text`."""

    def make(name, text):
        return make_study(tmp_path / name, {f"a{text}": [30, 31], f"b{text}": [20, 22]}, text=text, description=text)

    return make


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_a_folder_makes_an_element(study_of, text):
    harmless, hostile = Census(page_of(study_of("harmless", "x"))), Census(page_of(study_of("hostile", text)))
    assert hostile.elements == harmless.elements and hostile.attributes == harmless.attributes
    assert not {"script", "img", "iframe", "object", "link", "base", "form"} & set(hostile.elements)
    assert not [name for name in hostile.attributes if name.startswith("on") or name == "style"]
    assert all(link.startswith("#") for link in hostile.links)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_cannot_be_seen_is_written_out(study_of, text):
    page = page_of(study_of("hostile", text))
    assert all(character.isprintable() or character in "\n" for character in page)
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    assert shown in Census(page).text


def test_an_escape_in_a_recipe_and_in_a_question_is_one_too(make_run, tmp_path):
    hostile = "<b>\u202e"
    page = page_of(make_run(tmp_path / "run", description=hostile, model={"path": hostile}, rollout={"<i>": hostile}))
    census = Census(page)
    assert "\u202e" not in page and not {"b", "i"} & set(census.elements)
    assert census.text.count(r"<b>\u202e") == 4 and "rollout.<i>" in census.text


def test_the_policy_allows_our_style_and_nothing_else(make_run, tmp_path):
    page = page_of(make_run(tmp_path / "run"))
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    expected = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert f'content="{expected}"' in page
    # Before anything that it has to govern.
    assert page.index("Content-Security-Policy") < page.index("<style>")
    assert "url(" not in style and "@import" not in style and "http" not in page.replace("http-equiv", "")


def test_the_same_folders_give_the_same_page(study_of):
    folder = study_of("study", "x")
    assert page_of(folder) == page_of(folder)


def test_the_numbers_of_the_answer_and_the_tables_are_there(make_study, tmp_path):
    text = Census(page_of(make_study(tmp_path / "study", {"rgra": [28, 30, 32], "raft": [8, 9, 10]}))).text
    assert "75.0 %" in text and "[62.6, 87.4]" in text and "−52.5" in text
    assert "optimiser.lr = 0.001" in text and "0.001: 0.900, 0.01: 0.500" in text and "torch 2.13.0" in text


def test_a_study_of_200_runs_of_150_steps_is_below_a_megabyte(make_study, tmp_path):
    arms = {f"arm-{number}": [20 + number % 9 + seed for seed in range(5)] for number in range(10)}
    folder = make_study(tmp_path / "study", arms, updates=(1, 2, 4, 8), steps=150, text="<&\u202e" * 1000)
    report = find([folder])
    assert len(report.gathered.runs) == 200
    page = fitting_page(report, below=1_000_000)
    assert len(page.encode()) < 1_000_000
    assert "the mean of 3 steps" in page


def test_a_megabyte_of_text_without_a_space_is_cut(make_run, tmp_path):
    page = fitting_page(find([make_run(tmp_path / "run", text="<" * 1_000_000)]), below=1_000_000)
    assert len(page.encode()) < 300_000 and "&lt;…" in page


def test_a_page_that_must_be_smaller_says_less_and_says_so(make_study, tmp_path):
    report = find([make_study(tmp_path / "study", {"rgra": [30, 31]}, steps=150, text="long " * 500)])
    whole = as_page(report)
    smaller = fitting_page(report, below=len(whole) - 1)
    assert len(smaller.encode()) < len(whole) and "To keep this page small" in smaller
    assert "To keep this page small" not in whole
    with pytest.raises(ValueError, match="2 runs: their tables alone take .* Report on fewer"):
        fitting_page(report, below=1000)


def test_pieces_that_are_not_there_are_said(make_run, tmp_path):
    runs = [make_run(tmp_path / "a", seed=0, done=5), make_run(tmp_path / "b", seed=1, items=False)]
    (runs[0] / "samples.jsonl").unlink()
    text = Census(page_of(*runs)).text
    assert "step 5 of 20, no result" in text and "its answers cannot be paired" in text
    nothing = make_run(tmp_path / "c", done=0)
    assert "No run has come to its end" in Census(page_of(nothing)).text


def luminance(colour):
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    """WCAG 2: 1 to 21."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("mode", [0, 1, 2], ids=["light", "dark", "print"])
def test_colours_are_legible(mode):
    css = (TEMPLATES / "page.css").read_text()
    colours = dict(re.findall(r"--([\w-]+): (#\w+)", re.findall(r":root \{(.*?)\}", css, re.DOTALL)[mode]))
    colours = {
        name: value if len(value) == 7 else "#" + "".join(c + c for c in value[1:]) for name, value in colours.items()
    }
    for ground in ("paper", "raised"):
        for text in ("ink", "soft", "accent", "right"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for line in range(6):
        assert contrast(colours[f"c{line}"], colours["paper"]) >= 3, line
    for shade in ("up1", "up2", "up3", "up4", "down1", "down2", "down3", "down4"):
        assert contrast(colours["shade-ink"], colours[shade]) >= 4.5, shade


def test_reports_know_nothing_of_torch(make_run, tmp_path):
    script = f"""
import sys
from paring.cli import main
sys.argv = ["paring", "report", {str(make_run(tmp_path / "run"))!r}]
try:
    main()
finally:
    print("torch" in sys.modules, "matplotlib" in sys.modules, "transformers" in sys.modules)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "False False False"
