"""The page in a real browser: no script, no request, no element that data made, no scrolling sideways on a phone."""

import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from functools import partial
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from paring.reporting.report import report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium")

QUIET = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --enable-logging=stderr --virtual-time-budget=5000"
).split()
HOSTILE = (
    "<script>document.title='owned'</script><img src=x onerror=\"fetch('/owned')\"></style></main>"
    "<a href=javascript:alert(1)>\u202e\u2066\x00\x1b[2J<svg onload=fetch('/owned')>" + "long" * 2000
)
# Our own page around the report, which may run a script: it looks into the frame as a phone would show it.
LOOKING = """<!doctype html><meta charset="utf-8"><iframe src="report.html" width="WIDTH" height="800"></iframe>
<pre id="found"></pre><script>
addEventListener("load", () => {
  const page = frames[0].document, all = [...page.querySelectorAll("*")];
  const attributes = all.flatMap(element => element.getAttributeNames());
  document.getElementById("found").textContent = JSON.stringify({
    names: all.map(element => element.localName),
    handlers: attributes.filter(name => name.startsWith("on") || name == "style"),
    loaded: frames[0].performance.getEntriesByType("resource").length,
    title: page.title, sideways: page.documentElement.scrollWidth - page.documentElement.clientWidth,
    paper: frames[0].getComputedStyle(page.body).backgroundColor, height: page.documentElement.scrollHeight,
  });
});
</script>"""


class Recording(SimpleHTTPRequestHandler):
    """Keeps what was asked for."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        super().do_GET()

    def end_headers(self) -> None:
        """Without this a second page within the same second would be the first one, from the browser's cache."""
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def look(tmp_path) -> Iterator:
    """`look(html)`: what the browser found in a page, what it complained of, and what it asked for."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Recording, directory=tmp_path))
    server.asked = []
    Thread(target=server.serve_forever, daemon=True).start()

    def run(html: str, *options: str, width: int = 375) -> tuple[dict, list[str], list[str]]:
        (tmp_path / "report.html").write_text(html)
        (tmp_path / "looking.html").write_text(LOOKING.replace("WIDTH", str(width)))
        server.asked.clear()
        address = f"http://127.0.0.1:{server.server_port}/looking.html"
        command = [CHROMIUM, *QUIET, *options, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", address]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
        found = re.search(r'<pre id="found">(.*?)</pre>', ended.stdout, re.DOTALL)
        assert found and found[1], ended.stderr
        said = [line for line in ended.stderr.splitlines() if "CONSOLE" in line]
        return json.loads(unescape(found[1])), said, [path for path in server.asked if path != "/favicon.ico"]

    yield run
    server.shutdown()
    server.server_close()


def study_of(finished_run: Path, folder: Path, text: str) -> Path:
    """A study of two arms of a real run, in which every text of a model, and each name, is `text`."""
    runs = []
    for number in range(4):
        run = folder / f"runs/{number}"
        shutil.copytree(finished_run, run)
        recipe = (run / "run.toml").read_text().replace("seed = 0", f"seed = {number // 2}", 1)
        (run / "run.toml").write_text(recipe)
        result = json.loads((run / "result.json").read_text())
        for example in result["examples"]:
            example |= dict.fromkeys(("question", "gold", "answer", "after"), text)
        result["after"]["task"] = text
        (run / "result.json").write_text(json.dumps(result))
        runs.append(
            {"folder": f"runs/{number}", "arm": f"{number % 2}{text}", "setting": {}, "seed": 0, "stage": "final"}
        )
    study = {"name": text, "question": text, "runs": runs, "tune": None, "chosen": []}
    (folder / "study.json").write_text(json.dumps(study))
    return folder


def page_of(folder: Path) -> str:
    return report(folder).page.read_text()


def test_hostile_text_does_nothing_in_a_browser(finished_run, tmp_path_factory, look):
    folder = tmp_path_factory.mktemp("studies")
    harmless, *_ = look(page_of(study_of(finished_run, folder / "harmless", "x")))
    found, said, asked = look(page_of(study_of(finished_run, folder / "hostile", HOSTILE)))
    assert Counter(found["names"]) == Counter(harmless["names"]) and "script" not in found["names"]
    assert found["handlers"] == [] and found["title"].startswith("<script>") and found["loaded"] == 0
    assert said == [] and asked == ["/looking.html", "/report.html"]
    assert found["sideways"] == harmless["sideways"] == 0


def test_six_arms_at_four_settings_fit_8000_pixels(finished_run, tmp_path, look):
    """Each of two seeds; the runs are copies of one, so that only the pages' own parts take room."""
    runs = []
    for arm in range(6):
        for updates in (1, 2, 4, 8):
            for seed in (0, 1):
                name = f"runs/{arm}-{updates}-{seed}"
                shutil.copytree(finished_run, tmp_path / name)
                recipe = (tmp_path / name / "run.toml").read_text().replace("seed = 0", f"seed = {seed}", 1)
                (tmp_path / name / "run.toml").write_text(recipe)
                setting = {"rollout.updates": updates}
                runs.append({"folder": name, "arm": f"arm-{arm}", "setting": setting, "seed": seed, "stage": "final"})
    study = {"name": "six", "question": "?", "baseline": "arm-3", "runs": runs, "tune": None, "chosen": []}
    (tmp_path / "study.json").write_text(json.dumps(study))
    found, *_ = look(page_of(tmp_path), width=1280)
    assert 2000 < found["height"] < 8000 and found["sideways"] == 0


def test_dark_is_dark(finished_run, tmp_path_factory, look):
    page = page_of(study_of(finished_run, tmp_path_factory.mktemp("study"), "x"))
    light, dark = look(page)[0], look(page, "--blink-settings=preferredColorScheme=0")[0]
    assert (light["paper"], dark["paper"]) == ("rgb(253, 253, 251)", "rgb(21, 23, 27)")


def test_the_browser_would_have_told(finished_run, tmp_path_factory, look):
    """The same page, with what must not happen in it: a handler, a picture, a wide line."""
    page = page_of(study_of(finished_run, tmp_path_factory.mktemp("study"), "x"))
    bad = page.replace("<main>", '<main><img src="/owned.png" onerror="1"><pre>' + "wide" * 200 + "</pre>")
    found, said, _ = look(bad)
    assert found["handlers"] == ["onerror"] and "img" in found["names"] and found["sideways"] > 0
    assert any("Content Security Policy" in line for line in said)
    _, _, asked = look(re.sub(r"<meta http-equiv.*?>", "", bad))
    assert "/owned.png" in asked
