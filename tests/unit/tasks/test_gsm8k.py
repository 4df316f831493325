"""GSM8K: splits, golds, refusals and the score; on the real files where they are at hand."""

import json
from pathlib import Path

import pytest

from paring.runtime.rows import jsonl_values
from paring.tasks.gsm8k import FIELDS, Gsm8k
from paring.tasks.styles import BOXED_PROMPT, THINK_ANSWER_PROMPT
from paring.types import Problem
from paring.verifier.integers import integer

REAL = Path(__file__).parents[4] / "shared" / "data" / "gsm8k"
needs_real_data = pytest.mark.skipif(not (REAL / "train.jsonl").is_file(), reason="the GSM8K files are not here")
FIRST_DRAWN = ["gsm8k/000f40b078fd7419", "gsm8k/0011acdaf223f137", "gsm8k/0014f84c37f7dbd3"]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def row(number, answer=None):
    return {"question": f"What is {number}?", "answer": answer or f"It is so.\n#### {number}"}


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "train.jsonl", [row(number) for number in range(700)])
    write(tmp_path / "test.jsonl", [row(number) for number in range(1000, 1020)])
    return tmp_path


def test_splits_of_a_folder(folder):
    task = Gsm8k(data=str(folder), train_problems=150)
    train, validation, test = (task.problems(split) for split in ("train", "validation", "test"))
    assert [len(train), len(validation), len(test)] == [150, 500, 20]
    assert len({problem.id for problem in [*train, *validation, *test]}) == 670
    assert [problem.gold for problem in test] == [str(number) for number in range(1000, 1020)]
    system, user = test[0].messages
    assert system == {"role": "system", "content": THINK_ANSWER_PROMPT}
    assert user == {"role": "user", "content": "What is 1000?"}


def test_validation_is_what_is_left_of_a_small_file(folder):
    assert len(Gsm8k(data=str(folder), train_problems=690).problems("validation")) == 10
    assert len(Gsm8k(data=str(folder), train_problems=700).problems("validation")) == 0


def test_the_draw_depends_on_the_seed_and_not_on_the_order_of_the_file(folder):
    def drawn(seed, count=100):
        return Gsm8k(data=str(folder), train_problems=count, subset_seed=seed).problems("train")

    before = drawn(0)
    assert drawn(0, 60) == before[:60]
    assert len({problem.id for problem in before} & {problem.id for problem in drawn(1)}) < 40  # 14 by chance
    write(folder / "train.jsonl", [row(number) for number in reversed(range(700))])
    assert drawn(0) == before


def test_single_files(folder):
    train, test = str(folder / "train.jsonl"), str(folder / "test.jsonl")
    task = Gsm8k(data=train, test=test, train_problems=100)
    assert task.problems("train") == Gsm8k(data=str(folder), train_problems=100).problems("train")
    assert task.problems("test") == Gsm8k(data=str(folder)).problems("test")
    with pytest.raises(ValueError, match="name the test file in task.test"):
        Gsm8k(data=train).problems("test")


@pytest.mark.parametrize("answer", ["no mark", "#### ", "#### 1.5", "#### five", "#### 1 #### x", "#### 18 dollars"])
def test_a_gold_that_is_no_integer_is_a_data_error(folder, answer):
    write(folder / "test.jsonl", [row(1001), row(1002, answer)])
    with pytest.raises(ValueError, match=r"test\.jsonl:2: the answer does not end in '#### ' and an integer"):
        Gsm8k(data=str(folder)).problems("test")


def test_commas_leave_the_gold(folder):
    write(folder / "test.jsonl", [row(1001, "#### 109,200,000"), row(1002, "a #### 3\n#### -47")])
    assert [problem.gold for problem in Gsm8k(data=str(folder)).problems("test")] == ["109200000", "-47"]


def test_what_is_missing_is_named(folder):
    with pytest.raises(ValueError, match=r"train_problems=1800: .* has 700, ask for fewer"):
        Gsm8k(data=str(folder)).problems("train")
    with pytest.raises(FileNotFoundError, match=r"task\.data = 'absent': no such file or folder"):
        Gsm8k(data="absent").problems("train")
    (folder / "test.jsonl").unlink()
    with pytest.raises(FileNotFoundError, match=r"test\.jsonl: there is no such file"):
        Gsm8k(data=str(folder)).problems("test")


def test_a_repeated_question_is_refused(folder):
    write(folder / "test.jsonl", [row(1001), row(1002), row(1001)])
    with pytest.raises(ValueError, match=r"test\.jsonl:3: the same question as .*test\.jsonl:1"):
        Gsm8k(data=str(folder)).problems("test")


@pytest.mark.parametrize(
    ("text", "form", "right", "working"),
    [
        ("<think>9 * 2 = 18</think><answer>18</answer>", 0.1, 1.0, True),
        ("<think>easy</think>\n<answer>$18.00</answer>", 0.1, 1.0, False),
        ("<think>9 * 2 = 17</think><answer>17</answer>", 0.1, 0.0, True),
        ("<think>18</think><answer>18 dollars</answer>", 0.1, 1.0, False),
        ("<answer>18</answer>", 0.0, 1.0, False),
        ("<answer>18</answer> 9 * 2 = 18", 0.0, 1.0, False),
        ("<answer>17</answer> #### 18", 0.0, 0.0, False),
        ("<answer>18</answer><answer>17</answer>", 0.0, 0.0, False),
        ("9 * 2 = 18\n#### 18\nQuestion: 4 + 4 = 8", 0.0, 1.0, True),
        ("#### 17", 0.0, 0.0, False),
        ("9 * 2 = 18", 0.0, 0.0, True),
        ("The answer is 18.", 0.0, 0.0, False),
        ("<answer>18", 0.0, 0.0, False),
        ("", 0.0, 0.0, False),
        ("\ud800\x00<answer>\u202e18</answer>", 0.0, 0.0, False),
        ("<answer>" * 10_000 + "18" + "</answer>" * 10_000, 0.0, 1.0, False),
        ("<answer>9**9**9**9</answer>", 0.0, 0.0, False),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_score(text, form, right, working):
    score = Gsm8k().score(Problem("gsm8k/0", (), "18"), text)
    assert score.parts == {"format": form, "correct": right}
    assert score.correct is bool(right)
    assert score.traits == {"working": working, "self_correction": False}
    assert score.reward == form + right


@pytest.mark.parametrize(
    ("text", "form", "right", "working"),
    [
        ("9 * 2 = 18, so \\boxed{18}.", 0.1, 1.0, True),
        ("\\boxed{9 * 2 = 18}", 0.1, 1.0, False),
        ("\\boxed{17}, no: \\boxed{\\$18}", 0.0, 1.0, False),
        ("\\boxed{18", 0.0, 0.0, False),
        ("\\boxed{ }", 0.0, 0.0, False),
        ("9 * 2 = 18\n#### 18", 0.0, 1.0, True),
        ("<think>9 * 2 = 18</think><answer>18</answer>", 0.0, 1.0, True),
    ],
)
def test_score_of_boxed_answers(text, form, right, working):
    score = Gsm8k(style="boxed").score(Problem("gsm8k/0", (), "18"), text)
    assert score.parts == {"format": form, "correct": right}
    assert score.traits["working"] is working


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("\\boxed{1}", True),
        ("<answer>1</answer>", True),
        ("#### 1", True),
        ("1", False),
        ("\\boxed{2}\n#### 1", False),
        ("\\boxed{}\n#### 1", False),
        ("<answer>2</answer> \\boxed{1}", True),
        ("\\boxed{1} <answer>2</answer>", False),
    ],
)
def test_an_answer_is_right_in_either_style(text, right):
    for style in ("boxed", "think-answer"):
        assert Gsm8k(style=style).score(Problem("gsm8k/0", (), "1"), text).correct is right


def test_the_style_decides_how_it_asks_and_what_its_solutions_look_like(folder):
    write(folder / "train.jsonl", [row(1, "One <<1=1>>1.\n#### 1")])
    boxed, tags = (Gsm8k(data=str(folder), train_problems=1, style=style) for style in ("boxed", "think-answer"))
    assert boxed.problems("train")[0].messages[0]["content"] == BOXED_PROMPT
    assert boxed.problems("train")[0].solution == "One 1. The answer is \\boxed{1}."
    for task in (boxed, tags):
        problem = task.problems("train")[0]
        assert task.score(problem, problem.solution).reward == 1.1


@needs_real_data
def test_all_golds_of_the_real_files_are_integers_and_the_splits_share_nothing():
    """Counted elsewhere by hand: 7,473 + 1,319 rows, the negative golds -7, -47, -12 and -10, -3."""
    everything = Gsm8k(data=str(REAL), train_problems=7473).problems("train")
    test = Gsm8k(data=str(REAL)).problems("test")
    assert (len(everything), len(test)) == (7473, 1319)
    assert sorted(int(problem.gold) for problem in everything if problem.gold.startswith("-")) == [-47, -12, -7]
    assert sorted(int(problem.gold) for problem in test if problem.gold.startswith("-")) == [-10, -3]
    assert len({problem.id for problem in [*everything, *test]}) == 7473 + 1319
    written = [json.loads(line)["answer"].split("#### ")[1] for line in (REAL / "test.jsonl").open(encoding="utf-8")]
    assert [problem.gold for problem in test] == [gold.replace(",", "") for gold in written]


@needs_real_data
def test_the_1800_are_the_same_on_every_call_and_leave_validation_alone():
    train, again, validation = (Gsm8k(data=str(REAL)).problems(split) for split in ("train", "train", "validation"))
    assert (len(train), len(validation)) == (1800, 500)
    assert train == again
    assert not {problem.id for problem in train} & {problem.id for problem in validation}
    assert [problem.id for problem in train[:3]] == FIRST_DRAWN


@needs_real_data
def test_every_gold_solution_is_correct_and_mostly_shows_working():
    task = Gsm8k(data=str(REAL))
    solutions = {row["question"]: row["answer"] for row, _ in jsonl_values(REAL / "test.jsonl", FIELDS)}
    scores = [task.score(problem, solutions[problem.messages[1]["content"]]) for problem in task.problems("test")]
    assert all(score.correct and score.reward == 1.0 for score in scores)
    assert sum(score.traits["working"] for score in scores) > 0.95 * len(scores)
    wrong = [task.score(problem, f"#### {integer(problem.gold) + 1}") for problem in task.problems("test")]
    assert not any(score.correct for score in wrong)


def test_a_solution_is_that_of_the_data_in_the_format_that_is_asked_for(folder):
    marked = "Half of 48 is 48/2 = <<48/2=24>>24.\nSo 48+24 = <<48+24=72>>72.\n#### 72"
    write(folder / "test.jsonl", [row(1072, marked), row(1005, "#### 5")])
    task = Gsm8k(data=str(folder))
    worked, bare = task.problems("test")
    assert worked.solution == ("<think> Half of 48 is 48/2 = 24.\nSo 48+24 = 72. </think>\n<answer> 72 </answer>")
    assert task.score(worked, worked.solution).reward == 1.1
    assert bare.solution == ""
