"""All benchmark files, where they are at hand: as many rows as published, every gold readable, broken rows found."""

import json
from collections import Counter
from difflib import SequenceMatcher
from pathlib import Path

import pytest

from paring.evaluation.benchmarks.benchmark import Together
from paring.evaluation.benchmarks.benchmark_task import BenchmarkTask
from paring.evaluation.benchmarks.catalogue import BENCHMARKS
from paring.evaluation.benchmarks.gaokao2024 import GAOKAO2024, GAOKAO2024_I, GAOKAO2024_II, GAOKAO2024_MIX
from paring.tasks.splits import digest

FILES = [benchmark for benchmark in BENCHMARKS if not isinstance(benchmark, Together) and benchmark.read is not None]
LEFT_OUT = {"olympiadbench": [73], "gaokao2023_en": [167, 192], "cmath": [465], "cn_middle_school": [21]}
LABELS = {
    "math": {"subject": 7, "level": 5},
    "math500": {"subject": 7, "level": 5},
    "olympiadbench": {"subject": 4, "answer": 4},
    "cmath": {"grade": 6},
    "cn_middle_school": {"kind": 2},
    "mmlu_stem": {"subject": 18},
    "gaokao2024_I": {"kind": 3},
    "gaokao2024_II": {"kind": 3},
    "gaokao2024_mix": {"kind": 2},
}


def here(benchmark, folder):
    if not (Path(folder) / benchmark.name / "test.jsonl").is_file():
        pytest.skip(f"the file of {benchmark.name} is not here")


def by_name(benchmark):
    return benchmark.name


@pytest.mark.parametrize("benchmark", FILES, ids=by_name)
def test_rows_golds_and_labels(benchmark, real):
    here(benchmark, real)
    kept = BenchmarkTask(benchmark, data=real, broken="keep")
    assert len(kept.rows) == benchmark.rows == len({row.problem.id for row in kept.rows})
    assert [row.number for row in kept.rows] == list(range(benchmark.rows))
    mended = BenchmarkTask(benchmark, data=real)
    assert [flaw.row for flaw in mended.left_out] == LEFT_OUT.get(benchmark.name, [])
    assert len(mended.rows) == benchmark.rows - len(mended.left_out)
    assert all(row.golds and all(gold.text.strip() for gold in row.golds) for row in mended.rows)
    assert all(row.problem.messages[-1]["content"].strip() for row in mended.rows)
    for label, number in LABELS.get(benchmark.name, {}).items():
        assert len({row.labels[label] for row in kept.rows}) == number


@pytest.mark.parametrize("benchmark", FILES, ids=by_name)
def test_every_row_listed_as_broken_is_the_row_that_is_meant(benchmark, real):
    here(benchmark, real)
    questions = [question for question, _ in benchmark.questions(real)]
    for flaw in benchmark.flaws:
        assert digest(questions[flaw.row].text) == flaw.question
        assert not flaw.golds or (flaw.golds, flaw.kind) != (questions[flaw.row].golds, questions[flaw.row].kind)
    dropped = BenchmarkTask(benchmark, data=real, broken="drop")
    assert len(dropped.rows) == benchmark.rows - len(benchmark.flaws)
    assert {row.number for row in dropped.rows} == set(range(benchmark.rows)) - {flaw.row for flaw in benchmark.flaws}


def test_kinds_of_answers_are_those_counted_by_hand(real):
    def kinds(benchmark):
        return Counter(question.kind for question, _ in benchmark.questions(real))

    counted = {benchmark.name: kinds(benchmark) for benchmark in FILES if (Path(real) / benchmark.name).is_dir()}
    assert counted["amc23"] == {"integer": 40}
    assert counted["mmlu_stem"] == {"letters": 3018}
    assert counted["cn_middle_school"]["letters"] == 41
    assert counted["gaokao2024_I"] == counted["gaokao2024_II"] == {"letters": 11, "auto": 3}
    assert counted["gaokao2024_mix"]["letters"] == 55


def test_the_box_of_a_solution_is_the_answer_of_math500(real):
    by_text = {
        question.text: question.golds for question, _ in next(b for b in FILES if b.name == "math").questions(real)
    }
    answers = {
        question.text: question.golds for question, _ in next(b for b in FILES if b.name == "math500").questions(real)
    }
    assert all(by_text[text] == golds for text, golds in answers.items())


def plain(question):
    """A Chinese question without what two typings of it differ in."""
    text = question.rpartition("符合题目要求的。")[2].rpartition("正确的选项。")[2]
    for mark in ("\\mathrm", "\\quad", "\\left", "\\right"):
        text = text.replace(mark, "")
    return "".join(character for character in text if character.isalnum())


def test_the_overlap_of_gaokao2024_is_as_stated(real):
    asked = {part.name: [plain(q.text) for q, _ in part.questions(real)] for part in GAOKAO2024.parts}
    mix = asked[GAOKAO2024_MIX.name]
    for part in (GAOKAO2024_I, GAOKAO2024_II):
        likeness = [max(SequenceMatcher(None, text, other).ratio() for other in mix) for text in asked[part.name]]
        assert sum(ratio > 0.5 for ratio in likeness) == 11, [round(ratio, 2) for ratio in likeness]
    assert SequenceMatcher(None, asked["gaokao2024_I"][13], asked["gaokao2024_II"][13]).ratio() > 0.95
    assert len(BenchmarkTask(GAOKAO2024, data=real, broken="keep").rows) == 119


def test_questions_that_stand_twice_get_names_of_their_own(real):
    repeated = [row.problem.id for row in BenchmarkTask(GAOKAO2024_MIX, data=real).rows if row.problem.id[-2:] == "-2"]
    rows = [json.loads(line)["question"] for line in (Path(real) / "gaokao2024_mix" / "test.jsonl").open()]
    assert len(repeated) == len(rows) - len(set(rows))


def test_parts():
    assert GAOKAO2024.parts == (GAOKAO2024_I, GAOKAO2024_II, GAOKAO2024_MIX)
    assert GAOKAO2024_I.parts == (GAOKAO2024_I,)
