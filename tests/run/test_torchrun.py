"""Real torchrun: a killed process is started again, and Ctrl-C ends all, saved; where PARING_TEST_TORCHRUN is set."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.skipif(
    "PARING_TEST_TORCHRUN" not in os.environ or sys.platform == "win32",
    reason="half a minute of CPU: set PARING_TEST_TORCHRUN=1",
)
SAME = ("adapter/adapter_model.safetensors", "adapter/adapter_config.json", "samples.jsonl", "items.jsonl")
SECONDS = 600
SIZES = ["threads=1", "rollout.problems=4", "rollout.group_size=4", "evaluate.limit=2"]
TEXT = {"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
COMMAND = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
REWARD = """
import os, signal
from itertools import count

calls = count(1)

def reward(completions, **_):
    is_first_start = os.environ.get("TORCHELASTIC_RESTART_COUNT") == "0"
    if is_first_start and os.environ["RANK"] == "1" and next(calls) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return [1.0 if "1" in text else 0.0 for text in completions]
"""


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "reward.py").write_text(REWARD)
    (tmp_path / "data.jsonl").write_text("".join(json.dumps({"prompt": f"{n}+1="}) + "\n" for n in range(24)))
    task = [f"task.reward={tmp_path / 'reward.py'}:reward", f"task.data={tmp_path / 'data.jsonl'}"]
    return ["train", "quickstart", *task, *SIZES, "save.every=2", "steps=5"]


def torchrun(*words):
    return subprocess.run(
        [*COMMAND, *words], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS
    )


def test_a_killed_process_is_started_again_and_the_run_ends_with_the_same_bytes(recipe, paring_child, tmp_path):
    ended = torchrun("--max-restarts", "1", "-m", "paring", *recipe, "--out", str(tmp_path / "run"))
    assert ended.returncode == 0, ended.stdout
    assert "resumed from" in ended.stdout and "Traceback" not in ended.stdout.partition("resumed from")[2]
    undisturbed = paring_child(*recipe, "--out", tmp_path / "whole", ranks=2)
    assert [one.code for one in undisturbed] == [0, 0], undisturbed
    for name in SAME:
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    steps = [json.loads(line)["step"] for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4, 5]


def test_without_a_folder_that_a_restart_finds_it_is_refused(recipe):
    ended = torchrun("--max-restarts", "1", "-m", "paring", *recipe)
    assert ended.returncode != 0 and "name the run's folder by --out" in ended.stdout


def test_ctrl_c_ends_all_processes_saved_and_with_one_message(tmp_path):
    """Its output ends once no process is left that could write to it."""
    journal, deadline = tmp_path / "run" / "metrics.jsonl", time.monotonic() + SECONDS
    words = [
        "-m",
        "paring",
        "train",
        "quickstart",
        *SIZES,
        "save.every=0",
        "steps=1000",
        "--out",
        str(tmp_path / "run"),
    ]
    with subprocess.Popen([*COMMAND, *map(str, words)], **TEXT) as process:
        while not (journal.is_file() and journal.read_bytes().count(b"\n") >= 2) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=SECONDS)
    assert output.count("SIGINT: saving, then ending") == output.count("interrupted, and saved") == 1, output
    assert output.count("Traceback") == 1 and process.returncode == 1, "torchrun's own"
    steps = journal.read_bytes().count(b"\n")
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == [f"step-{steps:06d}"]
