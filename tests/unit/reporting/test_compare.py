"""Two runs beside each other: numbers by hand, and no test where answers do not pair."""

import json

import pytest

from paring.maths.pairing import newcombe_interval, paired
from paring.reporting.compare import compare
from paring.reporting.contests import contests_of
from paring.reporting.contrasts import contrasts_of
from paring.reporting.gathering import gather


@pytest.fixture
def run_folder(tmp_path):
    """Writes the folder of a run of four problems."""

    def write(name, right, *, lr=1e-3, rewards=(0.5,), items=True, problems=4, collapse=None):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "run.toml").write_text(f"steps = {len(rewards)}\n[optimiser]\nlr = {lr}\n")
        rows = [{"step": step, "reward": reward, "kl": None} for step, reward in enumerate(rewards, start=1)]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        after = {"accuracy": len(right) / problems, "interval": [0.1, 0.9], "problems": problems}
        result = {"after": after, "adapter": {"parameters": 1234}, "training_seconds": 2.5, "peak_memory_gb": 0.5}
        (folder / "result.json").write_text(json.dumps(result | {"collapse": collapse}))
        if items:
            rows = [{"problem": f"p{n}", "correct": n in right, "tokens": 3} for n in range(problems)]
            (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return folder

    return write


def test_recipes_results_and_the_paired_test(run_folder):
    first = run_folder("first", {0}, rewards=[0.0] * 5 + [0.5] * 10)
    second = run_folder("second", {1, 2, 3}, lr=2e-3, rewards=[1.0], collapse={"words": "collapse of the reward"})
    compared = compare(first, str(second))
    plain = compared.as_plain()
    assert plain["recipes"] == ["optimiser.lr: 0.001 -> 0.002", "steps: 15 -> 1"]
    assert plain["final"] == {"first": {"reward": 0.5}, "second": {"reward": 1.0}}
    test = plain["test"]
    # Discordant: 1 and 3. p = 2 (C(4,0) + C(4,1)) / 2^4 = 10 / 16.
    assert (test["first_only"], test["second_only"], test["p"]) == (1, 3, 0.625)
    assert (test["problems"], test["difference"]) == (4, 0.5)
    assert test["interval"] == list(newcombe_interval(0, 1, 3, 4))
    text = compared.as_text()
    assert "  optimiser.lr: 0.001 -> 0.002\n" in text and "accuracy, second less first: +50.0 points [" in text
    assert "over 4 problems, p = 0.62 (McNemar over problems)" in text
    assert "only the first has 1 right, only the second 3" in text
    assert "second: collapse of the reward" in text and "1,234" in text


def test_the_same_run_twice_has_no_difference(run_folder):
    folder = run_folder("one", {0, 1})
    compared = compare(folder, folder)
    assert (compared.recipes, compared.test.p, compared.test.difference) == ((), 1.0, 0.0)
    assert "none: the recipes are the same" in compared.as_text()


def test_answers_that_do_not_pair_are_not_tested(run_folder):
    first, second = run_folder("first", {0}), run_folder("second", {0}, problems=5)
    assert "different problems" in compare(first, second).as_plain()["test"]["none"]
    third = run_folder("third", {0}, items=False)
    assert "no paired test: a run has no items.jsonl" in compare(first, third).as_text()


def test_compare_and_report_and_the_paired_comparison_give_one_answer(make_run, tmp_path):
    """497 and 499 of 500 right: second less first, +0.4 points, from both functions."""
    first = make_run(tmp_path / "first", right=497, problems=500)
    second = make_run(tmp_path / "second", right=499, problems=500, objective={"kind": "grpo"})
    alone = paired([n < 497 for n in range(500)], [n < 499 for n in range(500)])
    compared = compare(first, second)
    (contrast,) = contrasts_of(contests_of(gather([first, second])))
    difference = contrast.decisive.difference
    assert compared.test == alone and contrast.decisive.name == alone.test
    assert (difference.mean, difference.low, difference.high, difference.p) == (
        alone.difference,
        alone.low,
        alone.high,
        alone.p,
    )
    assert (alone.difference, alone.p) == pytest.approx((0.004, 0.5))
    assert "accuracy, second less first: +0.4 points [-0.5, +1.5] over 500 problems, p = 0.50" in compared.as_text()


def test_what_is_no_run_and_what_has_not_ended(run_folder, tmp_path):
    whole = run_folder("whole", {0})
    with pytest.raises(ValueError, match="holds no run"):
        compare(whole, tmp_path / "nothing")
    (whole / "result.json").unlink()
    with pytest.raises(ValueError, match="has no result yet: go on with it by  paring train --resume"):
        compare(whole, whole)


def test_a_real_run_beside_itself(finished_run):
    plain = compare(finished_run, finished_run).as_plain()
    assert plain["test"]["problems"] == 4 and {"reward", "length"} <= plain["final"]["first"].keys()
    json.dumps(plain, allow_nan=False)
