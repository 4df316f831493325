"""Runs whose passes are not packed: the steps of packed ones, nothing lost to a kill, and the reason on record."""

import json
import shutil
import signal

import pytest
import torch
from transformers import AutoModelForCausalLM, MambaConfig
from typer.testing import CliRunner

from paring.cli import app
from paring.policy.loading import EMBEDDED
from paring.runtime.journal import read_rows

REASON = "its attention is cut into chunks"
SAME_BYTES = ("adapter/adapter_model.safetensors", "samples.jsonl", "run.toml")


@pytest.fixture(scope="module")
def chunked(tmp_path_factory):
    """The embedded model, declared to attend in chunks, which Llama does not read: only the choice of the way does."""
    folder = tmp_path_factory.mktemp("chunked") / "model"
    shutil.copytree(EMBEDDED, folder)
    config = json.loads((folder / "config.json").read_text())
    config["attention_chunk_size"] = 64
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def recipe(small_overrides, chunked):
    return ["train", "quickstart", *small_overrides, f"model.path={chunked}"]


@pytest.fixture(scope="module")
def uninterrupted(paring_child, recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked") / "run"
    ended = paring_child(*recipe, "--out", folder)
    assert ended.code == 0 and f"not packed, which is slower and changes no result ({REASON})" in ended.output
    return folder


def test_the_steps_are_those_of_a_packed_run(uninterrupted, finished_run):
    rows, packed_rows = (list(read_rows(folder / "metrics.jsonl")) for folder in (uninterrupted, finished_run))
    for row, expected in zip(rows, packed_rows, strict=True):
        assert row["unpacked"] == REASON and "unpacked" not in expected
        assert row["reward"] == expected["reward"] and row["length"] == expected["length"]
        assert row["grad_norm"] == pytest.approx(expected["grad_norm"], rel=1e-3)
    results = [json.loads((folder / "result.json").read_text()) for folder in (uninterrupted, finished_run)]
    assert results[0]["unpacked"] == REASON and "unpacked" not in results[1]
    assert results[0]["after"]["accuracy"] == results[1]["after"]["accuracy"]


def test_a_killed_run_ends_with_the_same_bytes(paring_child, recipe, uninterrupted, tmp_path):
    folder = tmp_path / "run"
    ended = paring_child(*recipe, "--out", folder, at="paring.training.rl:improve", call=4)
    assert ended.code == -signal.SIGKILL
    assert paring_child("train", "--resume", folder).code == 0
    for name in SAME_BYTES:
        assert (folder / name).read_bytes() == (uninterrupted / name).read_bytes(), name


def test_a_dry_run_and_an_evaluation_say_so(recipe, uninterrupted):
    shown = CliRunner().invoke(app, [*recipe, "--dry-run"])
    assert shown.exit_code == 0 and REASON in shown.output
    measured = CliRunner().invoke(app, ["eval", str(uninterrupted), "--limit", "4"])
    assert measured.exit_code == 0 and measured.stderr.count(REASON) == 1


@pytest.fixture(scope="module")
def mamba(tmp_path_factory):
    """A tiny state space model with random weights and the embedded tokenizer."""
    folder = tmp_path_factory.mktemp("mamba") / "model"
    shutil.copytree(EMBEDDED, folder, ignore=shutil.ignore_patterns("*.safetensors", "config.json"))
    config = MambaConfig(vocab_size=103, hidden_size=32, num_hidden_layers=2, eos_token_id=3, pad_token_id=0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def test_a_state_space_model_learns_examples_and_resumes(paring_child, mamba, tmp_path):
    rows = [{"prompt": f"{number}+1=", "completion": f"{number + 1}"} for number in range(40)]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "mine.toml").write_text(
        f'method = "sft"\nsteps = 20\nthreads = 1\nbatch = 8\n[data]\ndata = "{tmp_path / "data.jsonl"}"\n'
        f'[model]\npath = "{mamba}"\n[adapter]\nkind = "lora"\ntargets = ["in_proj", "x_proj"]\n'
        "[optimiser]\nlr = 2e-2\ntokens_per_pass = 100\n[save]\nevery = 4\n"
    )
    folders = [tmp_path / name for name in ("whole", "killed")]
    assert paring_child("train", tmp_path / "mine.toml", "--out", folders[0]).code == 0
    ended = paring_child("train", tmp_path / "mine.toml", "--out", folders[1], at="paring.training.sft:fit", call=7)
    assert ended.code == -signal.SIGKILL
    assert paring_child("train", "--resume", folders[1]).code == 0
    weights = [(folder / "adapter/adapter_model.safetensors").read_bytes() for folder in folders]
    assert weights[0] == weights[1]
    result = json.loads((folders[0] / "result.json").read_text())
    assert result["unpacked"] == "it has layers of linear attention"
    assert result["after"]["loss"] < result["before"]["loss"] - 0.3
