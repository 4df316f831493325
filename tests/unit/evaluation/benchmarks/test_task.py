"""A benchmark as a task: prompts, broken rows, several golds, and what is refused."""

import pytest

from paring.evaluation.benchmarks.amc23 import AMC23
from paring.evaluation.benchmarks.benchmark import Benchmark, Flaw, Question
from paring.evaluation.benchmarks.benchmark_task import BenchmarkTask
from paring.evaluation.benchmarks.catalogue import BENCHMARKS, benchmark_named
from paring.evaluation.benchmarks.cn_middle_school import CN_MIDDLE_SCHOOL
from paring.evaluation.benchmarks.gaokao2024 import GAOKAO2024
from paring.evaluation.benchmarks.math import MATH
from paring.evaluation.benchmarks.mmlu_stem import MMLU_STEM
from paring.evaluation.benchmarks.olympiadbench import OLYMPIADBENCH
from paring.evaluation.benchmarks.worked import CHOICE, MATHEMATICS
from paring.evaluation.exam import exam_of
from paring.evaluation.request import request_of
from paring.tasks.splits import digest
from paring.tasks.styles import BOXED_PROMPT, Boxed, ThinkAnswer
from paring.verifier import Gold, Verifier

ROWS = [{"question": f"What is {n}?", "answer": str(n)} for n in range(4)]
FLAWS = (
    Flaw(1, digest("What is 1?"), "the gold is wrong", ("10",), "integer"),
    Flaw(2, digest("What is 2?"), "nothing is right"),
    Flaw(3, digest("What is 3?"), "two are right", ("30", "31"), "integer"),
)
SMALL = Benchmark(
    name="small",
    title="Small",
    rows=4,
    fields=("question", "answer"),
    read=lambda row: Question(row.text("question"), (row.text("answer"),), "integer"),
    origin="the file of nobody",
    examples=MATHEMATICS[:2],
    flaws=FLAWS,
)


@pytest.fixture
def data(write):
    return write("small", ROWS)


def golds(task):
    return {row.number: [gold.text for gold in row.golds] for row in task.rows}


def test_broken_rows_are_mended_kept_or_dropped(data):
    assert golds(BenchmarkTask(SMALL, data=data)) == {0: ["0"], 1: ["10"], 3: ["30", "31"]}
    assert golds(BenchmarkTask(SMALL, data=data, broken="keep")) == {row: [str(row)] for row in range(4)}
    assert golds(BenchmarkTask(SMALL, data=data, broken="drop")) == {0: ["0"]}
    assert [flaw.row for flaw in BenchmarkTask(SMALL, data=data).left_out] == [2]
    assert [flaw.row for flaw in BenchmarkTask(SMALL, data=data, broken="drop").left_out] == [1, 2, 3]
    assert BenchmarkTask(SMALL, data=data, broken="keep").left_out == ()


def test_broken_rows_are_known_whatever_their_place(write):
    assert golds(BenchmarkTask(SMALL, data=write("small", ROWS[::-1]))) == {0: ["30", "31"], 2: ["10"], 3: ["0"]}


def test_any_gold_is_right_and_each_answer_gets_one_score(data):
    task = BenchmarkTask(SMALL, data=data)
    first, second, third = task.problems("test")
    texts = [(third, "\\boxed{31}"), (third, "\\boxed{32}"), (first, "nothing"), (third, "\\boxed{30}"), (second, "")]
    scores = task.score_all(texts)
    assert [score.correct for score in scores] == [True, False, False, True, False]
    assert [score.why for score in scores] == ["right", "wrong", "no answer", "right", "no answer"]
    assert [score.reward for score in scores] == [1.0, 0.0, 0.0, 1.0, 0.0]
    assert scores[0].answer == "31"
    assert [task.score(*pair) for pair in texts] == scores


def test_a_row_without_a_gold_is_left_out_unless_it_is_known(write):
    blind = Benchmark(**{**vars(SMALL), "read": lambda row: Question(row.text("question"), ())})
    task = BenchmarkTask(blind, data=write("small", ROWS[2:3]), broken="keep")
    assert not task.score(task.problems("test")[0], "\\boxed{2}").correct
    mended = BenchmarkTask(blind, data=write("small", ROWS))
    assert [row.number for row in mended.rows] == [1, 3]
    assert [flaw.row for flaw in mended.left_out] == [2, 0]


def test_a_gold_that_cannot_be_judged_stops_nothing_and_is_named(write):
    rows = [{"question": "Long?", "answer": "1" * 3000}, *ROWS]
    task = BenchmarkTask(SMALL, data=write("small", rows))
    assert [row.number for row in task.rows] == [1, 2, 4]
    assert [flaw.row for flaw in task.left_out] == [2, 0]
    assert task.left_out[1].reason.partition("test.jsonl:1: the gold '111")[1]


def test_nothing_that_can_be_judged(write):
    with pytest.raises(ValueError, match="small: the data hold no problem that can be judged"):
        BenchmarkTask(SMALL, data=write("small", ROWS[2:3])).problems("test")


def test_prompts_and_shots(data):
    alone = BenchmarkTask(SMALL, data=data).problems("test")[0].messages
    assert alone == ({"role": "system", "content": BOXED_PROMPT}, {"role": "user", "content": "What is 0?"})
    task = BenchmarkTask(SMALL, ThinkAnswer(), data=data)
    shown = exam_of(task, shots=2, benchmark=SMALL).problems[0]
    assert [message["role"] for message in shown.messages] == ["system", *["user", "assistant"] * 2, "user"]
    assert shown.messages[-1]["content"] == "Question: What is 0?" and shown.id == task.problems("test")[0].id
    with pytest.raises(ValueError, match="shots = 3: small has 0 to 2 examples"):
        exam_of(task, shots=3, benchmark=SMALL)


def test_after_examples_only_the_question_that_was_put_is_judged(data, scripted):
    text = "\\boxed{0}\n\nQuestion: What is 7?\n\n\\boxed{7}"
    for shots, right in ((1, True), (0, False)):
        exam = exam_of(BenchmarkTask(SMALL, data=data), shots=shots, benchmark=SMALL)
        (item,) = exam.answered(scripted(lambda problem, member: text), range(1), request_of(subject="embedded"))
        assert item.answers[0].correct is right


def test_what_is_missing_or_unknown_is_named(tmp_path, data):
    with pytest.raises(
        FileNotFoundError, match=r"amc23/test\.jsonl: there is no such file\. Put evaluation/data/amc23"
    ):
        BenchmarkTask(AMC23, data=str(tmp_path)).problems("test")
    with pytest.raises(FileNotFoundError, match="cn_middle_school: no copy on the hub is known. Put "):
        BenchmarkTask(CN_MIDDLE_SCHOOL).problems("test")
    with pytest.raises(ValueError, match="small is a benchmark: it has a test split, and no train split"):
        BenchmarkTask(SMALL, data=data).problems("train")


@pytest.mark.parametrize("name", ["gaokao2024_I", "gaokao2024-i", "GAOKAO2024I"])
def test_names_may_have_hyphens_and_any_case(name):
    assert benchmark_named(name).name == "gaokao2024_I"


def test_names_are_told_apart():
    assert [benchmark_named(benchmark.name) for benchmark in BENCHMARKS] == list(BENCHMARKS)
    assert benchmark_named("math-500").name == "math500" and benchmark_named("maths") is None


@pytest.mark.parametrize(
    ("benchmark", "row", "refused"),
    [
        (AMC23, {"question": "How many?", "answer": 1.5}, "answer '1.5' must be a whole number"),
        (MATH, {"problem": "?", "solution": "It is 3."}, "the solution has no"),
        (OLYMPIADBENCH, {"question": "?", "final_answer": ["1", "2"]}, "final_answer must be a list of one string"),
        (MMLU_STEM, {"question": "?", "choices": ["1"], "answer": 0}, "choices must be a list of 4"),
        (MMLU_STEM, {"question": "?", "choices": list("abcd"), "answer": 4}, "answer 4 must be the index of a choice"),
        (AMC23, {"answer": 1.0}, "field 'question' is missing"),
        (AMC23, {"question": 5, "answer": 1.0}, "field 'question' is int, a string in quotes is needed"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(benchmark, row, refused, write):
    with pytest.raises(ValueError, match=rf"test\.jsonl:1: {refused}"):
        list(benchmark.questions(write(benchmark.name, [row])))


def test_rows_as_they_are_read(write):
    ((asked, _),) = MMLU_STEM.questions(
        write("mmlu_stem", [{"question": "Which?", "choices": ["w", "x", "y", "z"], "answer": 2, "type": "biology"}])
    )
    assert asked == Question("Which?\n(A) w\n(B) x\n(C) y\n(D) z", ("C",), "letters", {"subject": "biology"})
    ((asked, _),) = OLYMPIADBENCH.questions(
        write("olympiadbench", [{"question": "Q", "final_answer": ["$69$,$84$"], "subfield": "Algebra"}])
    )
    assert (asked.golds, asked.labels) == (("69,84",), {"subject": "Algebra", "answer": ""})


def test_the_hub_is_read_by_name(monkeypatch):
    asked = []

    def values(name, config, split):
        asked.append((name, config, split))
        yield {"problem": "1 + 1?", "solution": "\\boxed{2}", "level": "Level 3", "type": "Algebra"}, "hub[0]"

    monkeypatch.setattr("paring.evaluation.benchmarks.benchmark.hub_values", values)
    (first, _), *others = MATH.questions(None)
    assert first == Question("1 + 1?", ("2",), labels={"subject": "Algebra", "level": "3"})
    assert len(others) == 6 and asked[0] == ("EleutherAI/hendrycks_math", "algebra", "test")


def test_together_is_its_parts_in_their_order(write):
    row = {"question": "问", "answer": "A", "choice_answer": "A", "type": "single"}
    for part in GAOKAO2024.parts:
        folder = write(part.name, [row])
    task = BenchmarkTask(GAOKAO2024, data=folder)
    names = [problem.id.partition("/")[0] for problem in task.problems("test")]
    assert (task.name, names) == ("gaokao2024", ["gaokao2024_I", "gaokao2024_II", "gaokao2024_mix"])
    assert task.score(task.problems("test")[2], "\\boxed{A}").correct


@pytest.mark.parametrize("example", [*MATHEMATICS, *CHOICE], ids=lambda example: example.question[:20])
def test_the_examples_are_answered_rightly(example):
    """Their working ends in their answer; and the verifier reads it as one."""
    kind = "letters" if example in CHOICE else "auto"
    text = Boxed().written(example.working, example.answer)
    (verdict,) = Verifier().judge([(Gold.read(example.answer, kind=kind), text)])
    assert verdict.correct
