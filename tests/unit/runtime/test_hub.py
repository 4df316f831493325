"""Data sets on the hub, from a server of our own that speaks as the hub does: splits, revisions, what is not there."""

import json
import os
import subprocess
import sys
import threading
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

pytest.importorskip("datasets")

NAME = "me/sums"
REVISIONS = {"main": "a" * 40, "v1": "b" * 40}


def lines(*sums):
    return "".join(json.dumps({"question": f"{n}+{n}?", "answer": 2 * n}) + "\n" for n in sums).encode()


FILES = {
    "a" * 40: {"data/train.jsonl": lines(*range(1, 9)), "data/test.jsonl": lines(20, 21)},
    "b" * 40: {"data/train.jsonl": lines(1, 2, 3), "data/test.jsonl": lines(30)},
}
READ = """
import json, sys
from paring.runtime.sources import Source
for name, split, revision in json.loads(sys.argv[1]):
    source = Source(name, "task.data", None, revision)
    try:
        print(json.dumps([source.has("test"), [row["answer"] for row, _ in source.values(split, ())]]))
    except Exception as error:
        print(json.dumps(f"{type(error).__name__}: {error}"))
"""


class Hub(BaseHTTPRequestHandler):
    """The few addresses that the hub's client asks for of a data set of plain files."""

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.partition("?")[0]
        api, files = f"/api/datasets/{NAME}", f"/datasets/{NAME}/resolve/"
        if path == api or path.startswith(f"{api}/revision/"):
            revision = path.rpartition("/")[2] if "/revision/" in path else "main"
            commit = REVISIONS.get(revision, revision)
            if commit not in FILES:
                return self.reply(404, b"{}", X_Error_Code="RevisionNotFound")
            siblings = [{"rfilename": name} for name in FILES[commit]]
            about = {"id": NAME, "sha": commit, "siblings": siblings, "tags": [], "private": False, "gated": False}
            return self.reply(200, json.dumps(about).encode())
        if path.startswith(f"{api}/tree/"):
            commit, _, folder = path.removeprefix(f"{api}/tree/").partition("/")
            entries = [
                {"type": "file", "path": name, "size": len(content), "oid": sha1(content).hexdigest()}
                for name, content in FILES[commit].items()
            ]
            top = [{"type": "directory", "path": "data", "oid": "0" * 40}]
            return self.reply(200, json.dumps(entries if folder == "data" else top).encode())
        if path.startswith(files):
            commit, _, name = path.removeprefix(files).partition("/")
            commit = REVISIONS.get(commit, commit)
            if content := FILES.get(commit, {}).get(name):
                return self.reply(200, content, ETag=f'"{sha1(content).hexdigest()}"', X_Repo_Commit=commit)
            return self.reply(404, b"", X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
        return self.reply(404, b"{}", X_Error_Code="RepoNotFound")

    def reply(self, status, content, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_):
        """Quiet."""


@pytest.fixture
def read(tmp_path):
    """Reads by a process of its own, since the hub's client takes its address once."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    place = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
    quiet = {"NO_PROXY": "127.0.0.1", "HF_DATASETS_OFFLINE": "0", "HF_HUB_DISABLE_TELEMETRY": "1"}

    def run(*asked):
        done = subprocess.run(
            [sys.executable, "-c", READ, json.dumps(asked)],
            env=os.environ | place | quiet,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    yield run
    server.shutdown()
    server.server_close()


def test_splits_and_revisions_come_from_the_hub_and_what_is_not_there_is_said(read):
    newest, older, no_revision, no_name, no_split = read(
        (NAME, "train", None),
        (NAME, "test", "v1"),
        (NAME, "train", "v9"),
        ("me/none", "train", None),
        (NAME, "dev", None),
    )
    assert newest == [True, [2, 4, 6, 8, 10, 12, 14, 16]] and older == [True, [60]]
    for message, why in ((no_revision, "Revision 'v9' doesn't exist"), (no_name, "me/none"), (no_split, '"dev"')):
        assert message.startswith("FileNotFoundError: ") and "the hub did not give it" in message and why in message
