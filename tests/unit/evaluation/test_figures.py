"""Figures of items that are counted by hand."""

from dataclasses import replace

import pytest

from paring.evaluation.measuring import evaluation_of, ks_of, trait_shares
from paring.maths.estimates import bootstrap_interval, wilson_interval
from paring.types import Score


def record(items, seconds=1.0):
    return evaluation_of(items, "t", "test", temperature=0.0, seconds=seconds)


def test_one_answer_a_problem(make_item):
    items = [make_item(f"p/{n}", letter) for n, letter in enumerate("rrwn-")]
    found = record(items, seconds=10.0)
    assert (found.task, found.split, found.temperature) == ("t", "test", 0.0)
    assert (found.problems, found.samples, found.correct) == (5, 1, 2)
    assert found.accuracy == 0.4
    assert found.interval == wilson_interval(2, 5)
    assert (found.pass_at, found.maj_at) == ({}, {})
    assert (found.truncated, found.no_answer) == (0.2, 0.4)
    assert found.verdicts == {"no answer": 2, "right": 2, "wrong": 1}
    assert (found.tokens, found.length, found.seconds) == (50, 10.0, 10.0)
    assert (found.length_correct, found.length_wrong) == (10.0, 10.0)


def test_several_answers_a_problem(make_item):
    items = [make_item("p/0", "rrww"), make_item("p/1", "rwvn"), make_item("p/2", "wwww")]
    found = record(items)
    assert found.accuracy == pytest.approx(3 / 12)
    assert found.interval == bootstrap_interval([0.5, 0.25, 0], seed=0)
    assert list(found.pass_at) == list(found.maj_at) == [1, 2, 4]
    assert [found.pass_at[k].value for k in (1, 2, 4)] == pytest.approx([0.25, (5 / 6 + 1 / 2 + 0) / 3, 2 / 3])
    # All four: two right against two wrong tie; one right, two wrong that differ and none: one of three wins.
    assert found.maj_at[4].value == pytest.approx((1 / 2 + 1 / 3 + 0) / 3)
    assert found.maj_at[1].value == pytest.approx(0.25)
    # Right are answers 0 and 1 of the first problem and 0 of the second; they have 10, 11, 10 tokens.
    assert found.length_correct == pytest.approx(31 / 3)
    assert (found.pass_at[4].low, found.pass_at[4].high) == bootstrap_interval([1, 1, 0], seed=0)


def test_answers_that_no_task_reads_vote_by_their_text(make_item):
    item = make_item("p/0", "rww")
    responses = [replace(one, answer=None, text=f"text {number}") for number, one in enumerate(item.answers)]
    assert record([replace(item, answers=tuple(responses))]).maj_at[3].value == pytest.approx(1 / 3)


def test_by_subject_and_level(make_item):
    items = [make_item("p/0", "r", subject="Algebra", level="1"), make_item("p/1", "w", subject="Algebra", level="2")]
    items.append(make_item("p/2", "r", subject="Geometry"))
    found = record(items).by
    assert list(found) == ["subject", "level"]
    assert {name: (one.problems, one.value) for name, one in found["subject"].items()} == {
        "Algebra": (2, 0.5),
        "Geometry": (1, 1.0),
    }
    assert list(found["level"]) == ["", "1", "2"]
    assert (found["level"]["1"].low, found["level"]["1"].high) == wilson_interval(1, 1)


def test_traits(make_item):
    items = [make_item("p/0", "r"), make_item("p/1", "w")]
    items[0] = replace(items[0], answers=(replace(items[0].answers[0], traits={"working": True}),))
    assert record(items).traits == {"working": 0.5}
    scores = [Score({}, False, {"a": True, "b": False}), Score({}, True, {"a": True, "b": True})]
    assert trait_shares(scores) == {"a": 1.0, "b": 0.5}


@pytest.mark.parametrize(("samples", "ks"), [(1, [1]), (2, [1, 2]), (5, [1, 2, 4, 5]), (8, [1, 2, 4, 8])])
def test_the_ks(samples, ks):
    assert ks_of(samples) == ks


def test_the_keys_of_a_result(make_item):
    """The keys of `before` and `after` in result.json, by which reports read older runs too."""
    plain = record([make_item("p/0", "r")], 2.0).as_plain()
    assert plain["accuracy"] == 1.0 and plain["interval"] == list(wilson_interval(1, 1))
    kept = "task split problems samples temperature correct accuracy interval traits length length_correct "
    kept += "length_wrong truncated seconds"
    assert set(kept.split()) <= plain.keys()


def test_printed_it_is_the_accuracy_with_its_interval(make_item):
    items = [make_item(f"p/{n}", letter) for n, letter in enumerate("rrrrrrww")]
    assert str(record(items)) == "75.0 % [40.9, 92.9]"
