"""One paired comparison: `paring compare`, `paring report` and `paring eval --compare` agree on the same two runs."""

import json

import pytest

from paring import train
from paring.evaluation.request import request_of
from paring.reporting.compare import compare
from paring.reporting.report import report
from paring.subjects.evaluate import evaluate_on

LIMIT = 60


@pytest.fixture(scope="module")
def runs(small_run, tmp_path_factory):
    """The folders of two runs that differ in their learning rate, and in some of their answers."""
    folder = tmp_path_factory.mktemp("two")
    for name, lr in {"first": 1e-3, "second": 2e-2}.items():
        train(small_run({"evaluate.limit": LIMIT, "optimiser.lr": lr}), folder / name)
    return folder / "first", folder / "second"


def test_all_three_give_the_same_numbers(runs, tmp_path):
    first, second = runs
    compared = compare(first, second).test
    request = request_of(subject=str(first), compare=str(second), limit=LIMIT)
    evaluated = evaluate_on(request).results.tasks[0].comparison.paired
    assert evaluated == compared
    assert compared.problems == LIMIT and compared.first_only + compared.second_only > 0
    summary = json.loads(report(*runs, out=tmp_path / "report").summary.read_text())
    decisive = summary["comparisons"][0]["decisive"]
    assert decisive["test"] == compared.test
    numbers = [decisive["difference"], *decisive["interval"], decisive["p"]]
    assert numbers == pytest.approx([compared.difference, compared.low, compared.high, compared.p])
