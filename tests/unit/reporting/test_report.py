"""The three files: where they lie, that they agree, and what keeps them from being written."""

import json
import re
from pathlib import Path

import pytest

from paring.reporting.findings import find
from paring.reporting.report import next_steps, place_of, report, write_report


@pytest.fixture
def study(make_study, tmp_path):
    return make_study(tmp_path / "study", {"rgra": [28, 30, 32], "raft": [8, 9, 10]})


def test_summary_and_text_have_the_numbers_of_the_report(study):
    written = write_report(find([study]), study)
    summary = json.loads(written.summary.read_text())
    (block,) = summary["benchmarks"]
    assert [arm["mean"] for arm in block["arms"]] == pytest.approx([0.75, 0.225])
    assert block["arms"][0]["by_seed"] == {"0": 0.7, "1": 0.75, "2": 0.8} and block["better"] == "higher"
    (comparison,) = summary["comparisons"]
    assert comparison["decisive"]["difference"] == pytest.approx(-0.525)
    assert comparison["decisive"]["test"] == "Welch over seeds" and comparison["decisive"]["beyond_chance"]
    assert comparison["over_problems"]["counts"] == [40]
    assert summary["arms"][0]["settings"] == {"objective.kind": "rgra"} and summary["recipe"]["optimiser.lr"] == 0.001
    assert [run["state"] for arm in summary["arms"] for run in arm["runs"]] == ["finished"] * 6
    assert summary["tuning"][0]["scores"] == {"0.001": 0.9, "0.01": 0.5}
    text = written.text.read_text()
    assert "| rgra | 75.0 % |  |  | \\[62.6, 87.4\\] | 3 | 30.0 % |" in text
    assert "| raft | 22.5 % | -52.5 | " in text
    assert "| raft - rgra | -52.5 |" in text


def test_the_same_folders_give_the_same_bytes(study, tmp_path):
    one, other = (write_report(find([study]), tmp_path / name) for name in ("one", "other"))
    for name in ("page", "text", "summary"):
        assert getattr(one, name).read_bytes() == getattr(other, name).read_bytes()


def test_markdown_has_no_markup_of_a_folder(make_study, tmp_path):
    hostile = "<b>|a`b*c_d[e](http://x)\n# owned\n\n- \x1b[2J\u202e&amp;"
    folder = make_study(tmp_path / "study", {f"a{hostile}": [30, 31], f"b{hostile}": [28, 30]}, model={"path": hostile})
    text = write_report(find([folder]), tmp_path / "out").text.read_text()
    assert all(character.isprintable() or character == "\n" for character in text)
    unescaped = re.sub(r"\\.", "", text)
    assert not re.search(r"[<`*\[\]&]", unescaped.replace("**", "")) and "\n# owned" not in text
    # Rows of the tables that begin with an arm have as many cells as their heads.
    cells = {
        kind: {line.count("|") - line.count(r"\|") for line in text.splitlines() if line.startswith(begin)}
        for kind, begin in {"heads": ("| arm |", "| pair |"), "rows": (r"| a\<b", r"| b\<b")}.items()
    }
    assert cells["rows"] == cells["heads"] == {3, 4, 7, 9, 11}


def test_a_summary_is_strict_json_whatever_the_folder_holds(make_run, tmp_path):
    folder = make_run(tmp_path / "run", optimiser={"lr": float("inf")})
    (folder / "result.json").write_text(
        '{"training_seconds": Infinity, "versions": {"a": NaN}, "after": {"accuracy": 1e999}}'
    )
    written = write_report(find([folder]), tmp_path / "out")
    summary = json.loads(written.summary.read_text(), parse_constant=pytest.fail)
    assert summary["recipe"]["optimiser.lr"] is None and summary["benchmarks"] == []


def test_a_report_of_one_lies_with_it_and_of_several_here(tmp_path):
    assert place_of([tmp_path]) == tmp_path and place_of([tmp_path, tmp_path / "b"]) == Path("report")


def test_what_to_do_next_can_be_typed(study):
    steps = next_steps(report(study))
    assert f"written to {study}/report.html" in steps
    assert any(step.strip().startswith(f"paring samples {study}/runs/arm-0/updates-1/seed-0 --worst") for step in steps)


def test_a_folder_that_cannot_be_written_is_one_error(study, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"file cannot be written: .* Choose another folder with --out"):
        write_report(find([study]), tmp_path / "file")
