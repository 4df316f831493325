"""Training beside a quantised base: L1RA on 4-bit and 8-bit layers, from a recipe to an adapter that PEFT reads."""

import pytest
import torch

from paring import train
from paring.runtime.journal import read_rows
from paring.subject import export, open_subject

pytest.importorskip("bitsandbytes")


@pytest.mark.parametrize("quantisation", ["4bit", "8bit"])
def test_l1ra_trains_beside_a_quantised_base(small_run, tmp_path, quantisation):
    folder = tmp_path / "run"
    changes = {"steps": 2, "model.quantisation": quantisation, "optimiser.lr": 0.01, "optimiser.warmup": 0}
    adapter = {"adapter.kind": "l1ra", "adapter.events": 2, "adapter.shrink": 60.0, "adapter.dropout": 0.1}
    train(small_run(changes | adapter | {"optimiser.weight_decay": 0.1}), folder)
    assert len(list(read_rows(folder / "ranks.jsonl"))) == 2
    policy = open_subject(str(folder)).policy
    assert any(adapter.B_OR.any() for adapter in policy.adapters.values())
    assert type(next(iter(policy.adapters.values())).base).__name__ in ("Linear4bit", "Linear8bitLt")
    export(folder, tmp_path / "exported")
    with pytest.raises(ValueError, match="load the model without quantisation"):
        export(folder, tmp_path / "merged", merged=True)
    assert torch.isfinite(torch.tensor([row["loss"] for row in read_rows(folder / "metrics.jsonl")])).all()
