"""The best checkpoint stays beside the newest, and goes when another does better."""

import pytest
import torch

from paring.runtime.checkpoint import load_step, save
from paring.runtime.kept import Best, best_of, newest_first
from paring.runtime.leavings import collect

BEST = {"step": 2, "figure": "accuracy", "value": 0.75}


def save_step(folder, step, best):
    save(folder, step, {"adapter": {"a": torch.full((3,), float(step))}}, {"progress": {"best": best}}, keep=2)


def steps(folder):
    return [step for step, _ in newest_first(folder)]


def test_the_best_is_spared_until_another_is(tmp_path):
    for step in range(1, 7):
        save_step(tmp_path, step, BEST if step > 1 else None)
    assert steps(tmp_path) == [6, 5, 2]
    assert best_of(tmp_path) == Best(2, "accuracy", 0.75)
    save_step(tmp_path, 7, BEST | {"step": 7, "value": 0.8})
    assert steps(tmp_path) == [7, 6]


def test_gc_spares_it_too(tmp_path):
    (tmp_path / "run.toml").touch()
    for step in (2, 3, 4):
        save_step(tmp_path / "checkpoints", step, BEST)
    (tmp_path / "result.json").touch()
    found, _ = collect(tmp_path, remove=True)
    assert [leaving.path.name for leaving in found] == ["step-000003"]
    assert steps(tmp_path / "checkpoints") == [4, 2]


def test_of_equals_the_earlier_is_the_best_and_of_losses_the_least():
    assert Best.of(1, {"accuracy": 0.5}).beats(None)
    assert not Best.of(2, {"accuracy": 0.5}).beats(Best.of(1, {"accuracy": 0.5}))
    assert Best.of(2, {"loss": 0.4}).beats(Best.of(1, {"loss": 0.5}))
    assert str(Best.of(2, {"accuracy": 0.5})) == "accuracy 50.0 % at step 2"


@pytest.mark.parametrize("best", [7, {"step": "x"}, {"step": 2, "figure": ["a"], "value": 1.0}, None])
def test_a_record_of_another_kind_names_no_best(tmp_path, best):
    save_step(tmp_path, 3, best)
    assert best_of(tmp_path) is None


def test_a_step_that_is_not_there_or_damaged_is_named(tmp_path):
    save_step(tmp_path, 3, None)
    with pytest.raises(ValueError, match="no checkpoint of step 4: there are 3"):
        load_step(tmp_path, 4)
    (tmp_path / "step-000003/state.json").write_text("{}")
    with pytest.raises(ValueError, match="step-000003: damaged"):
        load_step(tmp_path, 3)
