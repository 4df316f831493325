"""What is named and is not there, or is no run, is refused by one message that names it, with exit code 2."""

import shutil

import pytest

READERS = {
    "chat": ("chat", "X"),
    "ask": ("ask", "X", "hi"),
    "serve": ("serve", "X", "--print"),
    "push": ("push", "X", "--to", "an-org/a-name", "--dry-run"),
    "watch": ("watch", "X"),
    "report": ("report", "X"),
    "export": ("export", "X", "--to", "exported"),
    "ranks": ("ranks", "X"),
    "compare": ("compare", "X", "X"),
    "samples": ("samples", "X"),
    "eval": ("eval", "X", "--limit", "2"),
    "filter": ("filter", "X", "--out", "kept.jsonl"),
    "rerun": ("rerun", "X", "--verify"),
    "train": ("train", "X"),
    "resume": ("train", "--resume", "X"),
    "plan": ("plan", "X"),
}
MODELS = {"chat", "ask", "eval"}
"""What opens models too."""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder of what is no run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/notes.txt").write_text("hello", encoding="utf-8")
    (tmp_path / "file.txt").write_text("hello", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", ["./nowhere", "empty", "other", "file.txt"])
@pytest.mark.parametrize("command", READERS)
def test_what_is_no_run_is_refused(place, refused, command, name):
    said = refused(*(name if one == "X" else one for one in READERS[command]))
    assert said.count("error: ") == 1 and name.removeprefix("./") in said
    if command in MODELS and name in ("empty", "other"):
        assert f"{name} holds no run (run.toml), no PEFT adapter (adapter_config.json) and no model" in said
    if command in ("train", "serve", "plan", "filter") and name in ("empty", "other"):
        assert f"{name}: a folder that holds no run (run.toml); recipes: " in said
    if command in MODELS and name == "file.txt":
        assert "model.path = 'file.txt': a file, and no .gguf" in said
    if command in ("push", "export"):
        assert "holds no adapter: give the folder of a run or of a PEFT adapter" in said


@pytest.mark.parametrize("command", sorted(READERS.keys() - {"watch", "report", "compare", "samples", "train"}))
def test_the_record_of_another_version_is_refused_with_the_way_out(place, finished_run, refused, command):
    run = shutil.copytree(finished_run, place / "run")
    record = run / "run.toml"
    record.write_text(record.read_text(encoding="utf-8").replace('kind = "rgra"', 'kind = "later"'), encoding="utf-8")
    said = refused(*("run" if one == "X" else one for one in READERS[command]))
    assert "objective.kind = 'later': unknown; choices: rgra, " in said
    assert "leave it as it was, and open the run with the version in its starts.jsonl" in said


def test_a_damaged_result_is_named(place, finished_run, refused):
    run = shutil.copytree(finished_run, place / "run")
    (run / "result.json").write_text('{"a": ', encoding="utf-8")
    assert "run/result.json: damaged" in refused("compare", "run", "run")


def test_a_run_in_the_place_of_its_adapter_is_answered_with_the_adapter(finished_run, refused):
    said = refused("train", "quickstart", f"adapter.start={finished_run}", "--dry-run")
    assert f"adapter.start = '{finished_run}' is a run: name its adapter, {finished_run}/adapter" in said


def test_flags_are_named_as_they_are_written(finished_run, refused):
    assert "--dtype bfloat16: an adapter is always fp32" in refused(
        "export", finished_run, "--to", "x", "--dtype", "bfloat16"
    )
    assert "--step 99: " in refused("samples", finished_run, "--step", "99")
    assert "error: --stop '': " in refused("eval", finished_run, "--stop", "")


def test_a_run_is_not_compared_with_itself(finished_run, refused):
    said = refused("rerun", finished_run, "--verify", "--out", finished_run)
    assert f"--out {finished_run}: this is the run itself; choose another folder" in said


def test_a_folder_without_a_model_is_named(place, refused):
    said = refused("train", "quickstart", "model.path=other", "--dry-run")
    assert "model.path = 'other': there is no config.json in this folder (a model is a config.json, " in said
