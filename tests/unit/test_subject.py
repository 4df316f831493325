"""Opening and measuring runs, models and adapters: the same answers however the policy is given."""

import json
import shutil

import pytest

from paring import evaluate
from paring.adapters.attach import attach
from paring.adapters.kinds import Lora
from paring.adapters.peft_format import write_peft_folder
from paring.policy.loading import Model, load_base
from paring.settings.complaints import RecipeError
from paring.subjects.export import engine_note, export
from paring.subjects.opening import open_subject
from paring.tasks.arithmetic import Arithmetic
from paring.types import Score

LIMIT = 12


def untimed(evaluation):
    """An evaluation without its time, as JSON has it."""
    return json.loads(json.dumps(evaluation.as_plain())) | {"seconds": 0.0}


def test_a_run_its_adapter_and_its_merged_model_answer_alike(finished_run, tmp_path):
    export(finished_run, tmp_path / "adapter")
    export(finished_run, tmp_path / "merged", merged=True)
    expected = untimed(evaluate(finished_run, limit=LIMIT))
    assert (expected["task"], expected["split"], expected["problems"], expected["temperature"]) == (
        "arithmetic",
        "test",
        LIMIT,
        0.0,
    )
    for subject in (finished_run / "adapter", tmp_path / "adapter", tmp_path / "merged"):
        assert untimed(evaluate(subject, "arithmetic", limit=LIMIT)) == expected


def test_a_run_measures_what_its_result_says(finished_run):
    result = json.loads((finished_run / "result.json").read_text())
    assert untimed(evaluate(finished_run, limit=4)) == result["after"] | {"seconds": 0.0}
    assert untimed(evaluate("embedded", "arithmetic", limit=4)) == result["before"] | {"seconds": 0.0}


def test_a_run_that_has_not_ended_answers_by_its_newest_checkpoint(finished_run, tmp_path):
    expected = untimed(evaluate(finished_run, limit=LIMIT))
    folder = shutil.copytree(finished_run, tmp_path / "run")
    shutil.rmtree(folder / "adapter")
    assert untimed(evaluate(folder, limit=LIMIT)) == expected
    shutil.rmtree(folder / "checkpoints")
    with pytest.raises(ValueError, match=r"neither an adapter nor a checkpoint, though it has ended: put them back"):
        evaluate(folder)
    (folder / "result.json").unlink()
    with pytest.raises(ValueError, match=r"nor a checkpoint yet: .*, or go on with it:  paring train --resume"):
        evaluate(folder)


def test_reading_leaves_a_run_as_it_is(finished_run, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in finished_run.rglob("*")}
    evaluate(finished_run, limit=2)
    export(finished_run, tmp_path / "adapter")
    assert {path: path.stat().st_mtime_ns for path in finished_run.rglob("*")} == before


def test_several_answers_to_each_problem():
    one, again, other = (
        evaluate("embedded", "arithmetic", limit=LIMIT, samples=4, temperature=1.0, seed=seed) for seed in (0, 0, 1)
    )
    assert untimed(one) == untimed(again) != untimed(other)
    assert (one.problems, one.samples, one.accuracy) == (LIMIT, 4, one.correct / (4 * LIMIT))
    assert one.interval[0] <= one.accuracy <= one.interval[1]


def test_a_task_may_be_an_object():
    class AlwaysRight:
        name = "always-right"
        problems = Arithmetic().problems

        def score(self, problem, text):
            return Score({"correct": 1.0}, True)

    evaluation = evaluate("embedded", AlwaysRight(), limit=3)
    assert (evaluation.task, evaluation.correct, evaluation.accuracy) == ("always-right", 3, 1.0)


def test_answers_are_as_long_as_the_run_s_unless_untimed(finished_run):
    assert evaluate(finished_run, limit=2, max_new_tokens=1).length == 1.0
    assert evaluate(finished_run, limit=2, max_new_tokens=1).truncated == 1.0


def test_settings_are_put_over_the_task_of_the_run(small_run, finished_run, tmp_path):
    rows = [{"question": f"{n}+1+1=", "answer": str(n + 2)} for n in range(10, 34)]
    for name, part in {"train": rows[:16], "test": rows[16:]}.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    run = shutil.copytree(finished_run, tmp_path / "run")
    recipe = (run / "run.toml").read_text()
    (run / "run.toml").write_text(
        recipe.replace('name = "arithmetic"', f'name = "questions"\ntrain = "{tmp_path}/train.jsonl"')
    )
    assert evaluate(run).problems == 2
    for task in (None, "questions"):
        assert evaluate(run, task, task_settings={"test": f"{tmp_path}/test.jsonl"}).problems == 8


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"samples": 0}, "evaluate: samples = 0: must be at least 1"),
        ({"limit": 0}, "evaluate: limit = 0: must be at least 1"),
        ({"samples": 2}, "at temperature 0 would all be the same answer"),
        ({"task": None}, "name a task with task: "),
        ({"task": "arithmetics"}, "unknown; did you mean arithmetic"),
        ({"task_settings": {"largest": 3}}, "task.largest: exists, but not for the kind"),
        ({"temperature": -1}, "evaluate: temperature = -1: must be at least 0"),
        ({"temperature": float("nan")}, "evaluate: temperature = nan: must be a finite number"),
        ({"max_new_tokens": 0}, "evaluate: max_new_tokens = 0: must be at least 1"),
        ({"max_new_tokens": 500}, "do not fit the model's context of 128 tokens"),
    ],
)
def test_bad_arguments(arguments, expected):
    with pytest.raises(ValueError, match=expected):
        evaluate("embedded", **({"task": "arithmetic", "limit": 2} | arguments))


def test_a_run_whose_recipe_is_damaged_is_named(finished_run, tmp_path):
    folder = shutil.copytree(finished_run, tmp_path / "run")
    (folder / "run.toml").write_text("seed = = 1")
    with pytest.raises(RecipeError, match=r"run\.toml: not readable as TOML"):
        open_subject(str(folder))


def test_an_adapter_that_names_no_base(finished_run, tmp_path):
    folder = shutil.copytree(finished_run / "adapter", tmp_path / "adapter")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": None}))
    with pytest.raises(ValueError, match="names no base model: set base_model_name_or_path"):
        open_subject(str(folder))


def test_an_adapter_whose_base_is_not_there(finished_run, tmp_path):
    folder = shutil.copytree(finished_run / "adapter", tmp_path / "adapter")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "../models/gone"}))
    with pytest.raises(
        ValueError, match=r"its base model \.\./models/gone is not there, neither beside the adapter nor"
    ):
        open_subject(str(folder))


def test_exports_that_are_refused(finished_run, tmp_path):
    (tmp_path / "file").write_text("mine")
    for subject in ("embedded", "absent", str(tmp_path)):
        with pytest.raises(ValueError, match="holds no adapter: give the folder of a run or of a PEFT adapter"):
            export(subject, tmp_path / "to")
    with pytest.raises(ValueError, match="is not an empty folder: choose another"):
        export(finished_run, finished_run)
    with pytest.raises(ValueError, match=r"file/to cannot be written: .*\. Choose another folder"):
        export(finished_run, tmp_path / "file/to")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


@pytest.mark.parametrize(
    ("rank", "said"),
    [(16, None), (17, "start vLLM with --max-lora-rank 32"), (64, "--max-lora-rank 64"), (600, "export --merged")],
)
def test_engines_are_told_of_large_ranks(tmp_path, rank, said):
    base, _ = load_base(Model())
    write_peft_folder(tmp_path, attach(base, Lora(rank=rank), seed=0), base_model="base")
    note = engine_note(tmp_path)
    assert note is None if said is None else said in note
