"""How the rows of A begin: their distribution, their dependence on the seed alone, and where the setting acts."""

from math import sqrt

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from paring import load_run
from paring.adapters.attach import apply_plan, attach
from paring.adapters.first_rows import drawn_as
from paring.adapters.kinds import L1ra, L1raReference, Lora
from paring.adapters.ranks import Move, RankPlan


def rows(kind, rank, inputs, seed=0):
    return drawn_as(kind, rank)(rank, inputs, torch.Generator().manual_seed(seed))


def test_the_spread_of_each():
    A_RI = rows("uniform", 64, 400)
    assert A_RI.abs().max() <= 1 / 20 and float(A_RI.std()) == pytest.approx(1 / sqrt(3 * 400), rel=0.02)
    assert float(rows("normal", 64, 400).std()) == pytest.approx(1 / 64, rel=0.02)
    length_R = rows("uniform", 64, 400).norm(dim=1)
    assert float(rows("orthogonal", 64, 400).norm(dim=1).mean()) == pytest.approx(float(length_R.mean()), rel=0.02)


def test_uniform_and_normal_are_pefts():
    """PEFT's default and its "gaussian" have the same spread."""
    for name, ours in ((True, "uniform"), ("gaussian", "normal")):
        torch.manual_seed(0)
        config = LoraConfig(r=16, target_modules=["0"], init_lora_weights=name)
        model = get_peft_model(nn.Sequential(nn.Linear(2000, 8)), config)
        theirs = model.base_model.model[0].lora_A["default"].weight
        assert float(theirs.detach().std()) == pytest.approx(float(rows(ours, 16, 2000).std()), rel=0.03)


def test_orthogonal_rows_stand_upright_and_follow_in_sets():
    A_RI = rows("orthogonal", 10, 4).double()
    for first in (0, 4, 8):
        held = A_RI[first : first + 4][: 10 - first]
        torch.testing.assert_close(held @ held.T, torch.eye(len(held)).double() / 3, atol=1e-6, rtol=0)
    assert not torch.equal(A_RI[:4], A_RI[4:8]) and rows("orthogonal", 0, 4).shape == (0, 4)
    assert torch.equal(rows("orthogonal", 3, 8), rows("orthogonal", 3, 8)) and rows("orthogonal", 3, 8, seed=1).any()


@pytest.mark.parametrize("kind", [Lora, L1ra, L1raReference])
def test_every_kind_begins_and_grows_by_the_setting(tiny_llama, kind):
    settings = kind(rank=4, init_a="orthogonal")
    adapters = attach(tiny_llama(), settings, seed=3)
    adapter = next(iter(adapters.values()))
    for _ in range(2):
        length_RR = adapter.A_RI @ adapter.A_RI.T
        torch.testing.assert_close(length_RR, torch.eye(adapter.rank) / 3, atol=1e-6, rtol=0)
        apply_plan(adapters, RankPlan({next(iter(adapters)): Move((), 3)}, 0), settings.draw, seed=0, step=1)


def test_defaults_and_names():
    assert (Lora().init_a, L1ra().init_a, L1raReference().init_a) == ("uniform", "uniform", "normal")
    with pytest.raises(ValueError, match="adapter.init_a = 'gaussian': must be 'uniform', 'normal' or 'orthogonal'"):
        load_run("quickstart", adapter={"init_a": "gaussian"})
    with pytest.raises(ValueError, match="did you mean adapter.init_a"):
        load_run("quickstart", adapter={"init_lora_weights": "gaussian"})
