"""Runs of several tasks: page, Markdown, summary, comparison, list and screen show each task apart."""

import json
from io import StringIO

import pytest

from paring.reporting.by_task import tasks_in_words
from paring.reporting.compare import compare
from paring.reporting.report import report
from paring.reporting.runs import read_run
from paring.reporting.watching import runs_in, watch
from paring.runtime.gauges import gauges_by_task
from paring.runtime.screen import Screen

TASKS = [{"label": "algebra", "task": {"name": "maths"}}, {"task": {"name": "questions"}}]


@pytest.fixture
def mixed(make_run):
    """A run of 20 steps on two tasks; `algebra` rises by 0.01 a step, and ends with 15 of 20 right."""

    def make(folder, right=15, **changes):
        make_run(folder, task={"name": "mixture", "tasks": TASKS}, **changes)
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for row in rows:
            part = {"problems": 2, "accuracy": 0.5, "truncated": 0.0}
            row["tasks"] = {
                "algebra": part | {"reward": 0.01 * row["step"], "length": 8.0},
                "questions": part | {"reward": 0.5, "length": 4.0},
            }
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        result = json.loads((folder / "result.json").read_text())
        for when, shares in {"before": (0.5, 0.25), "after": (right / 20, 0.25)}.items():
            by = {
                label: {"value": share, "low": share - 0.2, "high": share + 0.2, "problems": 20}
                for label, share in zip(("algebra", "questions"), shares, strict=True)
            }
            result[when]["by"] = {"task": by}
        (folder / "result.json").write_text(json.dumps(result))
        return folder

    return make


def test_the_report_has_a_row_and_a_curve_for_each_task(mixed, tmp_path):
    written = report(mixed(tmp_path / "run"), out=tmp_path / "out")
    text = written.text.read_text()
    # The last tenth of 20 steps: steps 19 and 20.
    assert "| algebra | rgra | 75.0 % | \\[55.0, 95.0\\] | +25.0 | 20 | 1 | 0.195 | 8 |" in text
    assert "| questions | rgra | 25.0 % | \\[5.0, 45.0\\] | +0.0 | 20 | 1 | 0.5 | 4 |" in text
    page = written.page.read_text()
    assert "Reward: algebra" in page and 'id="tasks"' in page
    [run] = json.loads(written.summary.read_text())["arms"][0]["runs"]
    assert run["tasks"]["algebra"] == {"before": 0.5, "after": 0.75, "reward": pytest.approx(0.195)}


def test_two_runs_are_compared_task_by_task(mixed, tmp_path):
    compared = compare(mixed(tmp_path / "one"), mixed(tmp_path / "two", right=10, seed=1))
    lines = {line.split("  ")[0]: line for line in compared.as_text().splitlines()}
    assert lines["accuracy: algebra"].endswith("75.0 % [55.0, 95.0]  50.0 % [30.0, 70.0]")
    assert lines["reward, last steps: algebra"].split()[-1] == "0.155"  # steps 11 to 20
    assert compared.as_plain()["tasks"]["second"]["algebra"]["after"] == 0.5


def test_a_run_of_one_task_has_none_of_it(make_run, tmp_path):
    written = report(make_run(tmp_path / "run"), out=tmp_path / "out")
    assert 'id="tasks"' not in written.page.read_text() and "## Tasks" not in written.text.read_text()
    assert list(read_run(tmp_path / "run").series("reward", "algebra")) == []


def test_lists_and_the_screen_name_the_tasks(mixed, tmp_path):
    folder = mixed(tmp_path / "run")
    assert runs_in(folder)[0].what == "rgra on algebra, questions"
    assert tasks_in_words({"tasks": [*TASKS, *TASKS]}) == "algebra and 3 other tasks"
    shown = StringIO()
    watch(folder, Screen(shown))
    last = shown.getvalue().splitlines()[-1]
    assert "algebra: 0.2 50 %  questions: 0.5 50 %" in last


def test_what_a_journal_holds_of_tasks_is_hostile():
    assert gauges_by_task({"tasks": {"a\x1b[2J": {"reward": "x\n\x07y"}, "b": 3}}) == [("a\\x1b[2J", ["x \\x07y"])]
    assert gauges_by_task({"tasks": [1]}) == [] == gauges_by_task({})
