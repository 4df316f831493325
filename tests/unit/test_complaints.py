"""Faults of a recipe, in words: all at once, each with its key, its value, its bound and the nearest valid name."""

import pytest

from paring.settings.complaints import RecipeError, valid_keys
from paring.settings.foreign import FOREIGN
from paring.training.config import Run, SftRun, load_run


def faults(overrides: dict) -> list[str]:
    with pytest.raises(RecipeError) as error:
        load_run("quickstart", **overrides)
    assert str(error.value).count("\n") == len(error.value.faults) - 1
    assert all(line.startswith("quickstart: ") for line in str(error.value).splitlines())
    return error.value.faults


def fault(key: str, value) -> str:
    [only] = faults({key: value})
    return only


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("rollout.group_size", 1, "rollout.group_size = 1: must be at least 2 (the group is its own baseline)"),
        ("rollout.group_size", True, "rollout.group_size = True: must be an integer"),
        ("rollout.group_size", "4", "rollout.group_size = '4': must be an integer"),
        ("rollout.group_size", 4.0, "rollout.group_size = 4.0: must be an integer"),
        ("rollout.temperature", 0, "rollout.temperature = 0: must be greater than 0 (training needs chance"),
        ("optimiser.lr", float("nan"), "optimiser.lr = nan: must be a finite number"),
        ("optimiser.lr", float("inf"), "optimiser.lr = inf: must be a finite number"),
        ("optimiser.lr", 2.0, "optimiser.lr = 2.0: must be at most 1 (adapters learn between about 1e-6 and 1e-2)"),
        ("optimiser.betas", [0.9, 1.5], "optimiser.betas[1] = 1.5: must be less than 1"),
        ("optimiser.betas", [0.9], "optimiser.betas = [0.9]: must have more items"),
        ("optimiser.betas", [0.1] * 3, "optimiser.betas = [0.1, 0.1, 0.1]: must have at most 2 items, not 3"),
        ("adapter.targets", "q_proj", "adapter.targets = 'q_proj': must be 'all-linear' or a list"),
        ("save.keep", 1, "save.keep = 1: must be at least 2 (one must be left if the other is damaged)"),
        ("objective.kl", "k4", "objective.kl = 'k4': must be 'k1', 'k2' or 'k3'"),
        ("model", "embedded", "model = 'embedded': must be a section"),
        ("model.path", 3, "model.path = 3: must be a string"),
        ("steps", None, "steps = None: must be an integer"),
    ],
)
def test_a_bad_value_is_shown_with_its_bound(key, value, expected):
    found = fault(key, value)
    assert found.startswith(expected)
    assert found.partition(":")[0].count(" = ") == 1


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("rollout.group-size", "rollout.group-size: unknown; did you mean rollout.group_size?"),
        ("rollout.Group_Size", "rollout.Group_Size: unknown; did you mean rollout.group_size?"),
        ("save.evry", "save.evry: unknown; did you mean save.every?"),
        ("sede", "sede: unknown; did you mean seed?"),
        ("optimizer.lr", "optimizer: unknown; did you mean optimiser?"),
        ("lr", "lr: unknown; did you mean optimiser.lr?"),
        ("rollout.lr", "rollout.lr: unknown; did you mean optimiser.lr?"),
        ("group_size", "group_size: unknown; did you mean rollout.group_size?"),
        ("task.xyz", "task.xyz: unknown; known here: judge, name"),
        ("save.xyz", "save.xyz: unknown; known here: every, keep, samples_every, compress, best"),
        ("objective.clip_low", "objective.clip_low: exists, but not for the kind that is chosen in [objective]"),
        ("task.largest", "task.largest: exists, but not for the kind that is chosen in [task]"),
    ],
)
def test_an_unknown_key_comes_with_the_nearest_one(key, expected):
    assert fault(key, 1) == expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("num_generations", "did you mean rollout.group_size?"),
        ("rollout.num-generations", "did you mean rollout.group_size?"),
        ("learning_rate", "did you mean optimiser.lr?"),
        ("beta", "did you mean objective.kl_coef?"),
        ("adapter.r", "did you mean adapter.rank?"),
        ("lora_alpha", "did you mean adapter.alpha?"),
        ("max_completion_length", "did you mean rollout.max_new_tokens?"),
        ("per_device_train_batch_size", "did you mean rollout.problems? (a whole step's)"),
        ("num_train_epochs", "did you mean steps? (a run is so many steps long, not epochs)"),
        ("use_vllm", "the package samples by itself, without a server"),
    ],
)
def test_a_name_of_another_library_is_answered_with_ours(key, expected):
    assert fault(key, 1) == f"{key}: unknown; {expected}"


def test_every_name_of_another_library_leads_to_a_key_that_is_there():
    keys = {*valid_keys(Run), *valid_keys(SftRun)}
    for one in FOREIGN:
        assert set(one.ours) <= keys and (one.ours or one.note), one
        assert one.name not in {key for key in keys if "." not in key}, one
    assert len({one.name for one in FOREIGN}) == len(FOREIGN)


def test_a_key_of_the_other_method_is_told_from_an_unknown_one():
    assert fault("data.data", "x") == "data: belongs to runs of method = 'sft', which this one is not"
    assert "task: belongs to runs of method = 'rl', which this one is not" in faults({"method": "sft"})


def test_a_kind_that_is_not_offered_is_not_taken_for_a_misspelt_one():
    assert fault("objective.kind", "dpo").startswith("objective.kind = 'dpo': unknown; DPO learns from pairs")


def test_a_key_of_another_kind_is_never_proposed():
    assert "did you mean objective.kl" not in fault("objective.clip_lo", 1)
    [found] = faults({"objective": {"kind": "grpo", "clip_lo": 0.1}})
    assert found == "objective.clip_lo: unknown; did you mean objective.clip_low?"


def test_an_unknown_kind_comes_with_the_choices():
    assert fault("objective.kind", "grp").startswith(
        "objective.kind = 'grp': unknown; did you mean 'grpo'? Choices: rgra, grpo, grpo-positive, "
    )
    assert fault("objective.kind", "RGRA").startswith("objective.kind = 'RGRA': unknown; did you mean 'rgra'?")
    said = 'QLoRA is adapter.kind = "lora" with model.quantisation = "4bit". Choices: lora, dora, '
    assert fault("adapter.kind", "qlora").startswith(f"adapter.kind = 'qlora': unknown; {said}")


def test_all_faults_are_told_at_once():
    found = faults(
        {"seed": -1, "rollout": {"group_size": 1, "problms": 2}, "optimiser.lr": -1, "task.name": "sum", "sav.every": 1}
    )
    assert sorted(line.split(":")[0].split(" = ")[0] for line in found) == [
        "optimiser.lr",
        "rollout.group_size",
        "rollout.problms",
        "sav",
        "seed",
        "task.name",
    ]


def test_what_is_missing_is_named(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[task]\nlargest = 3\n[objective]\nkl_coef = 0.1\n[rollout]\nproblems = 2\n")
    with pytest.raises(RecipeError) as error:
        load_run(path)
    assert error.value.faults == [
        f"{key}: required, but not given"
        for key in ("steps", "task.name", "rollout.group_size", "rollout.max_new_tokens", "objective.kind")
    ]


def test_a_long_value_is_cut():
    assert len(fault("steps", "x" * 10_000)) < 120


def test_the_names_that_scripts_outside_use_are_keys():
    promised = """seed steps model.path task.name rollout.problems rollout.group_size rollout.max_new_tokens
        rollout.temperature objective.kind objective.kl_coef adapter.kind adapter.rank adapter.alpha optimiser.lr
        save.every evaluate.every"""
    assert set(promised.split()) <= valid_keys(Run).keys()
