"""Recipes become runs: what is read, overridden, written back and compared."""

from pathlib import Path

import pytest

from paring.maths.objectives import Dapo, Grpo, Raft, Reinforce, Rgra
from paring.settings.complaints import RecipeError
from paring.settings.recipes import parse_override, recipe_names, recipe_text
from paring.tasks.sums_products import SumsAndProducts
from paring.training.config import differences, load_run, task_named, task_names, to_toml


def overridden(*texts: str):
    return load_run("quickstart", **dict(map(parse_override, texts)))


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_survives_being_written_and_read(name, tmp_path):
    run = load_run(name)
    path = tmp_path / "run.toml"
    path.write_text(to_toml(run), encoding="utf-8")
    assert load_run(path) == run
    assert load_run(tmp_path) == run
    assert differences(run, load_run(path)) == []


def test_settings_that_are_none_survive_too(tmp_path):
    run = load_run("gsm8k-rgra", **{"adapter.start": "a/b", "adapter.targets": ["q_proj", "v_proj"]})
    assert (run.adapter.start, run.task.test) == ("a/b", None)
    path = tmp_path / "run.toml"
    path.write_text(to_toml(run), encoding="utf-8")
    assert load_run(path) == run


def test_the_paper_s_setting():
    """RGRA, arXiv 2603.18756, table 4."""
    run = load_run("gsm8k-rgra")
    assert (run.rollout.problems, run.rollout.group_size, run.rollout.max_new_tokens) == (24, 8, 512)
    assert (run.rollout.temperature, run.rollout.updates, run.optimiser.lr, run.optimiser.warmup) == (1.0, 1, 1e-5, 5)
    assert run.objective == Rgra(kl_coef=0.005)
    assert (run.adapter.rank, run.adapter.targets, run.task.train_problems) == (128, "all-linear", 1800)
    assert run.steps * run.rollout.problems == run.task.train_problems


def test_overrides_as_dotted_names_and_as_sections():
    run = load_run("quickstart", seed=1, rollout={"group_size": 4}, **{"rollout.problems": 2, "optimiser.lr": 1})
    assert (run.seed, run.rollout.group_size, run.rollout.problems) == (1, 4, 2)
    assert run.rollout.max_new_tokens == load_run("quickstart").rollout.max_new_tokens


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("optimiser.lr=1e-4", 1e-4),
        ("optimiser.lr=1", 1.0),
        ("optimiser.betas=[0.5, 0.75]", (0.5, 0.75)),
        ("adapter.targets=['q_proj', 'v_proj']", ("q_proj", "v_proj")),
        ("adapter.targets='all-linear'", "all-linear"),
        ("adapter.targets=all-linear", "all-linear"),
        ("model.path=./a model=b", "./a model=b"),
        ("description='é = \"x\"'", 'é = "x"'),
        ("seed = 7 ", 7),
        ("rollout.group_size=1_000", 1000),
    ],
)
def test_an_override_of_the_command_line_is_a_toml_value_or_a_string(text, value):
    run = overridden(text)
    for name in text.partition("=")[0].strip().split("."):
        run = getattr(run, name)
    assert run == value


def test_an_override_may_choose_another_kind():
    assert overridden("objective.kind=grpo", "objective.clip_high=0.28").objective == Grpo(clip_high=0.28)
    assert overridden("task={name='sums-and-products', largest=5}").task == SumsAndProducts(largest=5)


def test_another_kind_leaves_out_what_only_the_recipe_s_own_knows():
    """What both know stays; what is given with the other kind must apply to it."""
    assert overridden("objective.kind=raft").objective == Raft()
    run = load_run("gsm8k-rgra", **{"objective.kind": "reinforce"})
    assert run.objective == Reinforce(kl_coef=0.005)
    assert load_run("gsm8k-rgra", objective={"kind": "dapo", "redraws": 0}).objective == Dapo(redraws=0)
    task = load_run("gsm8k-rgra", **{"task.name": "arithmetic"}).task
    assert task.name == "arithmetic"
    for wrong in ("objective.kl_coef=0.0", "objective.clip_low=0.1"):
        with pytest.raises(RecipeError, match="exists, but not for the kind that is chosen"):
            overridden("objective.kind=raft", wrong)
    with pytest.raises(RecipeError, match="objective.clip_low: exists, but not for the kind"):
        overridden("objective.kind=rgra", "objective.clip_low=0.1")


def test_a_recipe_s_own_keys_must_apply_to_its_own_kind(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(recipe_text("quickstart").replace('kind = "rgra"', 'kind = "raft"'))
    with pytest.raises(RecipeError, match="objective.kl_coef: exists, but not for the kind"):
        load_run(path)
    assert load_run(path, **{"objective.kind": "rgra"}).objective == Rgra()


@pytest.mark.parametrize("kind", ["grpo", "dapo", "gspo", "rec", "wapo"])
def test_a_bound_may_be_off(kind):
    bounds = {"objective.clip_high": "off"} | ({} if kind == "wapo" else {"objective.clip_low": "off"})
    run = load_run("quickstart", **{"objective.kind": kind} | bounds)
    assert run.objective.clip_high == run.objective.clip_low == "off"


def test_weights_of_rewards_are_numbers_from_0():
    assert overridden("rewards.format=0").rewards == {"format": 0.0}
    with pytest.raises(RecipeError, match="rewards.format = -1: must be at least 0"):
        overridden("rewards.format=-1")


def test_minibatches_are_at_most_the_problems():
    with pytest.raises(RecipeError, match="minibatches = 17 of 16 problems: each needs one at least"):
        overridden("rollout.minibatches=17")


def test_a_path_is_as_good_as_its_text():
    assert load_run("quickstart", **{"model.path": Path("models/x")}).model.path == "models/x"


def test_differences_name_each_setting_once():
    old, new = overridden(), overridden("seed=3", "objective.kind=grpo", "adapter.start=x")
    assert differences(old, new) == [
        "adapter.start: 'not set' -> 'x'",
        "objective.clip_high: 'not set' -> 0.2",
        "objective.clip_low: 'not set' -> 0.2",
        "objective.delta: 'not set' -> 'off'",
        "objective.kind: 'rgra' -> 'grpo'",
        "seed: 0 -> 3",
    ]


def test_tasks_by_name():
    assert task_named("sums-and-products", {"largest": 4}) == SumsAndProducts(largest=4)
    assert {"arithmetic", "sums-and-products", "gsm8k", "questions"} <= set(task_names())
    with pytest.raises(RecipeError, match=r"task\.name = 'gsm8': unknown; did you mean 'gsm8k'\? Choices: .*questions"):
        task_named("gsm8", {})
    with pytest.raises(RecipeError, match=r"task\.data: required, but not given"):
        task_named("questions", {})


def test_the_record_of_an_earlier_run_is_read_by_the_names_that_settings_have(tmp_path):
    run = load_run("sft-gsm8k-lora")
    record = to_toml(run).replace('data = "openai/gsm8k"', 'path = "openai/gsm8k"')
    for name in ("run.toml", "mine.toml"):
        (tmp_path / name).write_text(record, encoding="utf-8")
    assert load_run(tmp_path) == load_run(tmp_path / "run.toml") == run
    with pytest.raises(RecipeError, match="data.path: is called data.data"):
        load_run(tmp_path / "mine.toml")
