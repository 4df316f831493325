"""Ends that no user wishes: a reader that leaves, crafted checkpoints and records, hostile rewards, absurd numbers."""

import errno
import json
import shutil
import signal

import pytest

from paring import train
from paring.runtime import checkpoint
from paring.runtime.journal import read_rows
from paring.runtime.manifest import manifest_of
from paring.runtime.screen import Screen


class Gone:
    """A pipe, or a terminal, of which nobody reads the other end."""

    encoding = "utf-8"

    def __init__(self, number):
        self.number = number

    def isatty(self):
        return False

    def write(self, text):
        raise OSError(self.number, "gone")

    def flush(self):
        pass


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EIO])
def test_a_run_whose_output_has_no_reader_saves_and_ends(small_run, tmp_path, number):
    ended = train(small_run(), tmp_path / "run", screen=Screen(Gone(number)))
    assert (ended.exit_code, ended.values) == (141, None)
    newest, _ = checkpoint.load_newest(tmp_path / "run/checkpoints")
    assert newest.step == 1


@pytest.fixture(scope="module")
def begun(paring_child, small_overrides, tmp_path_factory):
    """A run that was killed in its third step, after the checkpoint of the second."""
    folder = tmp_path_factory.mktemp("begun") / "run"
    killed = paring_child(
        "train", "quickstart", *small_overrides, "--out", folder, at="paring.training.rl:rl_step", call=3
    )
    assert killed.code == -signal.SIGKILL
    return folder


def nothing(state):
    del state["progress"]


def negative(state):
    state["ranks"] = dict.fromkeys(state["ranks"], -1)


def huge(state):
    state["ranks"] = dict.fromkeys(state["ranks"], 10**9)


def other_modules(state):
    state["ranks"] = {"a.b": 8}


def other_step(state):
    state["progress"]["step"] = 10**6


def wrong_type(state):
    state["progress"]["seconds"] = ["\x1b[31m"]


@pytest.mark.parametrize("craft", [nothing, negative, huge, other_modules, other_step, wrong_type])
def test_a_crafted_state_ends_in_one_message_that_names_the_checkpoint(paring_child, begun, tmp_path, craft):
    folder = tmp_path / "run"
    shutil.copytree(begun, folder)
    place = folder / "checkpoints/step-000002"
    state = json.loads((place / "state.json").read_text())
    craft(state)
    (place / "state.json").write_text(json.dumps(state))
    (place / "manifest.json").unlink()
    (place / "manifest.json").write_bytes(manifest_of(place, 2))
    ended = paring_child("train", "--resume", folder)
    assert ended.code == 2 and f"error: {place} does not fit this run" in ended.output, ended.output
    assert "Traceback" not in ended.output and "\x1b" not in ended.output


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.jsonl", '{"reward": 1}\n'),
        ("metrics.jsonl", "[" * 100_000 + "\n"),
        ("metrics.jsonl", '{"step": 1e999}\n'),
        ("inputs.json", "[]"),
        ("inputs.json", "[" * 100_000),
        ("inputs.json", '{"recipe": 1, "files": []}'),
        ("result.json", "{}"),
        ("result.json", "{"),
        ("result.json", '{"steps": "many"}'),
        ("run.toml", "a = " + "[" * 50_000),
        ("run.toml", "\x00"),
    ],
)
def test_a_crafted_file_is_named(paring_child, begun, tmp_path, name, content):
    folder = tmp_path / "run"
    shutil.copytree(begun, folder)
    (folder / name).write_text(content)
    ended = paring_child("train", "--resume", folder)
    assert ended.code == 2 and name in ended.output and "Traceback" not in ended.output, ended.output[-600:]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("import sys; sys.exit()", "called sys.exit(None), which would end the run"),
        ("import os; os._exit(0)", "called os._exit(0), which would end the run"),
        ("raise ValueError('\\x1b[31mred')", "raised ValueError: \\x1b[31mred"),
        ("return [10**400]", "must give a list with a finite number or None"),
    ],
)
def test_a_reward_cannot_end_a_run_in_silence(paring_child, small_overrides, tmp_path, body, words):
    (tmp_path / "r.py").write_text(f"def reward(completions, **_):\n    {body}\n")
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"prompt": f"{n}+1="}) + "\n" for n in range(40)))
    own = [f"task.reward={tmp_path}/r.py:reward", f"task.data={tmp_path}/rows.jsonl"]
    ended = paring_child("train", "quickstart", *small_overrides, *own, "--out", tmp_path / "run")
    assert ended.code == 2 and words in ended.output and "Traceback" not in ended.output, ended.output


def test_a_reward_may_fork_terminate_and_leave_its_folder(paring_child, small_overrides, tmp_path):
    (tmp_path / "r.py").write_text(
        "import multiprocessing as mp, os, time\n"
        "def sleeper(): time.sleep(1000)\n"
        "def reward(completions, **_):\n"
        "    p = mp.get_context('fork').Process(target=sleeper)\n"
        "    p.start(); p.join(0.05); p.terminate(); p.join()\n"
        "    if os.fork() == 0: return [0.0]\n"
        "    os.wait()\n"
        "    os.chdir('/')\n"
        "    return [float(len(one)) for one in completions]\n"
    )
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"prompt": f"{n}+1="}) + "\n" for n in range(40)))
    own = [f"task.reward={tmp_path}/r.py:reward", f"task.data={tmp_path}/rows.jsonl", "steps=2"]
    ended = paring_child("train", "quickstart", *small_overrides, *own, "--out", tmp_path / "run")
    assert ended.code == 0 and "forked a process that came back" in ended.output, ended.output
    assert [row["step"] for row in read_rows(tmp_path / "run/metrics.jsonl")] == [1, 2]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("threads=100000", "threads = 100000: at most"),
        ("adapter.rank=1000000", "adapter.rank = 1000000: at most"),
        ("adapter.alpha=1e308", "adapter.alpha = 1e+308: must be"),
        ("rollout.record_gb=1e300", "rollout.record_gb = 1e+300: must be"),
        ("steps=10000000000000", "steps = 10000000000000: must be"),
    ],
)
def test_a_number_that_no_machine_can_mean_is_refused(paring_child, setting, words):
    ended = paring_child("train", "quickstart", setting, "--dry-run")
    assert ended.code == 2 and words in ended.output and "Traceback" not in ended.output, ended.output
