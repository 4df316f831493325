"""The shell of a page: its policy allows its own style and nothing else, and its title is text."""

import base64
import hashlib

from paring.runtime.page import page


def test_the_policy_allows_our_style_and_nothing_else():
    style = "p { color: red; }"
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    shown = page("Two", "<p>body</p>", style)
    assert f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'" in shown
    assert f"<style>{style}</style>" in shown and "<body>\n<p>body</p>\n</body>" in shown
    assert shown.startswith("<!doctype html>\n") and shown.endswith("</html>\n") and "<title>Two</title>" in shown


def test_a_hostile_title_is_text(hostile):
    title = page(f"{hostile}</title><script>", "", "").partition("<title>")[2].partition("</title>")[0]
    assert "<" not in title and "\x1b" not in title and "\x00" not in title
    assert title.endswith("&lt;/title&gt;&lt;script&gt;")
