"""Killed, interrupted or damaged at any moment, a resumed run ends with the bytes of one never interrupted."""

import json
import shutil
import signal

import pytest

from paring.runtime.journal import read_rows

SAME_BYTES = ("adapter/adapter_model.safetensors", "adapter/adapter_config.json", "samples.jsonl", "run.toml")
LOOP = "paring.training.rl:"
SHELL = "paring.training.loop:"
STATE = "adapter.safetensors"


@pytest.fixture
def recipe(small_overrides):
    return ["train", "quickstart", *small_overrides, "steps=5"]


@pytest.fixture(scope="module")
def uninterrupted(paring_child, small_overrides, tmp_path_factory):
    """The folder of a run that nothing disturbed: 5 steps, checkpoints after 2, 4 and 5, of which 2 are kept."""
    folder = tmp_path_factory.mktemp("uninterrupted") / "run"
    ended = paring_child("train", "quickstart", *small_overrides, "steps=5", "--out", folder)
    assert ended.code == 0, ended.output
    return folder


@pytest.fixture
def cut_short(paring_child, small_overrides, tmp_path_factory):
    """A copy of a run that was killed in its fifth step: it has the checkpoints of steps 2 and 4."""
    folder = tmp_path_factory.mktemp("cut-short") / "run"
    ended = paring_child(
        "train", "quickstart", *small_overrides, "steps=5", "--out", folder, at=f"{LOOP}rl_step", call=5
    )
    assert ended.code == -signal.SIGKILL
    assert saved_steps(folder) == ["step-000002", "step-000004"]
    return folder


def saved_steps(folder):
    return sorted(path.name for path in (folder / "checkpoints").iterdir() if not path.name.startswith("."))


def assert_same(folder, expected):
    for name in SAME_BYTES:
        assert (folder / name).read_bytes() == (expected / name).read_bytes(), name
    assert [row["step"] for row in read_rows(folder / "metrics.jsonl")] == [1, 2, 3, 4, 5]
    results = [json.loads((place / "result.json").read_text()) for place in (folder, expected)]
    for result in results:
        for when in ("before", "after"):
            del result[when]["seconds"]
        del result["training_seconds"], result["peak_memory_gb"]
    assert results[0] == results[1]
    assert not [path for path in folder.rglob(".*") if path.name != ".lock"]


@pytest.mark.parametrize(
    ("at", "call"),
    [
        pytest.param(f"{SHELL}Journal", 1, id="right after the folder was begun"),
        pytest.param(f"{LOOP}measure", 1, id="in the evaluation before"),
        pytest.param(f"{LOOP}rl_step", 1, id="before the first step"),
        pytest.param(f"{LOOP}improve", 2, id="in the second step, after its rollout"),
        pytest.param("paring.runtime.journal:Journal.samples", 2, id="between a step's metrics and its answers"),
        pytest.param("paring.runtime.checkpoint:save_file", 2, id="in the first checkpoint"),
        pytest.param("paring.runtime.checkpoint:manifest_of", 2, id="in the second, before its manifest"),
        pytest.param("paring.runtime.checkpoint:_rotate", 2, id="after the second was saved"),
        pytest.param(f"{LOOP}improve", 5, id="in the last step"),
        pytest.param("paring.runtime.checkpoint:remove_folder", 1, id="before an old checkpoint is removed"),
        pytest.param(f"{LOOP}measure", 2, id="in the evaluation after"),
        pytest.param(f"{SHELL}publish", 1, id="while the adapter is published"),
        pytest.param("paring.runtime.folder:RunFolder.write_result", 1, id="before the result is written"),
    ],
)
def test_kill_9_anywhere(paring_child, recipe, uninterrupted, tmp_path, at, call):
    folder = tmp_path / "run"
    ended = paring_child(*recipe, "--out", folder, at=at, call=call)
    assert ended.code == -signal.SIGKILL, ended.output
    assert not (folder / "result.json").exists()
    resumed = paring_child("train", "--resume", folder)
    assert resumed.code == 0, resumed.output
    assert_same(folder, uninterrupted)


def test_killed_again_and_again(paring_child, recipe, uninterrupted, tmp_path):
    folder = tmp_path / "run"
    assert paring_child(*recipe, "--out", folder, at=f"{LOOP}improve", call=3).code == -signal.SIGKILL
    for _ in range(2):
        assert paring_child("train", "--resume", folder, at=f"{LOOP}improve", call=2).code == -signal.SIGKILL
    assert paring_child("train", "--resume", folder).code == 0
    assert_same(folder, uninterrupted)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_interruption_saves_at_the_step_s_end_and_says_how_to_go_on(
    paring_child, recipe, uninterrupted, tmp_path, number, code
):
    folder = tmp_path / "a run"
    ended = paring_child(*recipe, "--out", folder, at=f"{LOOP}improve", call=3, signal=number)
    assert ended.code == code, ended.output
    assert "Traceback" not in ended.output
    assert ended.output.splitlines()[-1] == f"interrupted, and saved; go on with:  paring train --resume '{folder}'"
    assert saved_steps(folder) == ["step-000002", "step-000003"]
    assert paring_child("train", "--resume", folder).code == 0
    assert_same(folder, uninterrupted)


def test_an_interruption_of_the_first_evaluation_is_kept_too(paring_child, recipe, uninterrupted, tmp_path):
    folder = tmp_path / "run"
    ended = paring_child(*recipe, "--out", folder, at=f"{LOOP}measure", call=1, signal=signal.SIGTERM)
    assert (ended.code, saved_steps(folder)) == (143, ["step-000000"])
    resumed = paring_child("train", "--resume", folder)
    assert resumed.code == 0 and "measuring the base" not in resumed.output
    assert_same(folder, uninterrupted)


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(paring_child, cut_short, uninterrupted):
    path = cut_short / "checkpoints/step-000004" / STATE
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    resumed = paring_child("train", "--resume", cut_short)
    assert resumed.code == 0, resumed.output
    assert f"passed over a damaged checkpoint: {path.parent}: {STATE} is not what was written" in resumed.output
    assert "checkpoints/step-000002: 2 steps made" in resumed.output
    assert_same(cut_short, uninterrupted)


def test_where_all_checkpoints_are_damaged_the_user_decides(paring_child, cut_short):
    for folder in (cut_short / "checkpoints").iterdir():
        (folder / STATE).write_bytes(b"")
    before = {path: path.read_bytes() for path in cut_short.rglob("*") if path.is_file() and path.name != ".lock"}
    resumed = paring_child("train", "--resume", cut_short)
    assert resumed.code == 2
    assert "all 2 checkpoints are damaged" in resumed.output and "delete this folder to start again" in resumed.output
    assert "Traceback" not in resumed.output
    assert all(path.read_bytes() == content for path, content in before.items())
    shutil.rmtree(cut_short / "checkpoints")
    assert "has no checkpoint yet: starting from step 0" in paring_child("train", "--resume", cut_short).output


def test_a_changed_recipe_is_shown_and_refused(paring_child, cut_short):
    refused = paring_child("train", "--resume", cut_short, "steps=9", "objective.kind=grpo")
    assert refused.code == 2
    assert refused.output.splitlines()[:5] == [
        f"error: --resume {cut_short}: the recipe is not the one the run began with:",
        "  objective.clip_high: 'not set' -> 0.2",
        "  objective.clip_low: 'not set' -> 0.2",
        "  objective.kind: 'rgra' -> 'grpo'",
        "  steps: 5 -> 9",
    ]
    assert f"paring train --resume {cut_short}" in refused.output
    assert saved_steps(cut_short) == ["step-000002", "step-000004"]
    dry = paring_child("train", "--resume", cut_short, "steps=9", "objective.kind=grpo", "--dry-run")
    assert dry == refused


def test_a_finished_run_is_shown_again_and_left_as_it_is(paring_child, uninterrupted):
    before = {path: path.stat().st_mtime_ns for path in uninterrupted.rglob("*") if path.is_file()}
    again = paring_child("train", "--resume", uninterrupted)
    assert again.code == 0
    assert again.output.splitlines()[0] == f"{uninterrupted} has come to its end already"
    assert "held-out problems" in again.output
    assert {path: path.stat().st_mtime_ns for path in uninterrupted.rglob("*") if path.is_file()} == before
