"""Killed, interrupted or damaged at any moment, a resumed run ends with the bytes of one never interrupted."""

import json
import shutil
import signal

import pytest

from paring.runtime.journal import read_rows
from paring.runtime.manifest import manifest_of

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


@pytest.fixture(scope="module")
def killed_in_step_5(paring_child, small_overrides, tmp_path_factory):
    """The folder of a run that was killed in its fifth step: it has the checkpoints of steps 2 and 4."""
    folder = tmp_path_factory.mktemp("killed") / "run"
    ended = paring_child(
        "train", "quickstart", *small_overrides, "steps=5", "--out", folder, at=f"{LOOP}rl_step", call=5
    )
    assert ended.code == -signal.SIGKILL
    assert saved_steps(folder) == ["step-000002", "step-000004"]
    return folder


@pytest.fixture
def cut_short(killed_in_step_5, tmp_path):
    """A copy of that folder."""
    return shutil.copytree(killed_in_step_5, tmp_path / "run")


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
        pytest.param("paring.training.ledger:Journal", 1, id="right after the folder was begun"),
        pytest.param(f"{LOOP}measure", 1, id="in the evaluation before"),
        pytest.param(f"{LOOP}rl_step", 1, id="before the first step"),
        pytest.param(f"{LOOP}improve", 2, id="in the second step, after its rollout"),
        pytest.param("paring.runtime.journal:Journal.samples", 2, id="between a step's metrics and its answers"),
        pytest.param("paring.runtime.checkpoint:save_file", 2, id="in the first checkpoint"),
        pytest.param("paring.runtime.checkpoint:manifest_of", 2, id="in the second, before its manifest"),
        pytest.param("paring.runtime.checkpoint:rotate", 2, id="after the second was saved"),
        pytest.param(f"{LOOP}improve", 5, id="in the last step"),
        pytest.param("paring.runtime.kept:remove_folder", 1, id="before an old checkpoint is removed"),
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


@pytest.mark.parametrize(
    ("at", "call", "saved"),
    [(f"{LOOP}measure", 1, []), (f"{LOOP}measure", 2, [4, 5]), ("paring.training.pipeline:collect", 4, [2, 3])],
)
def test_a_wait_is_given_up_and_what_was_made_is_saved(paring_child, recipe, uninterrupted, tmp_path, at, call, saved):
    folder = tmp_path / "run"
    ended = paring_child(*recipe, "--out", folder, at=at, call=call, signal=signal.SIGHUP)
    assert ended.code == 129, ended.output
    assert "SIGHUP: saving, then ending; an update in hand is finished first" in ended.output
    assert (saved_steps(folder) if saved else []) == [f"step-{step:06d}" for step in saved]
    assert paring_child("train", "--resume", folder).code == 0
    assert_same(folder, uninterrupted)


def test_a_save_on_demand_and_the_run_goes_on(paring_child, recipe, uninterrupted, tmp_path):
    folder = tmp_path / "run"
    asked = {"at": f"{LOOP}improve", "call": 3, "signal": signal.SIGUSR1}
    ended = paring_child(*recipe, "--out", folder, "save.keep=9", **asked)
    assert ended.code == 0 and "saving after the step in hand, then going on" in ended.output, ended.output
    assert saved_steps(folder) == [f"step-{step:06d}" for step in (2, 3, 4, 5)]
    assert (folder / SAME_BYTES[0]).read_bytes() == (uninterrupted / SAME_BYTES[0]).read_bytes()


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(paring_child, cut_short, uninterrupted):
    path = cut_short / "checkpoints/step-000004" / STATE
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    resumed = paring_child("train", "--resume", cut_short)
    assert resumed.code == 0, resumed.output
    assert f"passed over a damaged checkpoint: {path.parent}: {STATE} is not what was written" in resumed.output
    assert f"it is in {cut_short / 'checkpoints/damaged/step-000004'} now" in resumed.output
    shutil.rmtree(cut_short / "checkpoints/damaged")
    assert "checkpoints/step-000002: 2 steps made" in resumed.output
    assert_same(cut_short, uninterrupted)


def test_where_all_checkpoints_are_damaged_the_user_decides(paring_child, cut_short):
    for folder in (cut_short / "checkpoints").iterdir():
        (folder / STATE).write_bytes(b"")
    before = {path: path.read_bytes() for path in cut_short.rglob("*") if path.is_file() and path.name != ".lock"}
    resumed = paring_child("train", "--resume", cut_short)
    assert resumed.code == 2
    assert "all 2 checkpoints are damaged" in resumed.output and "begin a new run with --out" in resumed.output
    assert "Traceback" not in resumed.output
    assert all(path.read_bytes() == content for path, content in before.items())


def test_a_record_without_its_checkpoints_is_not_emptied(paring_child, cut_short):
    shutil.rmtree(cut_short / "checkpoints")
    before = (cut_short / "metrics.jsonl").read_bytes()
    resumed = paring_child("train", "--resume", cut_short)
    assert resumed.code == 2 and "put the checkpoints back, or begin a new run" in resumed.output, resumed.output
    assert (cut_short / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("name", ["metrics.jsonl", "samples.jsonl"])
@pytest.mark.parametrize("kept", [0, 1])
def test_checkpoints_without_their_record_are_refused(paring_child, cut_short, name, kept):
    path = cut_short / name
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:kept]))
    resumed = paring_child("train", "--resume", cut_short)
    assert resumed.code == 2, resumed.output
    assert f"{path} does not tell of every step up to 4" in resumed.output


def test_a_changed_recipe_is_shown_and_refused_unless_it_is_allowed(paring_child, cut_short):
    refused = paring_child("train", "--resume", cut_short, "objective.kind=grpo")
    assert refused.code == 2
    assert refused.output.splitlines()[:5] == [
        f"error: --resume {cut_short}: not what the run began with:",
        "  objective.clip_high: 'not set' -> 0.2",
        "  objective.clip_low: 'not set' -> 0.2",
        "  objective.delta: 'not set' -> 'off'",
        "  objective.kind: 'rgra' -> 'grpo'",
    ]
    assert f"paring train --resume {cut_short}" in refused.output and "--allow-changed" in refused.output
    assert saved_steps(cut_short) == ["step-000002", "step-000004"]
    assert paring_child("train", "--resume", cut_short, "objective.kind=grpo", "--dry-run") == refused
    # By hand in run.toml it is the same.
    recipe = cut_short / "run.toml"
    recipe.write_text(recipe.read_text().replace("seed = 0", "seed = 7", 1))
    edited = paring_child("train", "--resume", cut_short)
    assert edited.code == 2 and "seed: 0 -> 7" in edited.output
    allowed = paring_child("train", "--resume", cut_short, "--allow-changed")
    assert allowed.code == 0, allowed.output
    [row] = read_rows(cut_short / "changes.jsonl")
    assert row == {"step": 4, "changed": ["seed: 0 -> 7"]}


def test_a_file_that_changed_is_found_by_its_content(paring_child, small_overrides, tmp_path):
    rows, reward = tmp_path / "rows.jsonl", tmp_path / "r.py"
    rows.write_text("".join(json.dumps({"prompt": f"{number}+1="}) + "\n" for number in range(40)))
    reward.write_text("def reward(completions, **kw): return [float(len(one)) for one in completions]\n")
    recipe = [
        *small_overrides,
        "steps=3",
        f"task.reward={reward}:reward",
        f"task.data={rows}",
        "--out",
        tmp_path / "run",
    ]
    assert paring_child("train", "quickstart", *recipe, at=f"{LOOP}rl_step", call=3).code == -signal.SIGKILL
    reward.write_text(reward.read_text() + "# changed\n")
    refused = paring_child("train", "--resume", tmp_path / "run")
    assert refused.code == 2 and f"task.reward ({reward}:reward): its content has changed" in refused.output
    allowed = paring_child("train", "--resume", tmp_path / "run", "--allow-changed")
    assert allowed.code == 0, allowed.output
    [row] = read_rows(tmp_path / "run/changes.jsonl")
    assert row["step"] == 2 and "task.reward" in row["changed"][0]


def test_steps_are_raised_but_never_below_what_is_made(paring_child, cut_short):
    recipe = cut_short / "run.toml"
    whole = recipe.read_text()
    recipe.write_text(whole.replace("steps = 5", "steps = 2", 1))
    refused = paring_child("train", "--resume", cut_short)
    assert refused.code == 2 and "has made 4 already. Give steps=4 or more" in refused.output, refused.output
    recipe.write_text(whole)
    assert paring_child("train", "--resume", cut_short).code == 0
    longer = paring_child("train", "--resume", cut_short, "steps=7")
    assert longer.code == 0, longer.output
    assert [row["step"] for row in read_rows(cut_short / "metrics.jsonl")] == [1, 2, 3, 4, 5, 6, 7]
    assert json.loads((cut_short / "result.json").read_text())["steps"] == 7
    [row] = read_rows(cut_short / "changes.jsonl")
    assert row == {"step": 5, "changed": ["steps: 5 -> 7"]}
    assert "come to its end already" in paring_child("train", "--resume", cut_short).output


def test_a_finished_run_is_shown_again_and_left_as_it_is(paring_child, uninterrupted):
    before = {path: path.stat().st_mtime_ns for path in uninterrupted.rglob("*") if path.is_file()}
    again = paring_child("train", "--resume", uninterrupted)
    assert again.code == 0
    assert again.output.splitlines()[0] == f"{uninterrupted} has come to its end already"
    assert "held-out problems" in again.output
    assert {path: path.stat().st_mtime_ns for path in uninterrupted.rglob("*") if path.is_file()} == before


def test_other_threads_and_versions_are_said(paring_child, cut_short):
    newest = cut_short / "checkpoints/step-000004"
    held = json.loads((newest / "state.json").read_text())
    held |= {"threads": 64, "versions": held["versions"] | {"torch": "1.0"}}
    (newest / "state.json").write_text(json.dumps(held))
    (newest / "manifest.json").unlink()
    (newest / "manifest.json").write_bytes(manifest_of(newest, 4))
    resumed = paring_child("train", "--resume", cut_short)
    assert resumed.code == 0, resumed.output
    assert "not the same machine, so the last bits may differ: versions: " in resumed.output
    assert "threads: 64 -> 1" in resumed.output
