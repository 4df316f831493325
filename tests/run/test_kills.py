"""Killed at any durable operation, the same command or --resume goes on, to the same bytes and nothing left behind.

A kill of a study meets its parent, whose runs then save and end by themselves, or ("study-run") its first run.

A sample of positions; all of them, and kills in the resume too, with PARING_KILLS=all (make test-kills).
PARING_KILLS_STRIDE=n tries every n-th, PARING_KILLS_OF=rl,eval only these commands."""

import json
import os
import shutil
import signal

import pytest

from paring.rollout.served.reference_server import Listening, Reference

MODES = ("before", "after", "torn", "dropped")
"""The modes of killing.py."""
ALL = os.environ.get("PARING_KILLS") == "all"
TINY = [
    "threads=1",
    "rollout.problems=2",
    "rollout.group_size=2",
    "rollout.max_new_tokens=6",
    "evaluate.limit=2",
    "save.every=1",
]
OWN = ["task.data={data}", "task.reward={reward}:reward"]
"""Sums with a reward that differs between any two answers: every step moves the adapter."""
REWARD = """
from zlib import crc32
def reward(completions, **columns): return [crc32(text.encode()) % 1000 / 1000 for text in completions]
"""
KINDS = {
    "rl": ["steps=2"],
    "l1ra": ["steps=3", "adapter.kind=l1ra", "adapter.rank=3", "adapter.events=2", "save.samples_every=2"],
    "distilled": [
        "steps=2",
        "rollout.sync_every=2",
        "save.compress=true",
        "objective.kind=distillation",
        "objective.teacher=self",
        "objective.every=2",
        "objective.reward_coef=1.0",
    ],
    "served": ["steps=2", "rollout.engine=served", "rollout.servers=['{server}']"],
}
"""Runs of reinforcement learning; all are short of what follows TINY."""
SFT = """
method = "sft"
steps = 2
threads = 1
batch = 2
evaluate.limit = 2
evaluate.every = 1
save.every = 1
save.best = "validation"
data.data = "{data}"
"""
MEASURED = ("seconds", "memory", "per_second", "peak")
"""Parts of the names of what is measured, and so differs."""


def content_of(folder):
    """Everything in a folder that does not depend on the clock; what is left behind would be in it too."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir() or path.name in (".lock", "starts.jsonl") or name.endswith(("seconds.jsonl", ".log")):
            continue
        data = path.read_bytes().replace(str(folder).encode(), b"FOLDER")
        if path.suffix in (".json", ".jsonl") and path.name != "manifest.json":
            data = [timeless(json.loads(line)) for line in (data.splitlines() if path.suffix == ".jsonl" else [data])]
        elif path.name == "manifest.json" or path.suffix in (".html", ".md"):
            data = b""  # the sizes and hashes of files with seconds in them; pages of them
        found[name] = data
    return found


def timeless(value):
    if isinstance(value, dict):
        return {key: timeless(inner) for key, inner in value.items() if not any(part in key for part in MEASURED)}
    return [timeless(inner) for inner in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def server():
    with Listening(Reference()) as server:
        yield server.url


@pytest.fixture(scope="module")
def commands(tmp_path_factory, paring_child, server):
    """Each command, to be given the folder that it writes."""
    place = tmp_path_factory.mktemp("subject")
    run, rows, sft, reward = place / "run", place / "rows.jsonl", place / "sft.toml", place / "own.py"
    pairs = [{"prompt": f"{n}+1=", "completion": f"{n + 1}"} for n in range(10, 90)]
    rows.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    reward.write_text(REWARD)
    sft.write_text(SFT.format(data=rows))
    places = {"data": rows, "reward": reward, "server": server}
    runs = {
        name: ["train", "quickstart", *(text.format(**places) for text in [*OWN, *TINY, *changes]), "--out"]
        for name, changes in KINDS.items()
    }
    assert paring_child(*runs["rl"], run).code == 0
    study, lone = place / "study.toml", place / "lone.toml"
    for path, seeds in ((study, [0, 1]), (lone, [0])):
        path.write_text(f'recipe = "{run}/run.toml"\nseeds = {seeds}\n[common]\nsteps = 1\n[arms.rgra]\n')
    return runs | {
        "sft": ["train", sft, "--out"],
        "eval": ["eval", run, "--limit", "4", "--rows", "2", "--out"],
        "export": ["export", run, "--to"],
        "report": ["report", run, "--out"],
        "study": ["study", study, "--out"],
        "study-run": ["study", lone, "--out"],
    }


@pytest.fixture(scope="module")
def undisturbed(commands, tmp_path_factory, paring_child):
    """What a command leaves that nothing disturbs, and how many durable operations it has."""
    known = {}

    def of(name):
        if name not in known:
            place = tmp_path_factory.mktemp(name)
            kill = {"kill": (place, 0, "before"), "count": place / "count", "in_run": name == "study-run"}
            ended = paring_child(*commands[name], place / "it", **kill)
            assert ended.code == 0, ended.output
            known[name] = content_of(place / "it"), int((place / "count").read_text())
        return known[name]

    return of


def go_on(paring_child, command, target, **kill):
    """The same command; where it says that the folder holds a run, --resume."""
    ended = paring_child(*command, target, **kill)
    if ended.code == 2 and "go on with it by --resume" in ended.output:
        ended = paring_child("train", "--resume", target, **kill)
    if ended.code == 2 and "already holds a study" in ended.output:
        ended = paring_child("study", target, "--resume", **kill)
    return ended


def check(paring_child, commands, undisturbed, place, name, position, mode, again=None):
    expected, _ = undisturbed(name)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    target, in_run = place / "it", name == "study-run"
    ended = paring_child(*commands[name], target, kill=(place, position, mode), in_run=in_run)
    # A run that is killed after its result was written has done its work.
    assert ended.code in ((0, 1) if in_run else (-signal.SIGKILL,)), ended.output
    if again is not None:
        go_on(paring_child, commands[name], target, kill=(place, again, mode), in_run=in_run)
    ended = go_on(paring_child, commands[name], target, kill=(place, 0, "before"))
    is_whole_export = name == "export" and "is not an empty folder" in ended.output
    assert ended.code == 0 or is_whole_export, ended.output
    found = content_of(target)
    assert found.keys() == expected.keys()
    for path in expected:
        assert found[path] == expected[path], path
    assert {path.name for path in place.iterdir()} == {"it"}  # nothing beside it either


SAMPLE = {
    "rl": [(0.4, "torn"), (0.97, "before")],
    "l1ra": [(0.5, "torn")],
    "served": [(0.3, "after")],
    "sft": [(0.6, "dropped")],
    "eval": [(0.6, "torn")],
    "export": [(0.7, "before")],
    "report": [(0.5, "torn")],
}
WHOLE = ("rl", "l1ra", "distilled", "served", "sft", "eval", "export", "report", "study", "study-run")


@pytest.mark.skipif(ALL, reason="all positions are tried instead")
@pytest.mark.parametrize(
    ("name", "share", "mode"), [(name, *chosen) for name, several in SAMPLE.items() for chosen in several]
)
def test_a_sample_of_kills(paring_child, commands, undisturbed, tmp_path, name, share, mode):
    position = max(1, round(share * undisturbed(name)[1]))
    check(paring_child, commands, undisturbed, tmp_path / "place", name, position, mode)


@pytest.mark.skipif(not ALL, reason="minutes: make test-kills")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", os.environ.get("PARING_KILLS_OF", ",".join(WHOLE)).split(","))
def test_every_kill(paring_child, commands, undisturbed, tmp_path, name, mode):
    _, count = undisturbed(name)
    stride = int(os.environ.get("PARING_KILLS_STRIDE", "1"))
    tried, faults = 0, []
    for position in range(1 + MODES.index(mode) % stride, count + 1, stride):
        again = 1 + position * 7 % count if position % 5 == 0 else None
        tried += 1
        try:
            check(paring_child, commands, undisturbed, tmp_path / "place", name, position, mode, again)
        except AssertionError as error:
            faults.append(f"{position} (again {again}): {str(error)[:300]}")
    print(f"{name} {mode}: {tried - len(faults)} of {tried} equal, {count} positions")
    assert not faults, "\n".join(faults)
