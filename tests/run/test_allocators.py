"""Runs by the rules of other papers: the budget holds, and a resumed run has the same bytes."""

import shutil

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from paring import train
from paring.adapters.attach import ranks_of
from paring.policy.loading import EMBEDDED
from paring.ranks.reading import read_ranks
from paring.ranks.words import as_text
from paring.runtime.journal import read_rows
from paring.subjects.export import export
from paring.subjects.opening import open_subject

KINDS = {
    "adalora": {"kind": "adalora", "rank": 2, "events": 2, "settle": 0.25},
    "gradient": {"kind": "allocated", "rank": 2},
    "random": {"kind": "allocated", "rule": "random", "rank": 2, "probe": 3},
}


@pytest.mark.parametrize("name", KINDS)
def test_a_run(small_run, tmp_path, name):
    changes = {f"adapter.{key}": value for key, value in KINDS[name].items()}
    run = small_run({"optimiser.lr": 0.003, "optimiser.warmup": 0} | changes)
    train(run, tmp_path / "run")
    last = list(read_rows(tmp_path / "run" / "ranks.jsonl"))[-1]
    spent = sum(rank * last["cost"][path] for path, rank in last["ranks"].items())
    assert spent + last["unassigned"] == 2 * sum(last["cost"].values()) and last["unassigned"] >= 0
    assert len(set(last["ranks"].values())) > 1
    assert ranks_of(open_subject(str(tmp_path / "run")).policy.adapters) == {
        path: rank for path, rank in last["ranks"].items() if rank
    }
    assert read_ranks(tmp_path / "run").all.end == sum(last["ranks"].values())
    goes_on_to_the_same_bytes(run, tmp_path, "ranks.jsonl")


def goes_on_to_the_same_bytes(run, tmp_path, *files):
    """As a kill after step 2 would leave it: the checkpoint holds what the gradients said so far."""
    again = shutil.copytree(tmp_path / "run", tmp_path / "again")
    for late in ("result.json", "adapter", "checkpoints/step-000004"):
        path = again / late
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    train(run, again, resume=True)
    for file in ("adapter/adapter_model.safetensors", "samples.jsonl", *files):
        assert (again / file).read_bytes() == (tmp_path / "run" / file).read_bytes()


def test_sora_removes_what_l1_has_closed(small_run, tmp_path):
    adapter = {
        "adapter.kind": "sora",
        "adapter.rank": 4,
        "adapter.shrink": 0.4,
        "adapter.reach": 3.0,
        "adapter.events": 2,
    }
    run = small_run({"optimiser.lr": 0.003, "optimiser.warmup": 0} | adapter)
    train(run, tmp_path / "run")
    rows = list(read_rows(tmp_path / "run" / "ranks.jsonl"))
    assert [row["step"] for row in rows] == [2, 4] and rows[-1]["pruned"] == rows[-1]["closed"] != {}
    assert all(row["kl"] == pytest.approx(0, abs=1e-6) and not row["grown"] for row in rows)
    assert "components removed" in as_text(read_ranks(tmp_path / "run"))
    goes_on_to_the_same_bytes(run, tmp_path, "ranks.jsonl")


def test_lora_plus_is_resumed_too(small_run, tmp_path):
    run = small_run({"optimiser.lr": 0.003, "adapter.b_rate": 8.0})
    train(run, tmp_path / "run")
    goes_on_to_the_same_bytes(run, tmp_path)


def test_dora_learns_is_resumed_and_read_by_peft(small_run, tmp_path):
    """It is sampled with folded into weights, trained through its modules, and exported both ways."""
    run = small_run({"optimiser.lr": 0.01, "optimiser.warmup": 0, "adapter.kind": "dora", "objective.kl_coef": 0.01})
    train(run, tmp_path / "run")
    goes_on_to_the_same_bytes(run, tmp_path)
    rows = list(read_rows(tmp_path / "run" / "metrics.jsonl"))
    assert rows[0]["kl"] == 0 < rows[-1]["kl"]
    policy = open_subject(str(tmp_path / "run")).policy
    assert any(not one.changes_nothing for one in policy.adapters.values())
    policy.model.set_attn_implementation("eager")
    token_BN = torch.randint(1, 100, (3, 20), generator=torch.Generator().manual_seed(0))
    expected = policy.model(token_BN).logits
    reader = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(EMBEDDED), tmp_path / "run" / "adapter")
    merged = AutoModelForCausalLM.from_pretrained(export(tmp_path / "run", tmp_path / "merged", merged=True))
    for other in (reader.eval(), merged.eval()):
        torch.testing.assert_close(other(token_BN).logits, expected, rtol=0, atol=1e-4)
    again = small_run({"adapter.start": str(tmp_path / "run" / "adapter")})
    with pytest.raises(ValueError, match="is a DoRA adapter, which kind = 'lora' cannot go on from"):
        train(again, tmp_path / "again-from")
