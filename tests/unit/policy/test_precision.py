"""model.dtype: what "auto" is where, what a device lacks, and that a run writes down which it was."""

import shutil
import tomllib
from dataclasses import replace

import pytest
import torch
from transformers import PreTrainedModel

from paring import load_run
from paring.policy import loading
from paring.policy.loading import Model, load_base, precision, resolved
from paring.runtime import gpu
from paring.runtime.folder import RunFolder
from paring.training.method import preview
from paring.training.progress import resumed


@pytest.fixture
def units(monkeypatch):
    """Makes the GPU one with matrix units for bf16, or without."""
    return lambda there: monkeypatch.setattr(loading, "multiplies_bf16", lambda: there)


@pytest.mark.parametrize(
    ("dtype", "device", "has_units", "expected"),
    [
        ("auto", "cpu", True, "float32"),
        ("auto", "cuda", True, "bfloat16"),
        ("auto", "cuda", False, "float32"),
        ("float32", "cuda", True, "float32"),
        ("float32", "cuda", False, "float32"),
        ("tfloat32", "cuda", True, "tfloat32"),
        ("bfloat16", "cuda", True, "bfloat16"),
        ("bfloat16", "cpu", False, "bfloat16"),
    ],
)
def test_auto_is_the_device_s_and_what_is_named_stays(units, dtype, device, has_units, expected):
    units(has_units)
    assert precision(Model(dtype=dtype), device) == expected


@pytest.mark.parametrize(
    ("dtype", "device", "why"),
    [
        ("tfloat32", "cpu", "only a GPU multiplies in it"),
        ("tfloat32", "cuda", "this GPU has no matrix units for it"),
        ("bfloat16", "cuda", "this GPU has no matrix units for it"),
    ],
)
def test_what_a_device_lacks_is_refused_with_what_to_use(units, dtype, device, why):
    units(False)
    with pytest.raises(ValueError, match=f'model.dtype = "{dtype}": {why}; use "float32", or "auto"'):
        precision(Model(dtype=dtype), device)


@pytest.mark.parametrize(
    ("here", "native", "expected"), [(False, False, True), (True, True, True), (True, False, False)]
)
def test_a_gpu_that_is_not_here_is_taken_to_have_units(monkeypatch, here, native, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: here)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native or including_emulation)
    assert gpu.multiplies_bf16() is expected


@pytest.mark.parametrize(("dtype", "expected"), [("float32", "highest"), ("tfloat32", "high"), ("auto", "highest")])
def test_fp32_products_on_a_gpu_are_exact_unless_tf32_is_named(units, monkeypatch, dtype, expected):
    units(True)
    set_to = []
    monkeypatch.setattr(loading, "device_named", lambda name: torch.device("cuda"))
    monkeypatch.setattr(torch, "set_float32_matmul_precision", set_to.append)
    monkeypatch.setattr(PreTrainedModel, "to", lambda self, device: self)
    model, _ = load_base(Model(dtype=dtype))
    assert set_to == [expected]
    assert model.dtype == (torch.bfloat16 if dtype == "auto" else torch.float32)


def test_a_cpu_s_products_are_left_alone(monkeypatch):
    monkeypatch.setattr(torch, "set_float32_matmul_precision", None)
    assert load_base(Model(device="cpu"))[0].dtype == torch.float32


def test_a_run_writes_down_its_precision(finished_run):
    assert load_run("quickstart").model.dtype == "auto"
    assert tomllib.loads((finished_run / "run.toml").read_text(encoding="utf-8"))["model"]["dtype"] == "float32"
    assert load_run(finished_run).model == resolved(load_run("quickstart").model)


def test_a_dry_run_says_which_precision_it_will_be(small_run):
    assert 'dtype = "float32"' in preview(small_run())


def test_a_run_goes_on_in_the_precision_it_began_with(finished_run, small_run, tmp_path):
    """As it does where it was begun on a GPU, or before recipes left the precision open."""
    folder = RunFolder(shutil.copytree(finished_run, tmp_path / "run"))
    text = folder.recipe.read_text(encoding="utf-8")
    text = text.replace('dtype = "float32"', 'dtype = "bfloat16"').replace('fused = "compiled"', 'fused = "torch"')
    folder.recipe.write_text(text, encoding="utf-8")
    (folder.path / "inputs.json").unlink()  # else it would be a change of run.toml by hand
    assert resumed(folder, small_run()).model.dtype == "bfloat16"
    assert resumed(folder, small_run()).model.fused == "torch"
    named = small_run()
    named = replace(named, model=replace(named.model, dtype="float32"))
    with pytest.raises(ValueError, match="model.dtype"):
        resumed(folder, named)
