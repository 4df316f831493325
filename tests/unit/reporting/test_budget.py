"""Answers sampled in training: counted from the journal, and said where arms sampled more or fewer."""

import json
import re

from paring.reporting.contests import contests_of
from paring.reporting.findings import budget_words
from paring.reporting.gathering import gather


def redraw(folder, counts):
    """Let the steps of a run have drawn so many problems anew."""
    path = folder / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text(
        "".join(json.dumps(row | {"redrawn": count}) + "\n" for row, count in zip(rows, counts, strict=True))
    )


def only_contest(folder):
    (contest,) = contests_of(gather([folder]))
    return contest


def test_answers_are_those_of_all_problems_drawn_in_all_steps(make_study, tmp_path):
    study = make_study(tmp_path / "study", {"rgra": [30, 31], "dapo": [30, 31]}, steps=5)
    dapo = study / "runs/arm-1/updates-1"
    redraw(dapo / "seed-0", [0, 4, 0, 0, 0])
    redraw(dapo / "seed-1", [0, 0, 2, 0, 6])
    contest = only_contest(study)
    # 5 steps of 4 problems x 8 answers; with 4 and 8 problems more, 192 and 224.
    assert [standing.sampled for standing in contest.standings] == [160.0, 208.0]
    assert budget_words(contest) == ["The budgets differ: answers sampled in training, a run: dapo 208; rgra 160."]


def test_equal_budgets_go_without_saying(make_study, tmp_path):
    assert budget_words(only_contest(make_study(tmp_path / "study", {"rgra": [30, 31], "grpo": [30, 31]}))) == []


def test_steps_of_solutions_sample_nothing(make_study, tmp_path):
    study = make_study(tmp_path / "study", {"rgra": [30, 31], "sft": [30, 31]})
    for path in (study / "runs/arm-1").rglob("metrics.jsonl"):
        path.write_text(re.sub(r'"entropy": [^,]*, ', "", path.read_text()))
    contest = only_contest(study)
    assert [standing.sampled for standing in contest.standings] == [640.0, None]
    assert budget_words(contest) == []
