"""A run folder read for a report: what is missing is said, what is damaged does no harm."""

import json

import pytest

from paring.reporting.runs import finite, read_run


def test_a_whole_run(make_run, tmp_path):
    run = read_run(make_run(tmp_path / "run", seed=3, steps=5, right=30))
    assert (run.seed, run.step, run.steps, run.state, run.missing) == (3, 5, 5, "finished", ())
    assert run.evaluation("after")["accuracy"] == 0.75 and run.evaluation("before")["correct"] == 12
    assert sum(run.items.values()) == 30 and len(run.items) == 40
    assert [step for step, _ in run.series("reward")] == [1, 2, 3, 4, 5]


def test_a_run_without_an_end_is_as_far_as_it_is(make_run, tmp_path):
    run = read_run(make_run(tmp_path / "run", steps=20, done=7))
    assert run.state == "step 7 of 20, no result" and run.result is None and run.evaluation("after") == {}
    assert run.missing == ("no result.json: it has not come to its end",)


def test_an_old_run_without_items_says_what_cannot_be_done(make_run, tmp_path):
    run = read_run(make_run(tmp_path / "run", items=False))
    assert run.items == {} and "cannot be paired" in run.missing[0]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("result.json", "{", "result.json is damaged"),
        ("result.json", "[1]", "it holds no object"),
        ("result.json", "[" * 100_000, "result.json is damaged"),
        ("items.jsonl", "5\n", "items.jsonl is damaged"),
        ("metrics.jsonl", '{"step": 1, "reward": 1}\nrubbish\n', "used are the 1 rows before"),
    ],
)
def test_damage_is_said_and_the_rest_is_used(make_run, tmp_path, name, content, said):
    folder = make_run(tmp_path / "run")
    (folder / name).write_text(content)
    run = read_run(folder)
    assert said in " ".join(run.missing)
    assert run.step == (1 if name == "metrics.jsonl" else 20)


def test_values_of_a_wrong_kind_count_as_missing(make_run, tmp_path):
    folder = make_run(tmp_path / "run", steps=2)
    rows = [{"step": 1, "reward": "high"}, {"step": 2, "reward": None}, {"step": 3, "reward": 0.5}, {"reward": 1.0}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert list(read_run(folder).series("reward")) == [(3, 0.5)]


def test_only_measurements_are_numbers():
    assert [finite(value) for value in (1, 0.5, -2)] == [1.0, 0.5, -2.0]
    wrong = (True, None, "1", float("nan"), float("inf"), 10**400, -1e200, [1])
    assert [finite(value) for value in wrong] == [None] * len(wrong)


def test_a_collapse_is_read_from_the_step_that_noticed_it(make_run, tmp_path):
    collapse = read_run(make_run(tmp_path / "run", steps=20, collapse=12)).collapse
    assert (collapse["step"], collapse["since"], collapse["words"]) == (12, 7, "answers became empty")
    assert read_run(make_run(tmp_path / "sound")).collapse is None


def test_no_run_is_one_error(tmp_path):
    with pytest.raises(ValueError, match=r"holds no run: there is no run\.toml"):
        read_run(tmp_path)
    (tmp_path / "run.toml").write_text("steps = ")
    with pytest.raises(ValueError, match=r"run\.toml: damaged"):
        read_run(tmp_path)
