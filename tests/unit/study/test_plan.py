"""From a study to its runs: order, folders, which layer wins, and faults of runs told before any work."""

import pytest

from paring.maths.objectives import Grpo, Rgra
from paring.settings.complaints import RecipeError
from paring.study.cells import StudyCell, cells, final_runs, first_trials, tuning_runs
from paring.study.declaration import Study, Tune


def study(**changes):
    given = {"name": "mine", "recipe": "quickstart", "seeds": (0, 5), "arms": {"rgra": {"objective.kind": "rgra"}}}
    return Study(**given | changes)


def test_seeds_times_arms_times_settings_in_this_order():
    made = study(arms={"a": {}, "b": {}}, axes={"rollout.updates": (1, 4)})
    assert [planned.folder for planned in final_runs(made, {})] == [
        f"runs/{arm}/updates-{updates}/seed-{seed}" for seed in (0, 5) for arm in "ab" for updates in (1, 4)
    ]
    last = final_runs(made, {})[-1]
    assert (last.run.seed, last.run.rollout.updates) == (5, 4)
    assert last.as_plain() == {
        "folder": "runs/b/updates-4/seed-5",
        "arm": "b",
        "setting": {"rollout.updates": 4},
        "seed": 5,
        "stage": "final",
        "overrides": {"rollout.updates": 4, "seed": 5},
    }
    assert tuning_runs(made, first_trials(made)) == []


def test_later_layers_win():
    made = study(
        common={"steps": 1, "save.every": 1, "rollout.problems": 1},
        arms={"a": {"save.every": 2, "rollout.problems": 2}},
        axes={"rollout.problems": (3,)},
        overrides={"steps": 9},
    )
    run = final_runs(made, {})[0].run
    assert (run.steps, run.save.every, run.rollout.problems) == (9, 2, 3)


def test_an_arm_that_names_a_kind_inherits_nothing_of_that_section():
    recipe = {"steps": 1, "task": {"name": "arithmetic"}, "objective": {"kind": "rgra", "kl_coef": 0.5, "kl": "k2"}}
    recipe["rollout"] = {"problems": 1, "group_size": 2, "max_new_tokens": 4}
    made = study(
        recipe="own",
        recipes={"own": recipe},
        arms={"same": {}, "rgra": {"objective.kind": "rgra"}, "grpo": {"objective.kind": "grpo"}},
        common={"adapter.kind": "l1ra", "adapter.events": 1},
        seeds=(0,),
    )
    objectives = [planned.run.objective for planned in final_runs(made, {})]
    assert objectives == [Rgra(kl_coef=0.5, kl="k2"), Rgra(), Grpo()]
    assert recipe["objective"] == {"kind": "rgra", "kl_coef": 0.5, "kl": "k2"}
    assert final_runs(made, {})[0].run.adapter.events == 1


def test_the_recipe_may_be_an_axis():
    made = study(recipe="", axes={"recipe": ("quickstart", "smollm2-arithmetic")}, seeds=(0,))
    first, second = final_runs(made, {})
    assert (first.run.task.name, second.run.task.name) == ("arithmetic", "sums-and-products")
    assert second.folder == "runs/rgra/recipe-smollm2-arithmetic/seed-0"
    assert str(second.cell) == "rgra recipe=smollm2-arithmetic"


def test_tuning_runs_ask_for_the_validation_split_and_final_runs_take_what_was_chosen():
    made = study(tune=Tune(values=(1e-3, 3e-3), seeds=(7,)), axes={"rollout.updates": (1, 4)}, seeds=(0,))
    tuned = tuning_runs(made, first_trials(made))
    assert [planned.folder for planned in tuned[:2]] == [
        "runs/rgra/updates-1/tune-lr-0.001/seed-7",
        "runs/rgra/updates-1/tune-lr-0.003/seed-7",
    ]
    assert [planned.run.optimiser.lr for planned in tuned] == [1e-3, 3e-3] * 2
    assert all(planned.run.evaluate.validation_at_end and planned.stage == "tune" for planned in tuned)
    final = final_runs(made, {"rgra updates=4": {"optimiser.lr": 3e-3}})
    assert [planned.run.optimiser.lr for planned in final] == [1e-3, 3e-3]
    assert not any(planned.run.evaluate.validation_at_end for planned in final)


def test_labels_are_fit_for_a_path_and_never_the_same():
    made = study(axes={"model.path": ("../a b", "a/b", "a-b")}, seeds=(0,))
    assert [planned.folder for planned in final_runs(made, {})] == [
        "runs/rgra/path-a-b-1/seed-0",
        "runs/rgra/path-a-b-2/seed-0",
        "runs/rgra/path-a-b-3/seed-0",
    ]
    clash = study(axes={"save.every": (1,), "evaluate.every": (2,)}, seeds=(0,))
    assert final_runs(clash, {})[0].folder == "runs/rgra/save.every-1/evaluate.every-2/seed-0"


def test_cells_are_told_by_the_last_part_of_their_axes():
    made = study(axes={"rollout.updates": (1, 4)})
    assert [str(cell) for cell in cells(made)] == ["rgra updates=1", "rgra updates=4"]
    assert str(StudyCell("rgra", {})) == "rgra"


def test_the_faults_of_all_runs_are_told_once_each():
    made = study(arms={"a": {"stps": 3}, "b": {"objective.kind": "rgra", "objective.clip_low": 0.1}})
    with pytest.raises(RecipeError) as raised:
        final_runs(made, {})
    assert str(raised.value).splitlines() == [
        "mine: a/seed-0: stps: unknown; did you mean steps?",
        "mine: b/seed-0: objective.clip_low: exists, but not for the kind that is chosen in [objective]",
    ]


def test_supervised_runs_cannot_be_tuned_by_accuracy():
    made = study(
        recipe="sft-gsm8k-lora", arms={"lora": {}}, tune=Tune(values=(1e-3,)), overrides={"data.data": "nothing"}
    )
    with pytest.raises(RecipeError, match="evaluate.validation_at_end|accuracy on the validation split"):
        tuning_runs(made, first_trials(made))
