"""Supervised runs on the embedded model: the loss falls, nothing is lost to a kill, and what a user can do wrong."""

import json
import math
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from paring import evaluate, load_run, train
from paring.cli import app
from paring.policy.loading import load_base, resolved
from paring.runtime.journal import read_rows
from paring.settings.complaints import RecipeError, RunFailed
from paring.subjects.export import export
from paring.training import sft
from paring.training.config import SftRun, as_plain
from paring.training.heldout import held_out_loss
from paring.training.sft_setup import prepare

SAME_BYTES = ("adapter/adapter_model.safetensors", "adapter/adapter_config.json", "run.toml")
LOOP = "paring.training.sft:"
SHELL = "paring.training.loop:"
RECIPE = """
method = "sft"
steps = 5
threads = 1
batch = 4
[data]
data = "{data}"
[adapter]
kind = "lora"
rank = 4
alpha = 8.0
dropout = 0.1
[optimiser]
lr = 3e-3
warmup = 2
tokens_per_pass = 40
[evaluate]
every = 3
[save]
every = 2
"""


def write_rows(path, rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))


def sums(numbers):
    """Wrong answers to sums, which the embedded model does not expect: it has much to learn."""
    return [{"prompt": f"{number}+1+1=", "completion": f"<answer>{number}</answer>"} for number in numbers]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sft")
    write_rows(folder / "data.jsonl", sums(range(1, 65)))
    (folder / "mine.toml").write_text(RECIPE.format(data=folder / "data.jsonl"))
    return folder / "mine.toml"


@pytest.fixture(scope="module")
def uninterrupted(paring_child, recipe, tmp_path_factory) -> Path:
    """A run that nothing disturbed: 5 steps, an evaluation after 3, checkpoints after 2, 4 and 5, the last 2 kept."""
    folder = tmp_path_factory.mktemp("uninterrupted") / "run"
    ended = paring_child("train", recipe, "--out", folder)
    assert ended.code == 0, ended.output
    return folder


def without_time(value):
    if isinstance(value, dict):
        timed = ("seconds", "peak", "training_tokens", "training_seconds")
        return {key: without_time(item) for key, item in value.items() if not key.startswith(timed)}
    return value


def assert_same(folder, expected):
    for name in SAME_BYTES:
        assert (folder / name).read_bytes() == (expected / name).read_bytes(), name
    rows = [[without_time(row) for row in read_rows(place / "metrics.jsonl")] for place in (folder, expected)]
    assert [row["step"] for row in rows[0]] == [1, 2, 3, 4, 5]
    assert rows[0] == rows[1]
    results = [without_time(json.loads((place / "result.json").read_text())) for place in (folder, expected)]
    assert results[0] == results[1]
    assert not [path for path in folder.rglob(".*") if path.name != ".lock"]


@pytest.fixture(scope="module")
def learned(recipe, tmp_path_factory):
    """A run of 60 steps, and its result."""
    run = load_run(recipe, steps=60, **{"adapter.dropout": 0.0, "evaluate.every": 0})
    return run, train(run, tmp_path_factory.mktemp("learned") / "run")


def test_the_loss_falls_and_the_result_is_that_of_the_policy(learned):
    run, result = learned
    before, after = result.values.before, result.values.after
    assert (before["examples"], after["examples"], after["tokens"]) == (8, 8, before["tokens"])
    assert after["loss"] < 0.5 * before["loss"]
    for measured in (before, after):
        assert measured["perplexity"] == pytest.approx(math.exp(measured["loss"]))
    rows = list(read_rows(result.folder / "metrics.jsonl"))
    assert [row["epoch"] for row in rows[13::14]] == [1.0, 2.0, 3.0, 4.0]
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"]
    assert rows[0]["learning_rate"] == pytest.approx(1.5e-3) and rows[-1]["updates"] == 60
    # With adapters that change nothing yet, the first loss is the base's own.
    setup = prepare(run)
    first = sft.items_of_step(setup.examples, 4, seed=0, step=1)
    assert rows[0]["loss"] == pytest.approx(held_out_loss(setup.policy, first, tokens_per_pass=999).loss, rel=1e-6)
    assert rows[0]["tokens"] == sum(len(example.targets) for example in first)
    assert str(result).startswith(f"held-out loss {before['loss']:.4f} -> {after['loss']:.4f} nats a token (perplex")


def test_what_was_learned_can_be_measured_and_exported(learned, tmp_path):
    """The answers to a task of ours, from the run, and its merged model with transformers' own loss."""
    run, folder = learned[0], learned[1].folder
    found = evaluate(folder, "arithmetic", limit=8, max_new_tokens=24)
    with pytest.raises(ValueError, match="name a task with task: "):
        evaluate(folder, limit=8)
    export(folder, tmp_path / "merged", merged=True)
    merged = evaluate(tmp_path / "merged", "arithmetic", limit=8, max_new_tokens=24)
    assert merged.as_plain() | {"seconds": 0} == found.as_plain() | {"seconds": 0}
    model, _ = load_base(load_run("quickstart", **{"model.path": str(tmp_path / "merged")}).model)
    held_out, total, tokens = prepare(run).held_out, 0.0, 0
    for example in held_out:
        token_1N = torch.tensor([example.tokens])
        label_1N = torch.where(torch.tensor([example.learned]), token_1N, -100)
        total += float(model(input_ids=token_1N, labels=label_1N).loss) * len(example.targets)
        tokens += len(example.targets)
    result = json.loads((folder / "result.json").read_text())
    assert result["after"]["loss"] == pytest.approx(total / tokens, rel=1e-4)


@pytest.mark.parametrize(
    ("at", "call"),
    [
        pytest.param("paring.training.ledger:Journal", 1, id="right after the folder was begun"),
        pytest.param(f"{LOOP}held_out_loss", 1, id="in the evaluation before"),
        pytest.param(f"{LOOP}fit", 1, id="in the first step"),
        pytest.param("paring.runtime.journal:Journal.record", 2, id="before a step's metrics are written"),
        pytest.param("paring.runtime.checkpoint:manifest_of", 1, id="in the first checkpoint"),
        pytest.param(f"{LOOP}held_out_loss", 2, id="in the evaluation of step 3"),
        pytest.param(f"{LOOP}step_if_finite", 4, id="before the fourth update"),
        pytest.param("paring.runtime.kept:remove_folder", 1, id="before an old checkpoint is removed"),
        pytest.param(f"{LOOP}held_out_loss", 3, id="in the evaluation after"),
        pytest.param(f"{SHELL}publish", 1, id="while the adapter is published"),
        pytest.param("paring.runtime.folder:RunFolder.write_result", 1, id="before the result is written"),
    ],
)
def test_kill_9_anywhere(paring_child, recipe, uninterrupted, tmp_path, at, call):
    folder = tmp_path / "run"
    ended = paring_child("train", recipe, "--out", folder, at=at, call=call)
    assert ended.code == -signal.SIGKILL, ended.output
    assert not (folder / "result.json").exists()
    resumed = paring_child("train", "--resume", folder)
    assert resumed.code == 0, resumed.output
    assert_same(folder, uninterrupted)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_interruption_saves_at_the_step_s_end(paring_child, recipe, uninterrupted, tmp_path, number, code):
    folder = tmp_path / "run"
    ended = paring_child("train", recipe, "--out", folder, at=f"{LOOP}fit", call=3, signal=number)
    assert ended.code == code, ended.output
    assert ended.output.splitlines()[-1] == f"interrupted, and saved; go on with:  paring train --resume {folder}"
    assert (folder / "checkpoints/step-000003").is_dir()
    resumed = paring_child("train", "--resume", folder)
    assert resumed.code == 0 and "measuring the base" not in resumed.output
    assert_same(folder, uninterrupted)


def test_a_finished_run_is_shown_again_and_another_recipe_refused(paring_child, uninterrupted):
    again = paring_child("train", "--resume", uninterrupted)
    assert again.code == 0 and "has come to its end already" in again.output and "held-out loss" in again.output
    refused = paring_child("train", "--resume", uninterrupted, "data.loss_on=all")
    assert refused.code == 2 and "  data.loss_on: 'completions' -> 'all'" in refused.output


def test_steps_that_are_not_finite_are_dropped_and_three_in_a_row_end_the_run(recipe, tmp_path, monkeypatch):
    real, count, bad = sft.cross_entropy, iter(range(1, 100)), {2, 5, 6, 7}
    monkeypatch.setattr(sft, "cross_entropy", lambda *args: real(*args) * (math.nan if next(count) in bad else 1))
    run = load_run(recipe, steps=9, **{"optimiser.tokens_per_pass": 9999, "save.every": 1, "save.keep": 9})
    with pytest.raises(RunFailed, match="not finite in 3 steps in a row, the last of them step 7; .*step-000003"):
        train(run, tmp_path / "run")
    rows = list(read_rows(tmp_path / "run/metrics.jsonl"))
    assert [row["dropped_steps"] for row in rows] == [0, 1, 1, 1, 2, 3, 4]
    assert [row["updates"] for row in rows] == [1, 1, 2, 3, 3, 3, 3]
    assert (rows[1]["loss"], rows[1]["nonfinite"]) == (None, ["loss", "grad_norm"])
    assert not (tmp_path / "run/result.json").exists()
    saved = load_file(tmp_path / "run/checkpoints/step-000004/adapter.safetensors")
    assert all(value.isfinite().all() for value in saved.values())


def test_a_dry_run_shows_what_is_learned_and_writes_nothing(recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(app, ["train", str(recipe), "--dry-run"])
    assert ended.exit_code == 0, ended.output
    lines = ended.stdout.splitlines()
    assert lines[0] == 'method = "sft"' and lines[-1] == "# nothing was written"
    head = next(index for index, line in enumerate(lines) if "examples; the first" in line)
    about = "of 14 tokens, of which 5 are learned, those between ⟦ and ⟧:"
    assert lines[head] == f"# 56 training and 8 held-out examples; the first, {about}"
    number = lines[head + 1].removeprefix("#   <|user|>").partition("+")[0]
    assert lines[head + 1] == f"#   <|user|>{number}+1+1=<|assistant|>⟦<answer>{number}</answer><|end|>⟧"
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_ours_survives_being_written_and_read(recipe, uninterrupted):
    run = load_run(recipe)
    assert isinstance(run, SftRun) and load_run(uninterrupted) == replace(run, model=resolved(run.model))
    assert as_plain(run)["data"]["rows"] == {"kind": "auto"}


def refusal(recipe, *overrides, code=2):
    ended = CliRunner().invoke(app, ["train", str(recipe), *overrides])
    assert (ended.exit_code, ended.stdout) == (code, ""), ended.output
    return ended.stderr.removeprefix("error: ").strip()


def test_faults_of_a_recipe_are_told(recipe):
    def only(*overrides):
        return refusal(recipe, *overrides).removeprefix(f"{recipe}: ")

    assert only("method=stf") == "method = 'stf': unknown; did you mean 'sft'? Choices: rl, sft"
    assert only("method=3") == "method = 3: unknown; choices: rl, sft"
    assert only("batch=0") == "batch = 0: must be at least 1"
    assert only("data.rows.kind=chat").startswith("data.rows.kind = 'chat': unknown; did you mean 'chats'?")
    assert only("data.rows={kind='chats', prompt='x'}").startswith("data.rows.prompt: exists, but not for the kind")
    assert only("data.longest=1") == "data.longest = 1: must be at least 2 (a token to predict, and one before it)"
    assert only("data.loss_on=answers") == "data.loss_on = 'answers': must be 'completions' or 'all'"
    assert only("rollout.problems=3").startswith("rollout: belongs to runs of method = 'rl'")
    with pytest.raises(RecipeError, match="data: required, but not given"):
        load_run("quickstart", method="sft")


def test_data_that_cannot_be_used(recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "own.jsonl", [*sums([1, 2]), {"prompt": "3+1="}])
    missing = "own.jsonl:3: field 'completion' is missing; there are: 'prompt'"
    assert refusal(recipe, "data.data=own.jsonl", code=3) == missing
    write_rows(tmp_path / "own.jsonl", [*sums([1, 2]), '{"prompt": '])
    assert refusal(recipe, "data.data=own.jsonl", code=3).startswith("own.jsonl:3: not JSON:")
    assert refusal(recipe, "data.data=./absent").startswith("data.data = './absent': no such file or folder")
    assert refusal(recipe, "data.limit=57").startswith("data.limit = 57: ")
    too_long = (
        "56 of 56 training examples are longer than 9 tokens, so none is left: shorten them or raise data.longest"
    )
    assert too_long in refusal(recipe, "data.longest=9")
    assert list(tmp_path.iterdir()) == [tmp_path / "own.jsonl"]


def test_examples_that_are_too_long_are_left_out_and_counted(recipe, tmp_path, capsys):
    train_rows = [*sums(range(10, 16)), {"prompt": "1" * 200, "completion": "1"}]
    write_rows(tmp_path / "train.jsonl", train_rows)
    write_rows(tmp_path / "test.jsonl", sums(range(20, 22)))
    train(load_run(recipe, steps=1, **{"data.data": str(tmp_path)}), tmp_path / "run")
    note = "1 of 7 training examples are longer than 128 tokens and left out; to keep them, raise data.longest (1024)"
    assert note in capsys.readouterr().out


L1RA = ["adapter.kind=l1ra", "adapter.events=3", "adapter.settle=0.3", "optimiser.weight_decay=0.1"]


@pytest.fixture(scope="module")
def gated(paring_child, recipe, tmp_path_factory) -> Path:
    """The folder of a run with rank events that nothing disturbed."""
    folder = tmp_path_factory.mktemp("gated") / "run"
    assert paring_child("train", recipe, *L1RA, "--out", folder).code == 0
    return folder


@pytest.mark.parametrize(
    ("at", "call"),
    [
        pytest.param(f"{SHELL}rank_event", 2, id="before an event"),
        pytest.param("paring.adapters.moving:apply_plan", 4, id="within an event"),
        pytest.param(f"{SHELL}save", 2, id="before the checkpoint after it"),
    ],
)
def test_kill_9_around_the_rank_events_of_a_supervised_run(paring_child, recipe, gated, tmp_path, at, call):
    killed = tmp_path / "killed"
    rows = list(read_rows(gated / "ranks.jsonl"))
    assert len(rows) == 3 and any(row["pruned"] for row in rows) and rows[-1]["unassigned"] >= 0
    assert paring_child("train", recipe, *L1RA, "--out", killed, at=at, call=call).code == -signal.SIGKILL
    resumed = paring_child("train", "--resume", killed)
    assert resumed.code == 0, resumed.output
    assert "paring ranks" in resumed.output and "parameters" in resumed.output
    for name in (*SAME_BYTES, "ranks.jsonl"):
        assert (killed / name).read_bytes() == (gated / name).read_bytes(), name
