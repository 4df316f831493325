"""From what is asked to exams: which task a name means, limits, styles."""

import pytest

from paring.config import load_run
from paring.evaluation.asked import asked
from paring.evaluation.benchmarks.benchmark_task import BenchmarkTask
from paring.evaluation.exams import exams, style_for
from paring.settings.complaints import RecipeError
from paring.tasks.arithmetic import Arithmetic
from paring.tasks.gsm8k import Gsm8k
from paring.tasks.styles import Boxed, ThinkAnswer
from paring.verifier import Verifier


def wanted(**changes):
    return asked(subject="embedded", **changes)


def chosen(run=None, **changes):
    return exams(wanted(**changes), run, Boxed(), Verifier())


@pytest.fixture
def gsm8k_run(tmp_path):
    """A run that trains on GSM8K, and the folder of its data."""
    (tmp_path / "gsm8k").mkdir()
    for part, numbers in (("train", range(5)), ("test", range(5, 8))):
        rows = "".join(f'{{"question": "What is {n}?", "answer": "#### {n}"}}\n' for n in numbers)
        (tmp_path / "gsm8k" / f"{part}.jsonl").write_text(rows)
    return load_run(
        "gsm8k-rgra", task={"name": "gsm8k", "data": str(tmp_path / "gsm8k"), "train_problems": 5}
    ), tmp_path


def test_a_benchmark_by_name_with_its_limit(data):
    (exam,) = chosen(tasks=("AMC-23:5",), data=data, limit=7)
    assert isinstance(exam.task, BenchmarkTask)
    assert (exam.name, len(exam.problems)) == ("amc23", 5)
    assert exam.facts(2) == {"row": 2, "labels": {}}
    assert [len(exam.problems) for exam in chosen(tasks=("amc23", "arithmetic:9"), data=data, limit=7)] == [7, 9]
    assert len(chosen(tasks=("amc23",), data=data)[0].problems) == 12


def test_a_task_with_settings_of_its_own(data):
    (exam,) = chosen(tasks=("sums-and-products",), task_settings={"largest": 3})
    assert exam.task.largest == 3 and exam.facts(0) == {} and exam.about() == {"title": "sums-and-products"}


def test_a_run_s_own_task_and_the_benchmark_of_the_same_name(gsm8k_run):
    run, folder = gsm8k_run
    assert chosen(run)[0].task == run.task
    assert chosen(run, task_settings={"subset_seed": 3})[0].task.subset_seed == 3
    assert isinstance(chosen(run, tasks=("gsm8k",), task_settings={"subset_seed": 3})[0].task, Gsm8k)
    style, notes = style_for(wanted(), run)
    (exam,) = exams(wanted(tasks=("gsm8k",), data=str(folder)), run, style, Verifier())
    assert isinstance(exam.task, BenchmarkTask) and (style, notes) == (ThinkAnswer(), [])
    assert list(exam.problems) == list(run.task.problems("test"))


def test_a_style_that_is_not_the_run_s_is_said(gsm8k_run):
    run, _ = gsm8k_run
    said = ["gsm8k trained in the style think-answer, and is asked in boxed"]
    assert style_for(wanted(style="boxed"), run) == (Boxed(), said)
    assert style_for(wanted(style="think-answer"), run) == (ThinkAnswer(), [])


def test_a_run_of_no_known_style_and_none_at_all(small_run, gsm8k_run):
    said = ["arithmetic trained with other prompts than benchmarks are asked with: boxed"]
    assert style_for(wanted(), small_run()) == (Boxed(), said)
    assert style_for(wanted(style="think-answer"), None) == (ThinkAnswer(), [])
    run, folder = gsm8k_run
    (folder / "gsm8k" / "train.jsonl").unlink()
    assert "not known" in style_for(wanted(), run)[1][0]


def test_broken_rows_are_told(real):
    (exam,) = chosen(tasks=("cn_middle_school:80",), data=real)
    about = exam.about()
    assert [flaw["row"] for flaw in about["mended"]] == [13, 75]
    assert [flaw["row"] for flaw in about["left_out"]] == [21] and about["as_published"] == []
    (exam,) = chosen(tasks=("cn_middle_school",), data=real, broken="keep")
    assert [flaw["row"] for flaw in exam.about()["as_published"]] == [13, 21, 75, 90]
    assert exam.facts(21)["flaw"].startswith("any negative number is right")


def test_the_digest_is_of_prompts_and_golds(data):
    def digest(**changes):
        return chosen(tasks=("amc23",), data=data, **changes)[0].digest

    assert digest() == digest() != digest(limit=3)
    assert digest() != digest(shots=1)


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({}, "name a task: amc23, arithmetic, "),
        ({"tasks": ("maths",)}, r"task 'maths': unknown; did you mean math\? Choices: amc23, "),
        ({"tasks": ("sums-product",)}, "did you mean sums-and-products"),
        ({"tasks": ("amc23:13",)}, "limit = 13: amc23 has 12 problems; ask for as many at most"),
        ({"tasks": ("amc23",), "limit": 13}, "limit = 13: amc23 has 12 problems"),
        ({"tasks": ("amc23:x",)}, "task 'amc23:x': behind the colon a number from 1 is its limit, such as amc23:100"),
        ({"tasks": ("amc23", "AMC23:3")}, "tasks: amc23 stands there twice"),
        ({"tasks": ("amc23",), "shots": 6}, "shots = 6: amc23 has 0 to 5 examples"),
        ({"tasks": ("amc23",), "task_settings": {"a": 1}}, "amc23 is a benchmark and takes no KEY=VALUE"),
    ],
)
def test_what_is_refused(changes, refused, data):
    with pytest.raises(ValueError, match=refused):
        chosen(**{"data": data} | changes)


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"samples": 0}, "evaluate: samples = 0: must be at least 1"),
        ({"samples": 2}, "samples = 2 at temperature 0 would all be the same answer: set a temperature above 0"),
        ({"limit": 0}, "evaluate: limit = 0: must be at least 1"),
        ({"temperature": float("nan"), "rows": 0}, "temperature = nan: must be a finite number"),
        ({"broken": "hide"}, "evaluate: broken = 'hide': must be 'mend', 'keep' or 'drop'"),
    ],
)
def test_what_cannot_be_asked(changes, refused):
    with pytest.raises(ValueError, match=refused):
        wanted(**changes)


def test_an_unknown_setting_of_a_task():
    with pytest.raises(RecipeError, match="task.largest: exists, but not for the kind"):
        chosen(tasks=("arithmetic",), task_settings={"largest": 3})
    assert chosen(tasks=("arithmetic",))[0].task == Arithmetic()
