"""On a system without fcntl and resource, in another encoding, as on Windows: the package starts, trains, evaluates."""

import json
import os
import subprocess
import sys

import pytest

BLOCKED = """
import importlib.util, json, sys, warnings

if importlib.util.find_spec("psutil"):
    import psutil  # transformers imports it; on Windows it is another, which needs neither
sys.modules["fcntl"] = sys.modules["resource"] = None
warnings.filterwarnings("error", category=EncodingWarning, module=r"paring\\.")
from paring.cli import main

for arguments in json.loads(sys.argv[1]):
    sys.argv = ["paring", *arguments]
    try:
        main()
    except SystemExit as end:
        assert not end.code, (arguments, end.code)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, small_overrides):
    """The folder of a run of one step, made, evaluated and reported there, and what was printed."""
    made = tmp_path_factory.mktemp("blocked") / "run"
    commands = [
        ["--help"],
        ["train", "quickstart", *small_overrides, "steps=1", "--out", str(made)],
        ["eval", str(made), "--task", "arithmetic", "--limit", "4"],
        ["report", str(made)],
    ]
    done = subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", "-c", BLOCKED, json.dumps(commands)],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "cp1252"},
    )
    assert done.returncode == 0, done.stderr.decode("cp1252")
    return made, done.stdout.decode("cp1252"), done.stderr.decode("cp1252")


def test_it_trains_and_says_that_nothing_locks_the_folder(folder, finished_run):
    made, printed, complained = folder
    assert "Usage: paring" in printed and "has no locks" in complained
    ours, theirs = (json.loads((run / "metrics.jsonl").read_text().splitlines()[0]) for run in (made, finished_run))
    assert ours["reward"] == theirs["reward"] and ours["loss"] == theirs["loss"]
    assert "peak_memory_gb" not in ours and "peak_memory_gb" in theirs


def test_no_line_ends_as_on_windows(folder):
    texts = [path for path in folder[0].rglob("*") if path.suffix in (".toml", ".json", ".jsonl", ".md", ".html")]
    assert len(texts) > 5 and not [path.name for path in texts if b"\r" in path.read_bytes()]
