"""`paring filter`: pass rates counted by hand, kept rows that are data again, kills, and ranges that keep nothing."""

import json
from io import StringIO

import pytest

from paring import load_run
from paring.commands.filter import filter as filter_command
from paring.evaluation.pass_rates import PassRates, pass_rate, training_problems
from paring.runtime.screen import Screen
from paring.settings.complaints import DataError
from paring.subjects.filtering import Filter, Measured, checked_filter, filter_problems
from paring.tasks.arithmetic import Arithmetic
from paring.tasks.own_calls import NO_REWARD

ROLLOUT = {"rollout.problems": 3, "rollout.group_size": 4, "rollout.stop": ["!"], "rollout.max_new_tokens": 9}


def answers(problem, member):
    """Right in as many of four answers as the gold says."""
    return problem.gold if member < int(problem.gold) else "9"


@pytest.fixture
def rows(tmp_path):
    """Forty questions with golds 0 to 4, in a table whose columns have other names."""
    path = tmp_path / "rows.jsonl"
    lines = [{"problem": f"q{n}", "gold": n % 5, "id": n, "note": {"of": "mine"}} for n in range(40)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def own(rows, **changes):
    names = {"task.question_field": "problem", "task.answer_field": "gold"}
    return load_run("quickstart", **{"task.name": "questions", "task.data": rows} | names | ROLLOUT | changes)


@pytest.fixture
def go(scripted):
    def run(asked: Filter, folder, of=answers, **options):
        engine = scripted(of)
        screen = Screen(StringIO())
        return filter_problems(asked, folder, screen=screen, engine_of=lambda *_: engine, **options), engine

    return run


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_kept_rows_are_the_data_s_own_and_data_again(go, rows, tmp_path):
    run = own(rows)
    _, engine = go(Filter(run, samples=4, least=0.25, most=0.5), tmp_path / "kept")
    trained = {problem.id: int(problem.gold) for problem in run.task.problems("train")}
    kept = lines_of(tmp_path / "kept" / "kept.jsonl")
    assert {row["paring_id"]: row["pass_rate"] for row in kept} == {
        name: gold / 4 for name, gold in trained.items() if gold in (1, 2)
    }
    assert {row["gold"] / 4 - row["pass_rate"] for row in kept} == {0.0}
    assert all(row["problem"] == f"q{row['id']}" and row["note"] == {"of": "mine"} for row in kept)
    # Sampled as the run samples, in chunks as large as its steps.
    (_, number, sampling, key), *_ = engine.asked
    assert (number, sampling.stop, sampling.temperature, sampling.max_new_tokens) == (4, ("!",), 1.0, 9)
    assert {len(ids) for ids, *_ in engine.asked[:-1]} == {3} and key.seed == run.seed
    record = json.loads((tmp_path / "kept" / "filter.json").read_text())
    assert record["sampling"] == {"drawn": "temperature 1", "max_new_tokens": 9, "stop": ["!"], "seed": 0}
    assert record["kept"] == {"questions": len(kept)} and record["samples"] == 4
    # As data of a run of their own, and as the problems that this run draws.
    again = own(str(tmp_path / "kept" / "kept.jsonl"))
    splits = [again.task.problems(split) for split in ("train", "validation", "test")]
    assert {one.id for split in splits for one in split} == {row["paring_id"] for row in kept}
    drawn = training_problems(run.task, str(tmp_path / "kept" / "kept.jsonl"))
    assert {one.id for one in drawn} == {row["paring_id"] for row in kept}
    # A filter of what a filter has kept measures those alone.
    both = own(rows, **{"rollout.only": str(tmp_path / "kept" / "kept.jsonl")})
    (_, engine) = go(Filter(both, samples=4), tmp_path / "again")
    assert {one for ids, *_ in engine.asked for one in ids} == {row["paring_id"] for row in kept}


def test_a_killed_filter_goes_on_and_another_range_answers_nothing_anew(go, rows, tmp_path):
    run = own(rows)
    done = []

    def killed(problem, member):
        done.append(problem.id)
        if len(done) > 20:
            raise KeyboardInterrupt
        return answers(problem, member)

    with pytest.raises(KeyboardInterrupt):
        go(Filter(run, samples=4), tmp_path / "killed", of=killed)
    _, engine = go(Filter(run, samples=4), tmp_path / "killed")
    assert len(engine.asked) == 9  # ten chunks of three, of which one was whole
    go(Filter(run, samples=4), tmp_path / "whole")
    assert (tmp_path / "killed/kept.jsonl").read_bytes() == (tmp_path / "whole/kept.jsonl").read_bytes()
    _, engine = go(Filter(run, samples=4, least=1.0, most=1.0), tmp_path / "whole")
    assert engine.asked == []
    assert {row["gold"] for row in lines_of(tmp_path / "whole/kept.jsonl")} == {4}


def test_nothing_kept_is_one_error_with_the_histogram(go, rows, tmp_path):
    asked = Filter(own(rows), samples=4, least=0.25, most=0.75)
    with pytest.raises(DataError, match=r"questions: no problem has a pass rate from 0.25 to 0.75.*\n\n?") as caught:
        go(asked, tmp_path / "kept", of=lambda problem, member: "no")
    assert "0                   30     100.0     0" in str(caught.value)
    assert "none is sampled again" in str(caught.value) and not (tmp_path / "kept/kept.jsonl").exists()


def test_each_task_of_several_keeps_some(go, rows, tmp_path, monkeypatch):
    sums = Arithmetic.problems  # all of them take a second to write out
    monkeypatch.setattr(Arithmetic, "problems", lambda self, split: sums(self, split)[:400])
    fields = {"question_field": "problem", "answer_field": "gold"}
    tasks = [{"name": "arithmetic"}, {"name": "questions", "label": "mine", "data": rows, **fields}]
    run = load_run("quickstart", tasks=tasks, **ROLLOUT)
    asked = Filter(run, samples=4, least=0.25, most=0.5, limit=30)

    def of(problem, member):
        return f"<answer>{problem.gold}</answer>" if member == 0 else "9"

    measured, _ = go(asked, tmp_path / "kept", of=of)
    assert measured.record["kept"].keys() == {"arithmetic", "mine"}
    kept = lines_of(tmp_path / "kept/kept.jsonl")
    first = next(row for row in kept if row["paring_id"].startswith("arithmetic:"))
    assert first == {"question": first["question"], "answer": first["answer"], "pass_rate": 0.25} | {
        "paring_id": f"arithmetic:arithmetic/{first['question'].removesuffix('=')}"
    }
    with pytest.raises(DataError, match="arithmetic: no problem has a pass rate"):
        go(asked, tmp_path / "other", of=answers)
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept if "problem" in row))
    with pytest.raises(ValueError, match="is one that task arithmetic trains on"):
        training_problems(run.task, str(tmp_path / "mine.jsonl"))


def test_rates_are_of_answers_that_have_a_reward(make_item):
    item = make_item("p/1", "rwr")
    assert pass_rate(item) == pytest.approx(2 / 3)
    failed = [type(one)(**{**vars(one), "why": NO_REWARD, "correct": False}) for one in item.answers[1:]]
    assert pass_rate(type(item)("p/1", "q", "g", (item.answers[0], *failed))) == 1.0
    assert pass_rate(type(item)("p/1", "q", "g", tuple(failed))) is None
    rates = PassRates({"a": 0.0, "b": 0.05, "c": 0.3, "d": 0.99, "e": 1.0, "f": None}, 0.3, 0.99)
    assert rates.histogram == {
        **{"0": (1, 0), "0 to 10": (1, 0), "30 to 40": (1, 1), "90 to 100": (1, 1), "100": (1, 0)},
        NO_REWARD: (1, 0),
    }
    assert rates.kept == {"c": 0.3, "d": 0.99}


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"least": 0.5, "most": 0.2}, "--least 0.5 is above --most 0.2"),
        ({"samples": 1}, "with --samples 1 no pass rate is from 0.1 to 0.9: take more samples"),
        ({"samples": 4, "least": 0.3, "most": 0.4}, "with --samples 4 no pass rate"),
    ],
)
def test_a_range_without_a_rate_is_refused_before_any_work(rows, settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        Filter(own(rows), **settings)


def test_what_cannot_be_filtered_is_said_before_any_work(go, rows, tmp_path):
    with pytest.raises(ValueError, match=r"a supervised run .* no task judges"):
        checked_filter(load_run("sft-gsm8k-lora"))
    with pytest.raises(ValueError, match="limit = 31: questions has 30 training problems"):
        go(Filter(own(rows), limit=31), tmp_path / "kept")
    with pytest.raises(ValueError, match=r"30 of 30 problems do not fit.*lower rollout.max_new_tokens"):
        go(Filter(own(rows, **{"rollout.max_new_tokens": 10_000})), tmp_path / "kept")
    with pytest.raises(FileNotFoundError, match="there is no such file; paring filter writes one"):
        training_problems(own(rows).task, str(tmp_path / "none.jsonl"))
    with pytest.raises(ValueError, match=r"rows.jsonl:1: no 'paring_id' in the row"):
        training_problems(own(rows).task, rows)
    assert not (tmp_path / "kept").exists()


def test_the_command_shows_the_next_one_and_a_dry_run_writes_nothing(rows, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    filter_command("quickstart", ["rollout.max_new_tokens=16"], samples=4, limit=8, dry_run=True)
    assert "would measure 8 problems, 4 answers each by embedded: temperature 1" in capsys.readouterr().out
    assert not (tmp_path / "kept").exists()
    filter_command("quickstart", ["rollout.max_new_tokens=16"], samples=4, limit=8, least=0, most=1)
    told = capsys.readouterr().out
    assert "kept 8 with a pass rate from 0 to 1" in told
    assert "paring train quickstart rollout.max_new_tokens=16 rollout.only=kept/quickstart/kept.jsonl" in told
    assert len(lines_of(tmp_path / "kept/quickstart/kept.jsonl")) == 8


def test_games_are_played_to_their_end(tmp_path):
    run = load_run("higher-lower", **{"rollout.problems": 2})
    made = filter_problems(Filter(run, samples=2, least=0.0, most=1.0, limit=3), tmp_path / "kept")
    assert isinstance(made, Measured) and set(made.rates.by_id.values()) <= {0.0, 0.5, 1.0}
    [item] = lines_of(tmp_path / "kept" / "items" / "higher-lower.jsonl")[:1]
    assert any("[user]" in answer["text"] or answer["correct"] for answer in item["answers"])
    kept = training_problems(run.task, str(tmp_path / "kept" / "kept.jsonl"))
    assert [problem.id for problem in kept] == [problem.id for problem in run.task.problems("train")[:3]]
    assert all(problem.environment for problem in kept)
