"""Numbers that are not finite: the step is dropped, counted and journalled; after three in a row the run stops."""

import math

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from paring import train
from paring.cli import app
from paring.maths.objectives import Rgra
from paring.runtime.journal import read_rows
from paring.settings.complaints import RunFailed
from paring.training.optim import Optimiser

# With a KL term every step has a pass, also one whose answers all got the same reward.
WITH_KL = "objective.kl_coef"
EVERY_STEP = {"save.every": 1, "save.keep": 9, WITH_KL: 1e-3}


@pytest.fixture
def loss_of_passes(monkeypatch):
    """Multiplies the loss of the n-th passes by a factor that is not finite. Small runs have one pass a step."""

    def multiply(factor: float, *passes: int) -> None:
        real, count = Rgra.__call__, iter(range(1, 100))
        monkeypatch.setattr(
            Rgra, "__call__", lambda self, *args: real(self, *args) * (factor if next(count) in passes else 1.0)
        )

    return multiply


@pytest.fixture
def broken_by_update(monkeypatch):
    """Makes every parameter NaN after the n-th update."""

    def breaking(number: int) -> None:
        real, count = Optimiser.step, iter(range(1, 100))

        def step(self, lr, signal=1.0):
            real(self, lr, signal)
            if next(count) == number:
                for parameter in self.named.values():
                    parameter.data.fill_(math.nan)

        monkeypatch.setattr(Optimiser, "step", step)

    return breaking


def adapter_after(folder, step):
    return load_file(folder / f"checkpoints/step-{step:06d}/adapter.safetensors")


@pytest.mark.parametrize("factor", [math.nan, math.inf])
def test_a_step_that_is_not_finite_is_dropped(loss_of_passes, small_run, tmp_path, factor):
    loss_of_passes(factor, 2, 3)
    result = train(small_run(EVERY_STEP), tmp_path / "run")
    rows = list(read_rows(tmp_path / "run/metrics.jsonl"))
    assert [row["dropped_steps"] for row in rows] == [0, 1, 2, 2]
    assert [row["updates"] for row in rows] == [1, 1, 1, 2]
    for row in rows[1:3]:
        assert row["loss"] is None and row["grad_norm"] is None
        assert row["nonfinite"] == ["loss", "grad_norm"]
    assert "nonfinite" not in rows[0] | rows[3]
    assert (result.values.dropped_steps, result.values.updates, result.values.steps) == (2, 2, 4)
    # That a dropped step moves nothing is tested in unit/training/test_update.py; it leaves no checkpoint either.
    assert sorted(path.name for path in (tmp_path / "run/checkpoints").iterdir()) == ["step-000001", "step-000004"]
    one, four = (adapter_after(tmp_path / "run", step) for step in (1, 4))
    assert not all(torch.equal(one[name], four[name]) for name in one)
    assert all(value.isfinite().all() for value in four.values())


@pytest.mark.parametrize("keep", [2, 9])
def test_three_in_a_row_end_the_run_and_name_the_last_healthy_checkpoint(loss_of_passes, small_run, tmp_path, keep):
    """Also where only two are kept: the dropped steps must not have pushed it out."""
    loss_of_passes(math.nan, 3, 4, 5)
    with pytest.raises(RunFailed) as error:
        train(small_run(EVERY_STEP | {"steps": 9, "save.keep": keep}), tmp_path / "run")
    message = str(error.value)
    assert message.startswith("the loss or gradient was not finite in 3 steps in a row, the last of them step 5; ")
    # Step 2 may itself be what made everything infinite.
    assert f"the last healthy checkpoint is {tmp_path / 'run/checkpoints/step-000001'}." in message
    assert (tmp_path / "run/checkpoints/step-000001/adapter.safetensors").is_file()
    assert "lower optimiser.lr" in message
    assert [row["dropped_steps"] for row in read_rows(tmp_path / "run/metrics.jsonl")] == [0, 0, 1, 2, 3]
    assert not (tmp_path / "run/result.json").exists()


def test_at_the_command_line_it_is_exit_code_1(loss_of_passes, small_overrides, tmp_path):
    loss_of_passes(math.nan, 1, 2, 3)
    ended = CliRunner().invoke(
        app, ["train", "quickstart", *small_overrides, f"{WITH_KL}=0.001", "--out", str(tmp_path / "run")]
    )
    assert ended.exit_code == 1
    assert ended.stderr.startswith("error: the loss or gradient was not finite in 3 steps in a row")
    assert "there is no healthy checkpoint" in ended.stderr and "Traceback" not in ended.stderr


def test_a_gradient_that_overflows_by_itself(small_run, tmp_path):
    """A scale that no float can hold squared: the norm is infinite, and nothing is moved."""
    with pytest.raises(RunFailed, match="3 steps in a row"):
        train(small_run({"adapter.alpha": 1e30, "optimiser.lr": 1.0}), tmp_path / "run")
    rows = list(read_rows(tmp_path / "run/metrics.jsonl"))
    assert [row["updates"] for row in rows] == [0, 0, 0]
    assert "grad_norm" in rows[0]["nonfinite"]


def test_a_policy_that_cannot_be_sampled_from_ends_the_run(broken_by_update, small_run, tmp_path):
    """The update was finite and what came of it is not: there are no answers, so no loss would ever tell."""
    broken_by_update(3)
    with pytest.raises(RunFailed) as error:
        train(small_run(EVERY_STEP), tmp_path / "run")
    assert str(error.value).startswith("the model's probabilities are not finite after step 3; ")
    assert f"the last healthy checkpoint is {tmp_path / 'run/checkpoints/step-000002'}." in str(error.value)


def test_a_last_update_that_breaks_the_policy_names_it_too(broken_by_update, small_run, tmp_path):
    broken_by_update(4)
    with pytest.raises(RunFailed, match="not finite after step 4; the last healthy checkpoint is .*step-000003"):
        train(small_run(EVERY_STEP), tmp_path / "run")


def test_the_largest_learning_rate_breaks_nothing_but_the_model(small_run, tmp_path):
    train(small_run({"optimiser.lr": 1.0, "optimiser.warmup": 0}), tmp_path / "run")
    assert all(math.isfinite(row["grad_norm"]) for row in read_rows(tmp_path / "run/metrics.jsonl"))
