"""The best checkpoint of a run: found by what is measured on the way, listed, evaluated, exported."""

import json

import pytest

from paring.runtime.journal import read_rows
from paring.runtime.kept import newest_first

RECIPE = """
method = "sft"
steps = 5
threads = 1
batch = 2
optimiser.lr = 0.02
optimiser.warmup = 0
evaluate.limit = 8
evaluate.every = 1
save.every = 0
save.best = "validation"
data.data = "{data}"
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory, paring_child):
    place = tmp_path_factory.mktemp("best")
    rows = [{"prompt": f"{n}+1=", "completion": f"{n + 1}"} for n in range(10, 60)]
    (place / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (place / "sft.toml").write_text(RECIPE.format(data=place / "rows.jsonl"))
    ended = paring_child("train", place / "sft.toml", "--out", place / "run")
    assert ended.code == 0, ended.output
    return place / "run"


@pytest.fixture(scope="module")
def best_step(run):
    losses = {row["step"]: row["evaluation"]["loss"] for row in read_rows(run / "metrics.jsonl")}
    return min(losses, key=losses.get)


def test_it_stays_beside_the_newest_and_is_listed(run, best_step, paring_child):
    found = {step for step, _ in newest_first(run / "checkpoints")}
    assert {5, best_step} <= found and len(found) <= 3
    listed = json.loads(paring_child("runs", run, "--json").output)
    assert listed[0]["best"].startswith("loss ") and listed[0]["best"].endswith(f"at step {best_step}")


def test_it_is_evaluated_and_exported(run, best_step, paring_child, tmp_path):
    asked = ["--task", "arithmetic", "--limit", "2", "--max-new-tokens", "4"]
    adapters = {}
    for name, chosen in {"best": "best", "step": best_step, "end": None}.items():
        given = [] if chosen is None else ["--checkpoint", chosen]
        ended = paring_child("eval", run, *asked, *given, "--out", tmp_path / f"eval-{name}")
        assert ended.code == 0, ended.output
        adapters[name] = json.loads((tmp_path / f"eval-{name}/evaluation.json").read_text())["subject"]["adapters"]
        assert paring_child("export", run, *given, "--to", tmp_path / name).code == 0
    assert adapters["best"] == adapters["step"]
    written = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("best", "step", "end")]
    assert written[0] == written[1] and (written[0] == written[2]) == (best_step == 5)


@pytest.mark.parametrize(("chosen", "words"), [("77", "no checkpoint of step 77"), ("last", "give best, or the")])
def test_what_is_not_there_is_named(run, paring_child, tmp_path, chosen, words):
    ended = paring_child("export", run, "--checkpoint", chosen, "--to", tmp_path / "to")
    assert ended.code == 2 and words in ended.output


def test_without_measuring_on_the_way_it_is_refused(paring_child, tmp_path):
    ended = paring_child("train", "quickstart", "save.best=validation", "--out", tmp_path / "run")
    assert ended.code == 2 and "set evaluate.every" in ended.output, ended.output
