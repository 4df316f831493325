"""What a user can do wrong, before any work is done: one message with the remedy, exit code 2, nothing written."""

import json
import re
import shutil

import pytest
from transformers import AutoTokenizer, BertConfig, BertModel
from typer.testing import CliRunner

from paring.cli import app
from paring.policy.loading import EMBEDDED
from paring.runtime.lock import run_lock


@pytest.fixture
def refused(small_overrides, tmp_path, monkeypatch):
    """Starts a run that must be refused; its message, after checking that nothing was written."""
    monkeypatch.chdir(tmp_path)

    def start(*arguments: str, code: int = 2) -> str:
        before = snapshot(tmp_path)
        ended = CliRunner().invoke(app, ["train", *arguments])
        assert (ended.exit_code, ended.stdout) == (code, ""), (ended.stdout, ended.exception)
        assert ended.stderr.startswith("error: ") and ended.stderr.count("error: ") == 1, ended.stderr
        assert "Traceback" not in ended.stderr
        assert snapshot(tmp_path) == before
        return ended.stderr.removeprefix("error: ").strip()

    return lambda *arguments, **expected: start("quickstart", *small_overrides, *arguments, **expected)


@pytest.fixture
def refused_resume(refused, small_overrides, monkeypatch, tmp_path):
    def start(*arguments: str) -> tuple[int, str]:
        before = snapshot(tmp_path)
        ended = CliRunner().invoke(app, ["train", "--resume", *arguments])
        assert snapshot(tmp_path) == before
        assert "Traceback" not in ended.stderr
        return ended.exit_code, ended.stderr.removeprefix("error: ").strip()

    return start


def snapshot(folder):
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def write_rows(path, *rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))


def copy_of_embedded(folder):
    shutil.copytree(EMBEDDED, folder)
    return folder


@pytest.mark.parametrize("path", ["./absent", "absent/deep/folder", "folder/absent", "absent.gguf", "~/absent-folder"])
def test_a_model_that_is_not_there(refused, tmp_path, path):
    (tmp_path / "folder").mkdir()
    message = refused(f"model.path={path}")
    assert message.startswith(f"model.path = {path!r}: there is no such folder or file. Give a Hugging Face folder")


def test_a_name_that_the_hub_does_not_give(refused):
    message = refused("model.path=no-such-model")
    assert message.startswith("model.path = 'no-such-model': there is no such folder, and the hub did not give it:")


def test_a_folder_without_a_model(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "a model is a config.json, a tokenizer and .safetensors files" in refused("model.path=./empty")


def test_a_model_that_is_no_causal_language_model(refused, tmp_path):
    shape = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=103)
    BertModel(BertConfig(**shape)).save_pretrained(tmp_path / "bert")
    AutoTokenizer.from_pretrained(EMBEDDED).save_pretrained(tmp_path / "bert")
    assert "'./bert': BertModel is no causal language model" in refused("model.path=./bert")


def test_a_tokenizer_without_end_of_sequence(refused, tmp_path):
    folder = copy_of_embedded(tmp_path / "model")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["eos_token"] = None
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    message = refused("model.path=./model")
    assert 'no end-of-sequence token, so no answer could end; set "eos_token" in its tokenizer_config.json' in message


def test_weights_that_are_damaged(refused, tmp_path):
    folder = copy_of_embedded(tmp_path / "model")
    (folder / "model.safetensors").write_bytes(b"nothing")
    assert refused("model.path=./model").startswith("model.path = './model': ")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], "own.jsonl: the file is empty; one JSON object a line is needed"),
        ([{"question": "a", "answer": "1"}, '{"question": '], "own.jsonl:2: not JSON: .* at column"),
        ([{"question": "a", "answer": "1"}, {"question": "b"}], "own.jsonl:2: field 'answer' is missing; there are: "),
        ([{"question": "a", "answer": []}], "own.jsonl:1: field 'answer' is list, a string in quotes is needed"),
        ([[1]], "own.jsonl:1: a JSON object is needed, not list"),
        ([{"question": "a", "answer": "1"}], "own.jsonl: 1 row, at least 3 with different prompts are needed"),
    ],
)
def test_data_that_cannot_be_used(refused, tmp_path, rows, expected):
    write_rows(tmp_path / "own.jsonl", *rows)
    message = refused("task.name=questions", "task.data=own.jsonl", code=3)
    assert re.match(expected, message), message


def test_data_that_are_not_there(refused):
    assert "absent.jsonl: there is no such file" in refused("task.name=questions", "task.data=absent.jsonl")
    assert "task.data = './absent': no such file or folder" in refused("task.name=gsm8k", "task.data=./absent")
    assert "task.data: required, but not given" in refused("task.name=questions")


def test_a_prompt_that_is_longer_than_the_context(refused, tmp_path):
    write_rows(tmp_path / "own.jsonl", *({"question": "1+" * 70 + str(n), "answer": "1"} for n in range(8)))
    message = refused("task.name=questions", "task.data=own.jsonl")
    assert "exceed the model's context of 128 tokens: lower max_new_tokens or leave the problem out" in message
    assert message.startswith("7 rows cannot be used:\n  7 too long\n    own.jsonl:")
    assert message.endswith("task.long=skip leaves such prompts out")


def test_a_group_of_one(refused):
    message = refused("rollout.group_size=1")
    assert message == "quickstart: rollout.group_size = 1: must be at least 2 (the group is its own baseline)"


@pytest.mark.parametrize("place", ["file/run", "file/deep/run"])
def test_a_folder_that_cannot_be_written(refused, tmp_path, place):
    (tmp_path / "file").write_text("mine")
    assert refused("--out", place) == f"{place} cannot be written: Not a directory. Choose another with --out"


@pytest.mark.parametrize("how", [[], ["--dry-run"]])
def test_a_place_that_is_taken(refused, finished_run, tmp_path, how):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/notes.txt").write_text("mine")
    shutil.copytree(finished_run, tmp_path / "run")
    for name in ("file", "folder"):
        assert refused("--out", name, *how) == f"{name} exists and is not an empty folder: choose another"
    expected = "run already holds a run: go on with it by --resume run, or choose another folder with --out"
    assert refused("--out", "run", *how) == expected


def test_adapters_that_cannot_be_attached(refused):
    assert "nowhere/adapter_config.json does not exist" in refused("adapter.start=nowhere")
    assert "target 'nothing' matches no linear module" in refused("adapter.targets=['nothing']")
    assert "leave them out" in refused("adapter.targets=['lm_head']")


def test_nothing_to_resume(refused_resume, tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("absent", "empty"):
        assert refused_resume(name) == (2, f"{name} holds no run: there is no run.toml in it")
    (tmp_path / "empty/run.toml").write_text("seed = = 3")
    code, message = refused_resume("empty")
    assert code == 2 and message.startswith("empty/run.toml: not readable as TOML")


def test_a_run_that_is_at_work(refused_resume, small_overrides, finished_run, tmp_path):
    shutil.copytree(finished_run, tmp_path / "run")
    (tmp_path / "run/result.json").unlink()
    with run_lock(tmp_path / "run"):
        code, message = refused_resume("run")
    assert code == 2
    assert "is already at work on this run; wait until it ends, stop it, or choose another run folder" in message


def test_debug_shows_the_traceback(small_overrides):
    ended = CliRunner().invoke(app, ["train", "quickstart", "model.path=./absent", "--debug"])
    assert isinstance(ended.exception, ValueError)


def test_a_dry_run_writes_nothing(small_overrides, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(app, ["train", "quickstart", *small_overrides, "--dry-run"])
    assert ended.exit_code == 0 and ended.stdout.endswith("# nothing was written\n")
    assert "group_size = 4" in ended.stdout and "<|user|>" in ended.stdout
    assert list(tmp_path.iterdir()) == []
