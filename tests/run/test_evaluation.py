"""An evaluation that is killed or interrupted goes on to the same bytes; runs, adapters and merged models alike."""

import json
import signal

import pytest

from paring.subjects.export import export

ASKED = ("--task", "arithmetic:20,sums-and-products:10", "--rows", 4, "--samples", 2, "--temperature", 1)
LIMITED = (*ASKED, "--max-new-tokens", 8)
ITEMS = ("items/arithmetic.jsonl", "items/sums-and-products.jsonl")


@pytest.fixture(scope="module")
def whole(paring_child, tmp_path_factory):
    """The folder of an evaluation that nothing disturbed: ten chunks, then five."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    ended = paring_child("eval", "embedded", *LIMITED, "--out", folder)
    assert ended.code == 0, ended.output
    return folder


def assert_same(folder, expected):
    for name in ITEMS:
        assert (folder / name).read_bytes() == (expected / name).read_bytes(), name
    results = [json.loads((place / "results.json").read_text()) for place in (folder, expected)]
    for result in results:
        for task in result["tasks"]:
            del task["seconds"]
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("at", "call"),
    [
        ("paring.evaluation.exam:judged", 3),
        ("paring.evaluation.items:os.fsync", 4),
        ("paring.evaluation.answering:Clock.note", 11),
        ("paring.subjects.evaluate:write_outputs", 1),
    ],
)
def test_killed(paring_child, tmp_path, whole, at, call):
    folder = tmp_path / "out"
    assert paring_child("eval", "embedded", *LIMITED, "--out", folder, at=at, call=call).code == -signal.SIGKILL
    assert not (folder / "results.json").exists()
    ended = paring_child("eval", "embedded", *LIMITED, "--out", folder)
    assert ended.code == 0, ended.output
    assert_same(folder, whole)


def test_interrupted(paring_child, tmp_path, whole):
    folder = tmp_path / "out"
    stopped = paring_child(
        "eval",
        "embedded",
        *LIMITED,
        "--out",
        folder,
        at="paring.evaluation.exam:judged",
        call=3,
        signal=signal.SIGINT,
    )
    assert stopped.code == 130 and f"stopped; kept in {folder}: the same command goes on" in stopped.output
    assert (folder / ITEMS[0]).read_bytes().count(b"\n") == 4, "two of three chunks; the third was given up"
    assert paring_child("eval", "embedded", *LIMITED, "--out", folder).code == 0
    assert_same(folder, whole)


def test_a_run_its_adapter_and_its_merged_model_answer_alike(paring_child, finished_run, tmp_path):
    export(finished_run, tmp_path / "merged", merged=True)
    kept = []
    for number, subject in enumerate((finished_run, finished_run / "adapter", tmp_path / "merged")):
        folder = tmp_path / f"out-{number}"
        ended = paring_child("eval", subject, "--task", "arithmetic:8", "--max-new-tokens", 24, "--out", folder)
        assert ended.code == 0, ended.output
        kept.append((folder / ITEMS[0]).read_bytes())
    assert kept[0] == kept[1] == kept[2]


def test_a_run_against_its_base(paring_child, finished_run, tmp_path):
    ended = paring_child("eval", finished_run, "--limit", 8, "--compare", "embedded", "--out", tmp_path / "out")
    assert ended.code == 0, ended.output
    assert "comparison, second less first" in ended.output
    compared = json.loads((tmp_path / "out" / "results.json").read_text())["tasks"][0]["comparison"]
    assert compared["problems"] == 8 and 0 <= compared["p"] <= 1
