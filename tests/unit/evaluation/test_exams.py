"""From a request to exams: which task a name means, limits, styles."""

import pytest

from paring.evaluation.benchmarks.benchmark_task import BenchmarkTask
from paring.evaluation.exam import About
from paring.evaluation.request import request_of
from paring.settings.complaints import RecipeError
from paring.subjects.choosing import exams_of, style_for
from paring.tasks.arithmetic import Arithmetic
from paring.tasks.gsm8k import Gsm8k
from paring.tasks.styles import Boxed, ThinkAnswer
from paring.training.config import load_run
from paring.verifier import Verifier


def wanted(**changes):
    return request_of(subject="embedded", **changes)


def chosen(run=None, **changes):
    request = wanted(**changes)
    return exams_of(request, run, style_for(request, run)[0], Verifier())


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
    assert exam.about().title == "AMC23" and exam.about().style == "boxed"
    assert [len(exam.problems) for exam in chosen(tasks=("amc23", "arithmetic:9"), data=data, limit=7)] == [7, 9]
    assert len(chosen(tasks=("amc23",), data=data)[0].problems) == 12


def test_a_task_with_settings_of_its_own(data):
    (exam,) = chosen(tasks=("sums-and-products",), task_settings={"largest": 3})
    assert exam.task.largest == 3 and exam.about() == About("sums-and-products", None, 0)


def test_gsm8k_is_one_task(gsm8k_run):
    """Whether a run's own or not, with data or settings given or not: the task that is trained on."""
    run, folder = gsm8k_run
    tests = list(run.task.problems("test"))
    for changes in ({}, {"tasks": ("gsm8k",)}, {"tasks": ("GSM-8K",)}, {"tasks": ("gsm8k",), "data": str(folder)}):
        (exam,) = chosen(run, **changes)
        assert isinstance(exam.task, Gsm8k) and list(exam.problems) == tests
        assert exam.about().title == "GSM8K" and exam.about().style == "think-answer"
    assert chosen(run)[0].task == run.task
    for tasks in ((), ("gsm8k",)):
        assert chosen(run, tasks=tasks, task_settings={"subset_seed": 3})[0].task.subset_seed == 3
    (exam,) = chosen(tasks=("gsm8k",), data=str(folder))
    assert [(one.id, one.gold) for one in exam.problems] == [(one.id, one.gold) for one in tests]
    assert exam.task.style == "boxed" and exam.about().style == "boxed"
    (exam,) = chosen(tasks=("gsm8k",), task_settings={"data": str(folder / "gsm8k"), "style": "think-answer"})
    assert list(exam.problems) == tests


def test_shots_stand_before_the_questions_of_gsm8k_too(gsm8k_run, scripted):
    run, _ = gsm8k_run
    (exam,) = chosen(run, shots=2)
    roles = [message["role"] for message in exam.problems[0].messages]
    assert roles == ["system", *["user", "assistant"] * 2, "user"]
    assert exam.problems[0].messages[-1]["content"] == "Question: What is 5?"
    text = "<answer> 5 </answer>\n\nQuestion: What is 1?\n\n<answer> 1 </answer>"
    (item,) = exam.answered(scripted(lambda problem, member: text), range(1), wanted())
    assert item.right == 1 and item.answers[0].text == text


def test_a_missing_file_of_gsm8k_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gsm8k/test\.jsonl: there is no such file\. Put test\.jsonl of"):
        chosen(tasks=("gsm8k",), data=str(tmp_path))


def test_a_style_that_is_not_the_run_s_is_noted(gsm8k_run):
    run, _ = gsm8k_run
    notes = ["gsm8k trained in the style think-answer, and is measured in boxed"]
    assert style_for(wanted(style="boxed"), run) == (Boxed(), notes)
    assert chosen(run, style="boxed")[0].task.style == "boxed"
    assert style_for(wanted(style="think-answer"), run) == (ThinkAnswer(), [])


def test_benchmarks_have_the_style_in_which_the_run_trained(gsm8k_run, data):
    run, folder = gsm8k_run
    (folder / "gsm8k" / "train.jsonl").unlink()
    assert chosen(run, tasks=("amc23",), data=data)[0].about().style == "think-answer"


def test_a_run_of_no_known_style_and_none_at_all(small_run):
    notes = ["arithmetic trained with other prompts than benchmarks have: boxed"]
    assert style_for(wanted(), small_run()) == (Boxed(), notes)
    assert style_for(wanted(style="think-answer"), None) == (ThinkAnswer(), [])
    run = load_run("quickstart", task={"name": "questions", "data": "absent.jsonl"})
    assert "not known" in style_for(wanted(), run)[1][0]


def test_a_run_s_own_code_is_not_run_for_another_task(tmp_path):
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Mine: pass\n")
    run = load_run("quickstart", task={"path": f"{tmp_path}/mine.py:Mine"})
    assert "not run for other tasks" in style_for(wanted(tasks=("arithmetic:3",)), run)[1][0]
    assert not (tmp_path / "ran").exists()


def test_broken_rows_are_listed(real):
    (exam,) = chosen(tasks=("cn_middle_school:80",), data=real)
    about = exam.about()
    assert [flaw.row for flaw in about.mended] == [13, 75]
    assert [flaw.row for flaw in about.left_out] == [21] and about.as_published == ()
    (exam,) = chosen(tasks=("cn_middle_school",), data=real, broken="keep")
    assert [flaw.row for flaw in exam.about().as_published] == [13, 21, 75, 90]


def test_items_of_a_benchmark_hold_row_labels_and_flaw(real, scripted):
    (exam,) = chosen(tasks=("cn_middle_school:22",), data=real, broken="keep")
    (item,) = exam.answered(scripted(lambda problem, member: "2"), range(21, 22), wanted())
    assert item.row == 21 and item.labels == {"kind": "open"} and item.flaw.startswith("any negative number is right")


def test_the_digest_is_of_prompts_and_golds(data):
    def digest(**changes):
        return chosen(tasks=("amc23",), data=data, **changes)[0].identity()["digest"]

    assert digest() == digest() != digest(limit=3)
    assert digest() != digest(shots=1)


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({}, "name a task with task: aime24, aime25, "),
        ({"tasks": ("mathz",)}, r"task 'mathz': unknown; did you mean math\? Choices: aime24, "),
        ({"tasks": ("sums-product",)}, "did you mean sums-and-products"),
        ({"tasks": ("amc23:13",)}, "limit = 13: amc23 has 12 problems; ask for as many at most"),
        ({"tasks": ("amc23",), "limit": 13}, "limit = 13: amc23 has 12 problems"),
        ({"tasks": ("amc23:x",)}, "task 'amc23:x': behind the colon a number from 1 is its limit, such as amc23:100"),
        ({"tasks": ("amc23", "AMC23:3")}, "task: amc23 stands there twice"),
        ({"tasks": ("amc23",), "shots": 6}, "shots = 6: amc23 has 0 to 5 examples"),
        (
            {"tasks": ("amc23",), "task_settings": {"a": 1}},
            "amc23 is a benchmark and takes no task_settings: see style, shots, data",
        ),
    ],
)
def test_what_is_refused(changes, refused, data):
    with pytest.raises(ValueError, match=refused):
        chosen(**{"data": data} | changes)


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"samples": 0}, "evaluate: samples = 0: must be at least 1"),
        ({"samples": 2}, "samples = 2 at temperature 0 would all be the same answer: set temperature above 0"),
        ({"top_p": 0.9}, "top_p, top_k and min_p change nothing at temperature 0"),
        ({"temperature": 1.0, "min_p": 1.1}, "evaluate: min_p = 1.1: must be at most 1"),
        ({"long": "cut"}, "evaluate: long = 'cut': must be 'stop' or 'skip'"),
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
