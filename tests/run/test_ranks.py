"""RGRA on L1RA adapters: ranks move, nothing is lost by a kill, and what is published computes the same."""

import json
import shutil
import signal

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from paring import train
from paring.adapters.attach import ranks_of
from paring.commands.ranks import ranks
from paring.policy.loading import EMBEDDED
from paring.ranks.reading import read_ranks
from paring.ranks.words import as_plain
from paring.runtime.journal import read_rows
from paring.subjects.export import export
from paring.subjects.opening import open_subject

KINDS = {
    "l1ra": {"kind": "l1ra", "rank": 4, "events": 3, "settle": 0.3},
    "in ranks": {"kind": "l1ra", "rank": 4, "events": 3, "settle": 0.3, "budget": "ranks", "floor": 1, "cap": 9},
    "l1ra-reference": {"kind": "l1ra-reference", "rank": 4, "events": 3, "gate_lr": 1.0, "l1": 0.1},
}
SAME_BYTES = (
    "adapter/adapter_model.safetensors",
    "adapter/adapter_config.json",
    "samples.jsonl",
    "ranks.jsonl",
    "run.toml",
)


def dotted(adapter):
    return {f"adapter.{key}": value for key, value in adapter.items()}


@pytest.fixture(scope="module", params=KINDS)
def run_of_kind(request, small_run, tmp_path_factory):
    """A run of six steps, its folder, and the start rank of all its modules."""
    folder = tmp_path_factory.mktemp("ranks") / "run"
    run = small_run({"steps": 6, "optimiser.lr": 0.003, "optimiser.warmup": 0} | dotted(KINDS[request.param]))
    train(run, folder)
    return run, folder


def test_ranks_move_and_the_budget_is_kept(run_of_kind):
    run, folder = run_of_kind
    rows = list(read_rows(folder / "ranks.jsonl"))
    # Ranks move in the first 4 of 6 steps, and the budget falls from that of 8 in every module to that of 4.
    adapter, falls = run.adapter, {2: 6.0, 3: 5.0, 4: 4.0} if run.adapter.kind == "l1ra" else {2: 4.0, 4: 4.0}
    assert [row["step"] for row in rows] == list(falls)
    before = dict.fromkeys(rows[0]["ranks"], adapter.first_rank)
    price = rows[0]["cost"] if adapter.budget == "parameters" else dict.fromkeys(before, 1)
    for row in rows:
        budget = int(falls[row["step"]] * sum(price.values()))
        assert sum(row["ranks"][path] * price[path] for path in before) + row["unassigned"] == budget
        for path, rank in row["ranks"].items():
            assert rank == before[path] - row["pruned"].get(path, 0) + row["grown"].get(path, 0)
            assert len(row["worth"][path]) == rank - row["grown"].get(path, 0)
            if adapter.kind == "l1ra":
                assert adapter.floor <= rank <= adapter.greatest
        before = row["ranks"]
        assert row["kl"] >= 0 and min(row["null"].values()) >= 0
    assert rows[-1]["unassigned"] >= 0
    assert any(row["pruned"] for row in rows) and any(row["grown"] for row in rows)
    metrics = list(read_rows(folder / "metrics.jsonl"))
    assert all(0 <= row["gate"] <= 1 and 0 <= row["gates_at_zero"] < 1 for row in metrics)
    assert metrics[-1]["adapter_parameters"] > 0


def test_what_is_published_is_the_policy(run_of_kind, tmp_path):
    """PEFT reads the compact, the portable and the merged export to the logits of our own reading."""
    _, folder = run_of_kind
    opened = open_subject(str(folder)).policy
    token_BN = torch.randint(1, 100, (3, 20), generator=torch.Generator().manual_seed(0))
    opened.model.set_attn_implementation("eager")  # ours asks the layout of a packed batch
    with torch.no_grad():
        expected = opened.model(token_BN).logits
        rounding = 1e-5 * max(1.0, float(expected.std()))
        for layout in ("compact", "portable"):
            where = export(folder, tmp_path / layout, layout=layout)
            base = AutoModelForCausalLM.from_pretrained(EMBEDDED)
            assert (base(token_BN).logits - expected).abs().max() > 1e-2
            reader = PeftModel.from_pretrained(base, where).eval()
            torch.testing.assert_close(reader(token_BN).logits, expected, rtol=0, atol=rounding)
        merged = AutoModelForCausalLM.from_pretrained(export(folder, tmp_path / "merged", merged=True)).eval()
        torch.testing.assert_close(merged(token_BN).logits, expected, rtol=0, atol=rounding)


def test_the_newest_checkpoint_answers_before_the_run_has_ended(run_of_kind, tmp_path):
    _, folder = run_of_kind
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    (unfinished / "run.toml").write_bytes((folder / "run.toml").read_bytes())
    shutil.copytree(folder / "checkpoints", unfinished / "checkpoints")
    policy = open_subject(str(unfinished)).policy
    assert ranks_of(policy.adapters) == list(read_rows(folder / "ranks.jsonl"))[-1]["ranks"]


@pytest.fixture(scope="module")
def recipe(small_overrides):
    changes = {"steps": 5, "save.every": 1, "optimiser.lr": 0.003, "optimiser.warmup": 0} | dotted(KINDS["l1ra"])
    return ["train", "quickstart", *small_overrides, *(f"{key}={value}" for key, value in changes.items())]


@pytest.fixture(scope="module")
def uninterrupted(paring_child, recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted") / "run"
    ended = paring_child(*recipe, "--out", folder)
    assert ended.code == 0, ended.output
    assert [bool(row["pruned"]) for row in read_rows(folder / "ranks.jsonl")].count(True) >= 2
    return folder


@pytest.mark.parametrize(
    ("at", "call"),
    [
        pytest.param("paring.training.loop:rank_event", 1, id="before the first event"),
        pytest.param("paring.adapters.moving:apply_plan", 4, id="within an event"),
        pytest.param("paring.runtime.journal:Journal.ranks", 2, id="before an event is journalled"),
        pytest.param("paring.training.loop:save", 2, id="between an event and its checkpoint"),
        pytest.param("paring.training.rl:rl_step", 4, id="after the checkpoint of an event"),
    ],
)
def test_kill_9_around_a_rank_event(paring_child, recipe, uninterrupted, tmp_path, at, call):
    folder = tmp_path / "run"
    assert paring_child(*recipe, "--out", folder, at=at, call=call).code == -signal.SIGKILL
    resumed = paring_child("train", "--resume", folder)
    assert resumed.code == 0, resumed.output
    for name in SAME_BYTES:
        assert (folder / name).read_bytes() == (uninterrupted / name).read_bytes(), name


def test_lora_at_the_ranks_that_a_run_found(paring_child, small_overrides, uninterrupted, tmp_path):
    """Trained, killed, resumed to the same bytes, and read by PEFT; the file may not change meanwhile."""
    found = tmp_path / "found.json"
    found.write_text(json.dumps(as_plain(read_ranks(uninterrupted))))
    recipe = ["train", "quickstart", *small_overrides, "optimiser.lr=0.01", f"adapter.ranks={found}"]
    whole, folder = tmp_path / "whole", tmp_path / "killed"
    assert paring_child(*recipe, "--out", whole).code == 0
    assert paring_child(*recipe, "--out", folder, at="paring.training.rl:rl_step", call=4).code == -signal.SIGKILL
    content = found.read_text()
    found.write_text(json.dumps({"model.layers.0.mlp.up_proj": 1}))
    refused = paring_child("train", "--resume", folder)
    assert refused.code == 2 and "adapter.ranks" in refused.output and "has changed" in refused.output
    found.write_text(content)
    assert paring_child("train", "--resume", folder).code == 0
    for name in set(SAME_BYTES) - {"ranks.jsonl"}:
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    ranks = list(read_rows(uninterrupted / "ranks.jsonl"))[-1]["ranks"]
    opened = open_subject(str(folder)).policy
    assert ranks_of(opened.adapters) == ranks and len(set(ranks.values())) > 1
    reader = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(EMBEDDED), folder / "adapter").eval()
    token_BN = torch.randint(1, 100, (3, 20), generator=torch.Generator().manual_seed(0))
    opened.model.set_attn_implementation("eager")
    with torch.no_grad():
        torch.testing.assert_close(reader(token_BN).logits, opened.model(token_BN).logits, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (['adapter.ranks={"k_prjo"=2}'], "'k_prjo' fits none of the 21 modules of adapter.targets; did you mean"),
        (['adapter.ranks={"up_proj"=9999}'], "its smaller side is"),
        (["adapter.ranks=nowhere.json"], "adapter.ranks = 'nowhere.json': no such file"),
        (['adapter.ranks={"*"=4}', "adapter.most_parameters=99"], "above adapter.most_parameters = 99"),
        (["adapter.kind=l1ra", "adapter.floor=9"], "floor = 9 is above rank = 8"),
        (["adapter.kind=l1ra", "adapter.cap=3"], "cap = 3 is below the start rank, slack x rank = 16"),
        (
            ["adapter.kind=l1ra", "adapter.nominate=0.5"],
            "adapter.nominate: L1 acts on what the next budget has no room",
        ),
        (["adapter.kind=l1ra", "adapter.events=99"], "adapter.events = 99: ranks move in the first 2 of 4 steps"),
        (["adapter.kind=l1ra-reference", "adapter.events=5"], "adapter.events = 5: the run has 4 steps only"),
        (
            ["adapter.kind=l1ra-reference", "adapter.budget=parameters"],
            "adapter.budget = 'parameters': must be 'ranks'",
        ),
        (
            ["adapter.kind=l1ra", "adapter.events=2", 'adapter.targets=["nowhere"]'],
            "target 'nowhere' matches no linear module",
        ),
        (["adapter.kind=l1ra", "adapter.events=2", "adapter.start=x"], "x/adapter_config.json does not exist"),
        (["adapter.kind=dora", "adapter.start=x"], "adapter.start: exists, but not for the kind that is chosen"),
    ],
)
def test_a_bad_recipe_is_one_clear_error_before_any_work(paring_child, small_overrides, tmp_path, changes, said):
    ended = paring_child("train", "quickstart", *small_overrides, *changes, "--out", tmp_path / "run")
    assert ended.code == 2 and said in ended.output, ended.output
    assert "Traceback" not in ended.output and not (tmp_path / "run").exists()


def test_the_result_tells_the_ranks(run_of_kind):
    run, folder = run_of_kind
    last = list(read_rows(folder / "ranks.jsonl"))[-1]
    adapter = json.loads((folder / "result.json").read_text())["adapter"]
    run_coverage = adapter["coverage"]
    assert sum(run_coverage.values()) == pytest.approx(1)
    assert adapter == {
        "kind": run.adapter.kind,
        "parameters": sum(rank * last["cost"][path] for path, rank in last["ranks"].items()),
        "ranks": last["ranks"],
        "coverage": run_coverage,
    }


def test_the_map_of_a_lora_run_is_what_its_adapters_do(finished_run, capsys):
    """Measured on answers that the policy gives: large where an update is, nothing where there is none."""
    ranks(finished_run, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert [row["end"] for row in found["modules"]] == [8] * 21 and found["tokens"] > 100
    assert all(row["worth"] > 0 and row["null"] > 0 for row in found["modules"])
    proposed = [row["proposed"] for row in found["modules"]]
    assert len(set(proposed)) > 1 and max(proposed) <= 64
    assert sum(row["proposed"] * row["cost"] for row in found["modules"]) <= 43_776
    ranks(finished_run, as_json=True)
    assert json.loads(capsys.readouterr().out) == found
    ranks(finished_run)
    assert "lora: 21 modules, 168 ranks, 43,776 parameters; measured on" in capsys.readouterr().out
