"""Answers of the policy of a fixed number of steps ago: which policy, what a resumed run repeats, and every end."""

import json
import os
import signal
import threading
import time

import pytest
from safetensors.torch import load_file

from paring.rollout.served import fleet
from paring.rollout.served.reference_server import Listening, Reference
from paring.runtime.journal import read_rows
from paring.settings.complaints import RunFailed
from paring.tasks.arithmetic import Arithmetic
from paring.training import pipeline, rl
from paring.training.method import preview, train

BYTES = ("adapter/adapter_model.safetensors", "adapter/adapter_config.json", "samples.jsonl", "ranks.jsonl")
MOVING = {"optimiser.lr": 0.003, "optimiser.warmup": 0, "evaluate.limit": 4, "save.every": 1}
GATED = {"adapter.kind": "l1ra", "adapter.rank": 4, "adapter.events": 2, "adapter.shrink": 60.0, "adapter.reach": 3.0}
REDRAWN = {"objective.kind": "dapo", "rollout.redraws": 2, "rollout.ahead": 1, "steps": 4, "evaluate.every": 2}
REWARD = """
import os, signal, threading, time
from itertools import count

calls = count(1)

def reward(completions, **_):
    if os.path.exists({slow!r}) and os.environ["RANK"] == "0":
        with open({slow!r} + ".first", "w") as file:
            file.write(str(os.getpid()))
        os.replace({slow!r} + ".first", {slow!r})
    elif os.path.exists({slow!r}) and threading.current_thread().name == "rollouts" and next(calls) == 2:
        with open({slow!r}) as file:
            first = int(file.read())
        with open({slow!r} + ".since", "w") as file:
            file.write(str(time.time()))
        os.kill(first, signal.SIGINT)
        time.sleep(60)
    return [1.0 if "1" in text else 0.0 for text in completions]
"""
WEIGHED = {"rollout.ahead": 2, "rollout.truncate_ratio": 2.0, "steps": 5}


def metrics(folder):
    return list(read_rows(folder / "metrics.jsonl"))


def assert_same(folder, expected):
    for name in BYTES:
        assert (folder / name).is_file() == (expected / name).is_file(), name
        assert not (expected / name).is_file() or (folder / name).read_bytes() == (expected / name).read_bytes(), name
    own, other = metrics(folder), metrics(expected)
    for name in ("step", "staleness", "reward", "redrawn", "loss", "grad_norm", "ratio_max", "importance_weight"):
        assert [row.get(name) for row in own] == [row.get(name) for row in other], name


@pytest.fixture(scope="module")
def whole(paring_child, small_overrides, tmp_path_factory):
    """The recipe of a run that samples here, with rank events, and its folder."""
    changes = [f"{name}={value}" for name, value in (MOVING | GATED | WEIGHED).items()]
    recipe = ["train", "quickstart", *small_overrides, *changes]
    folder = tmp_path_factory.mktemp("ahead") / "run"
    ended = paring_child(*recipe, "--out", folder)
    assert ended.code == 0, ended.output
    return recipe, folder


def test_the_lag_is_fixed_after_the_first_steps(whole):
    _, folder = whole
    assert [row["staleness"] for row in metrics(folder)] == [0, 1, 2, 2, 2]
    assert all("mismatch" in row and "importance_weight" in row for row in metrics(folder))


@pytest.mark.parametrize("call", [2, 4])
def test_a_killed_run_goes_on_to_the_same_bytes(paring_child, whole, tmp_path, call):
    recipe, folder = whole
    ended = paring_child(*recipe, "--out", tmp_path / "run", at="paring.training.rl:improve", call=call)
    assert ended.code == -signal.SIGKILL, ended.output
    assert paring_child("train", "--resume", tmp_path / "run").code == 0
    assert_same(tmp_path / "run", folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rollout.ahead": 1}, "rollout.ahead = 1: rgra has no ratio .* Set rollout.truncate_ratio=2"),
        ({"rollout.ahead": 1, "objective.kind": "sft"}, "rollout.ahead = 1: sft learns from worked solutions"),
        ({"rollout.old_logprobs": "sampler", "objective.kind": "sft"}, "rollout.old_logprobs = sampler: sft learns"),
        ({"rollout.ahead": 1, "rollout.sync_every": 2}, "ahead = 1 and sync_every = 2: both .* leave one out"),
        ({"rollout.ahead": -1}, "rollout.ahead"),
        ({"rollout.ahead": 65}, "rollout.ahead"),
        (
            {"rollout.engine": "served", "rollout.top_p": 0.9, "rollout.old_logprobs": "sampler"},
            "old_logprobs = sampler: with top_p",
        ),
        (
            {"rollout.truncate_ratio": 2.0, "rollout.old_logprobs": "sampler", "objective.kind": "grpo"},
            "the ratio of grpo is then that to the sampler",
        ),
    ],
)
def test_what_cannot_be_is_said_before_any_work(small_run, changes, words):
    with pytest.raises(ValueError, match=words):
        preview(small_run(changes))


@pytest.fixture(scope="module")
def server():
    with Listening(Reference(max_rank=32)) as listening:
        yield listening


@pytest.fixture
def served_run(small_run, server, monkeypatch):
    """A run with redraws, validation and rank events whose rollouts a server makes one step ahead."""
    monkeypatch.setattr(fleet, "PAUSE", 0.02)
    problems = Arithmetic.problems  # each split is measured, or looked through at the start
    monkeypatch.setattr(Arithmetic, "problems", lambda self, split: problems(self, split)[:40])
    yield small_run(MOVING | REDRAWN | GATED | {"rollout.engine": "served", "rollout.servers": (server.url,)})
    server.reference.faults.clear()
    assert not [thread.name for thread in threading.enumerate() if thread.name == "rollouts"]


@pytest.fixture(scope="module")
def served_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("served") / "run"


def expected_of(run, folder, monkeypatch):
    """The same run without a thread: each rollout is made when its step begins."""
    if not folder.exists():
        with monkeypatch.context() as patch:
            patch.setattr(pipeline, "ServedEngine", ())
            train(run, folder)
    return folder


def test_a_server_samples_while_a_step_trains_what_it_would_have_sampled_after(
    served_run, served_folder, tmp_path, monkeypatch
):
    expected, real, seen = expected_of(served_run, served_folder, monkeypatch), rl.improve, []

    class Watched(pipeline.Pipeline):
        def __init__(self, *given):
            super().__init__(*given)
            seen.append(self)

    def improve(*given, **named):
        """The step ends once the rollout of the next one has."""
        for order in list(seen[0]._orders.values()):
            order.made.result(timeout=30)
        return real(*given, **named)

    monkeypatch.setattr(rl, "Pipeline", Watched)
    monkeypatch.setattr(rl, "improve", improve)
    train(served_run, tmp_path / "run")
    assert_same(tmp_path / "run", expected)
    rows = metrics(tmp_path / "run")
    assert [row["staleness"] for row in rows] == [0, 1, 1, 1]
    assert all(row["seconds_wait"] < row["seconds_rollout"] for row in rows[1:]), rows
    assert all(row["canary_gap"] < 1e-3 for row in rows) and rows[1]["evaluation"]


@pytest.mark.parametrize("at", ["improve", "rl_step"])
def test_ctrl_c_ends_it_within_two_seconds_and_it_goes_on_to_the_same_bytes(
    served_run, server, served_folder, tmp_path, monkeypatch, at
):
    """While a step trains, and while it waits for its answers; the server is slow, and the thread samples."""
    expected, real, calls, sent = expected_of(served_run, served_folder, monkeypatch), getattr(rl, at), [], []

    def interrupt():
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    def called(*given, **named):
        calls.append(at)
        if len(calls) == 2:
            server.reference.delay = 0.2
            server.reference.faults.add("slow")
            threading.Timer(0.3, interrupt).start()
            if at == "improve":
                time.sleep(0.5)
        return real(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(rl, at, called)
        ended = train(served_run, tmp_path / "run")
    assert ended.exit_code == 130 and time.monotonic() - sent[0] < 2
    assert not [thread.name for thread in threading.enumerate() if thread.name == "rollouts"]
    server.reference.faults.clear()
    train(served_run, tmp_path / "run", resume=True)
    assert_same(tmp_path / "run", expected)


def test_a_server_that_is_gone_for_good_ends_the_run_saved(served_run, server, tmp_path, monkeypatch):
    def lost(*given, **named):
        server.reference.faults.add("refuses")
        return real(*given, **named)

    real = rl.improve
    monkeypatch.setattr(rl, "improve", lost)
    with pytest.raises(RunFailed, match=r"refuses: HTTP 500: out of order\. Go on with  paring train --resume"):
        train(served_run, tmp_path / "run")
    assert (tmp_path / "run" / "checkpoints").is_dir()


@pytest.fixture(scope="module")
def divided(paring_child, server, tmp_path_factory):
    """The recipe of a run with redraws whose rollouts a server makes one step ahead, and its folder by one process."""
    place = tmp_path_factory.mktemp("divided")
    (place / "reward.py").write_text(REWARD.format(slow=str(place / "slow")))
    (place / "data.jsonl").write_text("".join(json.dumps({"prompt": f"{n}+1="}) + "\n" for n in range(24)))
    changes = (
        {"save.every": 1, "evaluate.limit": 4}
        | REDRAWN
        | {"threads": 1, "rollout.problems": 4, "rollout.group_size": 4}
    )
    changes |= {"rollout.engine": "served", "rollout.servers": f"['{server.url}']"}
    changes |= {"task.reward": f"{place / 'reward.py'}:reward", "task.data": place / "data.jsonl"}
    recipe = ["train", "quickstart", *(f"{name}={value}" for name, value in changes.items())]
    ended = paring_child(*recipe, "--out", place / "run")
    assert ended.code == 0, ended.output
    return recipe, place / "run"


@pytest.fixture(scope="module")
def killed(divided, paring_child, tmp_path_factory):
    """How two processes of that run ended, one of which was killed while it trained step 3; and the folder."""
    folder = tmp_path_factory.mktemp("killed") / "run"
    at = {"ranks": 2, "rank": 1, "at": "paring.training.rl:improve", "call": 3}
    return paring_child(*divided[0], "--out", folder, **at), folder


def test_two_processes_have_their_rollouts_made_ahead_and_go_on_after_a_kill(divided, killed, server, paring_child):
    """The thread of the one that is left waits for the one that was killed."""
    (_, expected), ((first, second), folder) = divided, killed
    assert second.code == -signal.SIGKILL
    assert first.code == 1 and "another process of this run has ended" in first.output, first.output
    ended = paring_child("train", "--resume", folder, ranks=2)
    assert [one.code for one in ended] == [0, 0], ended
    ours, theirs = (load_file(run / "adapter" / "adapter_model.safetensors") for run in (folder, expected))
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours | theirs) < 1e-5
    own, other = metrics(folder), metrics(expected)
    for name in ("step", "staleness", "reward", "redrawn", "length"):
        assert [row[name] for row in own] == [row[name] for row in other], name
    assert [row["staleness"] for row in own] == [0, 1, 1, 1] and sum(row["redrawn"] for row in own) > 0
    assert not server.reference.loaded and not (folder / "published").exists()


def test_an_interruption_of_one_process_ends_both_while_a_reward_of_the_other_takes_long(
    divided, killed, paring_child, tmp_path
):
    """The signal comes to the process whose thread waits for the other's reward."""
    recipe, whole = divided
    slow = whole.parent / "slow"
    slow.write_text("")
    ended = paring_child(*recipe, "--out", tmp_path / "run", ranks=2)
    seconds = time.time() - float(slow.with_name("slow.since").read_text())
    slow.unlink()
    assert [one.code for one in ended] == [130, 130], ended
    assert seconds < 10, "2 seconds, on a machine that is not shared"
    ended = paring_child("train", "--resume", tmp_path / "run", ranks=2)
    assert [one.code for one in ended] == [0, 0], ended
    assert_same(tmp_path / "run", killed[1])
