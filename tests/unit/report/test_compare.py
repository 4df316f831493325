"""Two runs beside each other: numbers by hand, and no test where answers do not pair."""

import json

import pytest

from paring.report.compare import as_text, compared


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
    found = compared(first, second)
    assert found["recipes"] == ["optimiser.lr: 0.001 -> 0.002", "steps: 15 -> 1"]
    assert found["final"] == {"first": {"reward": 0.5}, "second": {"reward": 1.0}}
    test = found["test"]
    # Discordant: 1 and 3. p = 2 (C(4,0) + C(4,1)) / 2^4 = 10 / 16.
    assert (test["first_only"], test["second_only"], test["p_mcnemar"]) == (1, 3, 0.625)
    assert (test["problems"], test["difference"]) == (4, 0.5)
    assert test["interval"][0] <= 0.5 <= test["interval"][1]
    text = as_text(found)
    assert "  optimiser.lr: 0.001 -> 0.002\n" in text and "accuracy, second - first: +50.0 points [" in text
    assert "only the first has 1 right, only the second 3 (McNemar, exact, p = 0.62)" in text
    assert "second: collapse of the reward" in text and "1,234" in text


def test_the_same_run_twice_has_no_difference(run_folder):
    folder = run_folder("one", {0, 1})
    found = compared(folder, folder)
    assert (found["recipes"], found["test"]["p_mcnemar"], found["test"]["difference"]) == ([], 1.0, 0.0)
    assert "none: the recipes are the same" in as_text(found)


def test_answers_that_do_not_pair_are_not_tested(run_folder):
    first, second = run_folder("first", {0}), run_folder("second", {0}, problems=5)
    assert "different problems" in compared(first, second)["test"]["none"]
    third = run_folder("third", {0}, items=False)
    assert "no paired test: a run has no items.jsonl" in as_text(compared(first, third))


def test_what_is_no_run_and_what_has_not_ended(run_folder, tmp_path):
    whole = run_folder("whole", {0})
    with pytest.raises(ValueError, match="holds no run"):
        compared(whole, tmp_path / "nothing")
    (whole / "result.json").unlink()
    with pytest.raises(ValueError, match="has no result yet: go on with it by  paring train --resume"):
        compared(whole, whole)


def test_a_real_run_beside_itself(finished_run):
    found = compared(finished_run, finished_run)
    assert found["test"]["problems"] == 4 and {"reward", "length"} <= found["final"]["first"].keys()
    json.dumps(found, allow_nan=False)
