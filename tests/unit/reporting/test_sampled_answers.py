"""pass@k, entropy, KL and length beside greedy accuracy, by hand."""

import json

import pytest

from paring.maths.seeds import accuracy_interval
from paring.reporting.contests import contests_of
from paring.reporting.findings import find
from paring.reporting.gathering import gather
from paring.reporting.result_passages import result_passages
from paring.reporting.sampled_answers import sampled_table
from paring.reporting.summary import as_plain


def sampled(first: float, kl: float) -> dict:
    rates = {k: {"value": first + place / 10, "low": 0.1, "high": 0.9} for place, k in enumerate(("1", "2", "8", "16"))}
    means = {"entropy": 0.5, "kl": kl, "length": 7.25, "truncated": 0.0}
    return {"samples": 16, "temperature": 1.0, "pass_at": rates, **means}


@pytest.fixture
def study(make_study, tmp_path):
    """rgra has sampled in both runs, grpo in the first alone, raft in none."""
    folder = make_study(tmp_path / "study", {"rgra": [28, 30], "grpo": [28, 30], "raft": [20, 22]})
    for run, first in (
        ("arm-0/updates-1/seed-0", 0.5),
        ("arm-0/updates-1/seed-1", 0.6),
        ("arm-1/updates-1/seed-0", 0.3),
    ):
        path = folder / "runs" / run / "result.json"
        result = json.loads(path.read_text())
        result["before"]["sampled"], result["after"]["sampled"] = sampled(0.2, 0.0), sampled(first, first)
        path.write_text(json.dumps(result))
    return folder


def test_the_table_by_hand(study):
    (contest,) = contests_of(gather([study]))
    table = sampled_table(contest)
    assert table.head == ("arm", "pass@1 %", "pass@8 %", "pass@16 %", "entropy", "KL", "tokens")
    low, high = (f"{100 * end:.1f}" for end in accuracy_interval([0.5, 0.6], 40))
    before, rgra, grpo = table.rows
    assert [row[0] for row in table.rows] == ["before", "rgra", "grpo"]
    assert rgra[1] == f"55.0 [{low}, {high}]" and rgra[4:] == ["0.5", "0.55", "7.25"]
    assert grpo[1:4] == ["30.0 [10.0, 90.0]", "50.0 [10.0, 90.0]", "60.0 [10.0, 90.0]"]
    assert before[1].startswith("20.0") and before[5] == "0"


def test_reports_have_it_where_it_is(study, make_study, tmp_path):
    findings = find([study])
    assert any(passage.table and "sampled answers" in passage.table.title for passage in result_passages(findings))
    arms = as_plain(findings)["benchmarks"][0]["arms"]
    assert arms[0]["sampled"]["after"]["pass_at"]["16"]["mean"] == pytest.approx(0.85)
    assert arms[0]["sampled"]["before"]["kl"] == 0 and "sampled" not in arms[2]
    (contest,) = contests_of(gather([make_study(tmp_path / "plain", {"rgra": [28, 30]})]))
    assert sampled_table(contest) is None


def test_what_a_folder_says_wrongly_is_left_out(study):
    path = study / "runs/arm-1/updates-1/seed-0/result.json"
    result = json.loads(path.read_text())
    result["after"]["sampled"] |= {"pass_at": {"9" * 5000: {"value": 1}, "2": {"value": "x"}, "y": 1}, "kl": "z"}
    path.write_text(json.dumps(result))
    (contest,) = contests_of(gather([study]))
    assert sampled_table(contest).rows[2] == ["grpo", "", "", "", "0.5", "", "7.25"]
