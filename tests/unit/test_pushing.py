"""Pushing to a hub that is a stub: what is uploaded, what is refused, and that a dry run calls nothing."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from paring.subjects.pushing import push
from paring.training.config import load_run, to_toml


class StubHub:
    def __init__(self, error=None):
        self.calls, self.error, self.files = [], error, {}

    def create_repo(self, repo_id, *, private=None, exist_ok=False):
        self.calls.append(("create", repo_id, private, exist_ok))
        if self.error:
            raise self.error

    def upload_folder(self, *, repo_id, folder_path, commit_message=None):
        self.calls.append(("upload", repo_id))
        self.files = {file.name: file.read_bytes() for file in Path(folder_path).iterdir()}


def refusal(status):
    error = OSError("secret details\x1b[2J")
    error.response = SimpleNamespace(status_code=status)
    return error


def test_a_push_uploads_the_adapter_with_its_card(finished_run):
    hub = StubHub()
    pushed = push(finished_run, "me/sums", licence="mit", private=True, hub=hub)
    assert hub.calls == [("create", "me/sums", True, True), ("upload", "me/sums")]
    assert {"adapter_model.safetensors", "adapter_config.json", "README.md"} <= set(hub.files)
    assert {name: len(content) for name, content in hub.files.items()} == pushed.files
    card = hub.files["README.md"].decode()
    assert "license: mit" in card and "# sums" in card and "nothing is said of a licence" not in card
    assert "/tmp" not in card and str(finished_run) not in card and "pushed to me/sums" in str(pushed)


def test_a_dry_run_calls_nothing(finished_run):
    hub = StubHub()
    shown = str(push(finished_run, "me/sums", dry_run=True, hub=hub))
    assert hub.calls == [] and shown.startswith("would be pushed to me/sums: adapter, ")
    assert "README.md:" in shown and shown.endswith("nothing was pushed")


@pytest.fixture(scope="module")
def of_a_local_base(finished_run, tmp_path_factory):
    """The same run, as if its base lay in a folder of this machine."""
    import shutil

    from paring.policy.loading import SHIPPED

    place = tmp_path_factory.mktemp("local")
    shutil.copytree(SHIPPED["embedded"], place / "base")
    shutil.copytree(finished_run, place / "run")
    run = load_run(finished_run, model={"path": str(place / "base")})
    (place / "run" / "run.toml").write_text(to_toml(run))
    return place / "run"


def test_a_base_that_no_reader_has_is_refused_or_named(of_a_local_base):
    with pytest.raises(ValueError, match=r"which no reader of the hub has: name the same model on the hub with --base"):
        push(of_a_local_base, "me/sums", hub=StubHub())
    hub = StubHub()
    push(of_a_local_base, "me/sums", base="them/base", hub=hub)
    assert json.loads(hub.files["adapter_config.json"])["base_model_name_or_path"] == "them/base"
    assert "base_model: them/base" in hub.files["README.md"].decode()


def test_a_whole_model_needs_no_base(of_a_local_base):
    hub = StubHub()
    assert push(of_a_local_base, "me/whole", merged=True, hub=hub).export.kind == "model"
    assert "model.safetensors" in hub.files


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (401, "(401 Unauthorized: secret details\\x1b[2J)"),
        (401, "log in with  hf auth login"),
        (403, "is there a me, and has the token the right"),
        (404, "is there a me, and has the token the right"),
        (429, "): it takes no more requests for a while: push again later"),
        (503, "it fails itself: push again later"),
        (None, "HF_HUB_OFFLINE"),
    ],
)
def test_a_hub_that_refuses_is_one_message_with_the_remedy(finished_run, status, remedy):
    with pytest.raises(ValueError, match="the hub did not take me/sums") as caught:
        push(finished_run, "me/sums", hub=StubHub(refusal(status)))
    assert remedy in str(caught.value) and "\x1b" not in str(caught.value)


@pytest.mark.parametrize("name", ["sums", "a/b/c", "me/su ms", "me/..", "-a/b", ""])
def test_a_name_that_is_none_of_the_hub_is_refused_before_any_work(tmp_path, name):
    with pytest.raises(ValueError, match="--to"):
        push(tmp_path, name, hub=StubHub())


def test_the_command(paring, refused, finished_run, tmp_path):
    read = json.loads(paring("push", finished_run, "--to", "me/sums", "--dry-run", "--json").stdout)
    assert (read["to"], read["pushed"], read["kind"]) == ("me/sums", False, "adapter")
    assert "holds no adapter: give the folder of a run" in refused("push", tmp_path, "--to", "me/x", "--base", "a/b")
