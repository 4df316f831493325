"""Killed at any durable operation, the same command or --resume goes on, to the same bytes and nothing left behind.

In a study it is the parent that is killed; its runs save and end by themselves.

A sample of positions; all of them, and kills in the resume too, with PARING_KILLS=all (make test-kills)."""

import json
import os
import shutil
import signal

import pytest

MODES = ("before", "after", "torn", "dropped")
"""Of killing.py."""
ALL = os.environ.get("PARING_KILLS") == "all"
TINY = [
    "threads=1",
    "rollout.problems=2",
    "rollout.group_size=2",
    "rollout.max_new_tokens=6",
    "evaluate.limit=2",
    "save.every=1",
]
RL = ["train", "quickstart", *TINY, "steps=2"]
GATED = ["train", "quickstart", *TINY, "steps=3", "adapter.kind=l1ra", "adapter.rank=3", "adapter.events=2"]
SFT = """
method = "sft"
steps = 2
threads = 1
batch = 2
evaluate.limit = 2
save.every = 1
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
def commands(tmp_path_factory, paring_child):
    """Each command, to be given the folder that it writes."""
    place = tmp_path_factory.mktemp("subject")
    run, rows, sft = place / "run", place / "rows.jsonl", place / "sft.toml"
    assert paring_child(*RL, "--out", run).code == 0
    rows.write_text("".join(json.dumps({"prompt": f"{n}+1=", "completion": f"{n + 1}"}) + "\n" for n in range(24)))
    sft.write_text(SFT.format(data=rows))
    study = place / "study.toml"
    common = "\n".join(text.replace("=", " = ") for text in [*TINY, "steps=1"])
    study.write_text(f'recipe = "quickstart"\nseeds = [0, 1]\n[common]\n{common}\n[arms.rgra]\n')
    return {
        "rl": [*RL, "--out"],
        "l1ra": [*GATED, "--out"],
        "sft": ["train", sft, "--out"],
        "eval": ["eval", run, "--task", "arithmetic", "--limit", "4", "--rows", "2", "--out"],
        "export": ["export", run, "--to"],
        "report": ["report", run, "--out"],
        "study": ["study", study, "--out"],
    }


@pytest.fixture(scope="module")
def undisturbed(commands, tmp_path_factory, paring_child):
    """What a command leaves that nothing disturbs, and how many durable operations it has."""
    known = {}

    def of(name):
        if name not in known:
            place = tmp_path_factory.mktemp(name)
            ended = paring_child(*commands[name], place / "it", kill=(place, 0, "before"), count=place / "count")
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
    target = place / "it"
    ended = paring_child(*commands[name], target, kill=(place, position, mode))
    assert ended.code == -signal.SIGKILL, ended.output
    if again is not None:
        go_on(paring_child, commands[name], target, kill=(place, again, mode))
    ended = go_on(paring_child, commands[name], target)
    is_whole_export = name == "export" and "is not an empty folder" in ended.output
    assert ended.code == 0 or is_whole_export, ended.output
    found = content_of(target)
    assert found.keys() == expected.keys()
    for path in expected:
        assert found[path] == expected[path], path
    assert {path.name for path in place.iterdir()} == {"it"}  # nothing beside it either


SAMPLE = {
    "rl": [(0.1, "torn"), (0.4, "after"), (0.97, "before")],
    "l1ra": [(0.5, "torn")],
    "sft": [(0.6, "dropped")],
    "eval": [(0.1, "before"), (0.6, "torn")],
    "export": [(0.7, "before")],
    "report": [(0.5, "torn")],
}


@pytest.mark.skipif(ALL, reason="all positions are tried instead")
@pytest.mark.parametrize(
    ("name", "share", "mode"), [(name, *chosen) for name, several in SAMPLE.items() for chosen in several]
)
def test_a_sample_of_kills(paring_child, commands, undisturbed, tmp_path, name, share, mode):
    position = max(1, round(share * undisturbed(name)[1]))
    check(paring_child, commands, undisturbed, tmp_path / "place", name, position, mode)


@pytest.mark.skipif(not ALL, reason="minutes: make test-kills")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", [*SAMPLE, "study"])
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
