"""Figures of items that are counted by hand."""

import pytest

from paring.evaluation.figures import numbers_of, summary
from paring.maths.estimates import bootstrap_interval, wilson_interval


def test_one_answer_a_problem(make_item):
    items = [make_item(f"p/{n}", letter) for n, letter in enumerate("rrwn-")]
    found = summary(items, seconds=10.0)
    assert (found.problems, found.samples, found.correct) == (5, 1, 2)
    assert found.accuracy.value == 0.4
    assert (found.accuracy.low, found.accuracy.high) == wilson_interval(2, 5)
    assert (found.pass_at, found.maj_at) == ({}, {})
    assert (found.truncated, found.no_answer) == (0.2, 0.4)
    assert found.verdicts == {"no answer": 2, "right": 2, "wrong": 1}
    assert (found.tokens, found.length, found.seconds) == (50, 10.0, 10.0)
    assert (found.length_correct, found.length_wrong) == (10.0, 10.0)


def test_several_answers_a_problem(make_item):
    items = [make_item("p/0", "rrww"), make_item("p/1", "rwvn"), make_item("p/2", "wwww")]
    found = summary(items, seconds=1.0)
    assert found.accuracy.value == pytest.approx(3 / 12)
    assert (found.accuracy.low, found.accuracy.high) == bootstrap_interval([0.5, 0.25, 0], seed=0)
    assert list(found.pass_at) == list(found.maj_at) == [1, 2, 4]
    assert [found.pass_at[k].value for k in (1, 2, 4)] == pytest.approx([0.25, (5 / 6 + 1 / 2 + 0) / 3, 2 / 3])
    # Of all four: two right against two wrong tie; one right, two wrong that differ and none: one of three wins.
    assert found.maj_at[4].value == pytest.approx((1 / 2 + 1 / 3 + 0) / 3)
    assert found.maj_at[1].value == pytest.approx(0.25)
    # Right are answers 0 and 1 of the first problem and 0 of the second; they have 10, 11, 10 tokens.
    assert found.length_correct == pytest.approx(31 / 3)
    assert (found.pass_at[4].low, found.pass_at[4].high) == bootstrap_interval([1, 1, 0], seed=0)


def test_answers_that_no_task_reads_vote_by_their_text(make_item):
    items = [make_item("p/0", "rww")]
    for number, answer in enumerate(items[0]["answers"]):
        answer["answer"], answer["text"] = None, f"text {number}"
    assert summary(items, 1.0).maj_at[3].value == pytest.approx(1 / 3)


def test_by_subject_and_level(make_item):
    items = [make_item("p/0", "r", subject="Algebra", level="1"), make_item("p/1", "w", subject="Algebra", level="2")]
    items.append(make_item("p/2", "r", subject="Geometry"))
    found = summary(items, 1.0).by
    assert list(found) == ["subject", "level"]
    assert {name: (one["problems"], one["value"]) for name, one in found["subject"].items()} == {
        "Algebra": (2, 0.5),
        "Geometry": (1, 1.0),
    }
    assert list(found["level"]) == ["", "1", "2"]
    assert (found["level"]["1"]["low"], found["level"]["1"]["high"]) == wilson_interval(1, 1)


def test_traits(make_item):
    items = [make_item("p/0", "r"), make_item("p/1", "w")]
    items[0]["answers"][0]["traits"] = {"working": True}
    assert summary(items, 1.0).traits == {"working": 0.5}


@pytest.mark.parametrize(("samples", "ks"), [(1, [1]), (2, [1, 2]), (5, [1, 2, 4, 5]), (8, [1, 2, 4, 8])])
def test_the_ks(samples, ks):
    assert numbers_of(samples) == ks


def test_plain_values_have_what_an_evaluation_has(make_item):
    plain = summary([make_item("p/0", "r")], 2.0).as_plain()
    assert plain["accuracy"] == 1.0 and plain["interval"] == list(wilson_interval(1, 1))
    assert {"problems", "samples", "correct", "traits", "length", "truncated", "seconds"} <= plain.keys()
