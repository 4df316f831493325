"""Runs that begin from an adapter: its function whatever the kind, on its own base alone, and what does not act."""

import shutil

import pytest
import torch
from safetensors.torch import load_file

from paring import load_run, train
from paring.adapters.attach import attach, set_ranks, state
from paring.adapters.kinds import Lora
from paring.adapters.peft_format import WEIGHTS, write_peft_folder
from paring.policy.bases import FILE
from paring.policy.loading import EMBEDDED, Model, load_base
from paring.policy.packing import Shared, pack
from paring.policy.publishing import probe_logits, publish
from paring.runtime.journal import read_rows
from paring.subjects.opening import open_subject
from paring.training.method import preview
from paring.training.policy_of_run import load_policy


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """An adapter of the embedded model with ranks 3 at scale 4, on three modules, and its model's logits."""
    folder = tmp_path_factory.mktemp("start")
    base, _ = load_base(Model(device="cpu"))
    adapters = attach(base, Lora(rank=3, alpha=12.0, dropout=0.1, targets=("q_proj",)), seed=0)
    generator = torch.Generator().manual_seed(0)
    for adapter in adapters.values():
        adapter.B_OR.data.normal_(0, 0.1, generator=generator)
    publish(folder, base, adapters, base="embedded", target=folder)
    return folder, logits(base)


def logits(model):
    model.set_attn_implementation("eager")
    return probe_logits(model, 103)


@pytest.mark.parametrize("kind", ["lora", "l1ra", "l1ra-reference"])
def test_every_kind_begins_with_the_function_of_the_start(kind, start):
    folder, expected = start
    changes = {"adapter.kind": kind, "adapter.start": str(folder), "adapter.rank": 4, "steps": 40}
    policy, notes = load_policy(load_run("quickstart", **changes))
    torch.testing.assert_close(logits(policy.model), expected, rtol=0, atol=1e-4)
    gates = [adapter.c_R for adapter in policy.adapters.values()]
    assert {one.rank for one in policy.adapters.values()} == {3} and len(gates) == 3
    if kind == "lora":
        assert gates == [None] * 3 and {one.scale for one in policy.adapters.values()} == {4.0}
    else:
        assert all(torch.equal(gate, torch.ones(3)) for gate in gates)
        assert {one.scale for one in policy.adapters.values()} == {16.0 / 4}
    said = "\n".join(notes)
    assert "its ranks hold, 3; " in said and "adapter.rank = 4" in said
    assert "its dropout holds, 0.1; not adapter.dropout = 0" in said
    assert "its 3 modules are adapted; not the 21 of adapter.targets = all-linear" in said
    assert "scale" not in said  # 16 / 4 is that of the start


def test_a_scale_is_made_up_for_by_the_factors(start):
    folder, expected = start
    changes = {"adapter.kind": "l1ra", "adapter.start": str(folder), "adapter.alpha": 2.0}
    policy, _ = load_policy(load_run("quickstart", **changes))
    torch.testing.assert_close(logits(policy.model), expected, rtol=0, atol=1e-4)
    assert {one.scale for one in policy.adapters.values()} == {2.0 / 8}


def test_ranks_move_from_those_of_the_start_within_the_budget(start, small_run, tmp_path):
    changes = {"adapter.kind": "l1ra", "adapter.start": str(start[0]), "adapter.rank": 4, "adapter.events": 2}
    result = train(small_run(changes | {"optimiser.lr": 0.01}), tmp_path / "run")
    assert result.exit_code == 0
    events = list(read_rows(tmp_path / "run" / "ranks.jsonl"))
    assert len(events) == 2 and all(sum(event["ranks"].values()) <= 4 * 3 for event in events)
    assert sum(events[0]["ranks"].values()) + sum(events[0]["pruned"].values()) > 9  # some were given
    first, *rest = read_rows(tmp_path / "run" / "metrics.jsonl")
    assert any("its ranks hold" in note for note in first["notes"]) and not any("notes" in row for row in rest)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"adapter.rank": 2, "adapter.cap": 9},
            r"larger than the budget of adapter.rank = 2 .*set adapter.rank = 3 or",
        ),
        (
            {"adapter.rank": 2, "adapter.slack": 1.0, "adapter.cap": 2},
            "has rank 3, above the cap of 2: set adapter.cap = 3 or higher",
        ),
        ({"adapter.floor": 4}, "adapter.floor = 4, and a module of adapter.start has rank 3: lower the floor"),
        ({"adapter.kind": "l1ra-reference", "adapter.rank": 2, "adapter.events": 2}, "set adapter.rank = 3 or higher"),
    ],
)
def test_a_start_that_does_not_fit_the_rules_of_ranks(changes, expected, start):
    with pytest.raises(ValueError, match=expected):
        load_policy(load_run("quickstart", **{"adapter.kind": "l1ra", "adapter.start": str(start[0])} | changes))


def test_a_dry_run_says_what_does_not_act(start, small_run):
    shown = preview(small_run({"adapter.start": str(start[0])}))
    assert "# adapter.start: its ranks hold, 3; not adapter.rank = 8" in shown
    assert "# adapter.start: its scale holds, 4; not adapter.alpha = 16, which is a scale of 2" in shown


def test_another_base_is_refused_with_both_names(start, tmp_path):
    """Another base of the same shapes: nothing but its numbers shows it."""
    base, tokenizer = load_base(Model(device="cpu"))
    for name, parameter in base.named_parameters():
        if name.endswith("up_proj.weight"):
            parameter.data.mul_(1.1)
    base.save_pretrained(tmp_path / "other")
    tokenizer.save_pretrained(tmp_path / "other")
    changes = {"adapter.start": str(start[0]), "model.path": str(tmp_path / "other")}
    with pytest.raises(ValueError, match=r"it was trained on paring-embedded, and this is .*/other \(its weights are"):
        load_policy(load_run("quickstart", **changes))
    foreign = shutil.copytree(start[0], tmp_path / "foreign")
    (foreign / FILE).unlink()
    _, notes = load_policy(load_run("quickstart", **changes | {"adapter.start": str(foreign)}))
    assert "names another base model, paring-embedded, and this is ../other" in notes[0]
    # An adapter that is opened beside its base is checked, too.
    (foreign / FILE).write_text((start[0] / FILE).read_text().replace('"others": "', '"others": "0'))
    with pytest.raises(ValueError, match="is an adapter of another base model"):
        open_subject(str(foreign))


def test_folders_of_earlier_versions_open(start, tmp_path):
    """They name an absolute folder, and hold no record of their base."""
    base, _ = load_base(Model(device="cpu"))
    adapters = attach(base, Lora(rank=3), seed=0)
    write_peft_folder(tmp_path, adapters, base_model=str(EMBEDDED))
    assert {one.rank for one in open_subject(str(tmp_path)).policy.adapters.values()} == {3}
    changes = {"adapter.start": str(tmp_path), "adapter.rank": 3}
    policy, notes = load_policy(load_run("quickstart", **changes))
    assert notes == [] and len(policy.adapters) == 21
    assert load_file(tmp_path / WEIGHTS)


def trained_from(start, small_run, folder, reference, **more):
    """The KL that the journal has at each step of a run from this folder."""
    changes = {"adapter.start": str(start[0]), "adapter.reference": reference, "objective.kl_coef": 0.02, **more}
    train(small_run(changes), folder)
    return [row["kl"] for row in read_rows(folder / "metrics.jsonl")]


def test_the_reference_is_the_base_or_the_start(start, small_run, tmp_path):
    """From the base the start is away; from the start a run is at 0 until its first update."""
    from_base = trained_from(start, small_run, tmp_path / "base", "base")
    from_start = trained_from(start, small_run, tmp_path / "start", "start")
    assert from_base[0] > 0.01 and from_start[0] == 0 < from_start[1] < 0.01
    weights = [load_file(tmp_path / name / "adapter" / WEIGHTS) for name in ("base", "start")]
    assert any(not torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_the_start_s_log_probs_are_the_reference_whatever_the_ranks_become(start, small_run, tmp_path):
    changes = {
        "adapter.kind": "l1ra",
        "adapter.start": str(start[0]),
        "adapter.reference": "start",
        "adapter.events": 2,
    }
    policy, _ = load_policy(small_run(changes))
    batch = pack([Shared([5, 6, 7], [[1, 2, 3]])], policy.device)
    expected_BT = policy.log_probs(batch, temperature=1.0).detach()
    assert policy.is_its_reference
    set_ranks(policy.adapters, dict.fromkeys(policy.adapters, 5))
    for adapter in policy.adapters.values():
        adapter.B_OR.data.normal_()
    assert not policy.is_its_reference
    before = {name: value.clone() for name, value in state(policy.adapters).items()}
    with policy.reference():
        torch.testing.assert_close(policy.log_probs(batch, temperature=1.0).detach(), expected_BT, rtol=0, atol=0)
    assert all(torch.equal(value, before[name]) for name, value in state(policy.adapters).items())


def test_a_run_held_to_its_start_is_resumed_to_the_same_bytes(start, small_run, tmp_path):
    more = {"adapter.kind": "l1ra", "adapter.rank": 4, "adapter.events": 2, "adapter.shrink": 60.0}
    trained_from(start, small_run, tmp_path / "whole", "start", **more)
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    for name in ("result.json", "adapter", "checkpoints/step-000004"):
        place = tmp_path / "cut" / name
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    train(load_run(tmp_path / "cut" / "run.toml"), tmp_path / "cut", resume=True)
    written = [(tmp_path / name / "adapter" / WEIGHTS).read_bytes() for name in ("whole", "cut")]
    assert written[0] == written[1]


@pytest.mark.parametrize(
    ("recipe", "changes", "expected"),
    [
        ("quickstart", {"adapter.reference": "start"}, 'reference = "start": there is no `start`'),
        ("sft-gsm8k-lora", {"adapter.start": "x", "adapter.reference": "start"}, "supervised runs have no KL term"),
    ],
)
def test_a_reference_that_is_not_there_is_refused(recipe, changes, expected):
    with pytest.raises(ValueError, match=expected):
        load_run(recipe, **changes)
