"""The game: replies and rewards by hand, and what each split holds."""

import pytest

from paring.tasks.higher_lower import HigherLower

GAME = next(one for one in HigherLower().problems("train") if one.gold == "46" and "45+3-3=" in one.id)


def played(*guesses):
    turns = []
    for guess in guesses:
        turns.append({"role": "assistant", "content": guess})
        reply = GAME.environment.reply(turns)
        turns += reply.turns
    return reply


def said(number):
    return f"<answer>{number}</answer>"


@pytest.mark.parametrize(
    ("guesses", "message", "parts"),
    [
        ([said(44)], "44+", {"found": 0.0, "logical": 0.3}),
        ([said(48)], "48-", {"found": 0.0, "logical": 0.3}),
        ([said(49)], "49-", {"found": 0.0, "logical": 0.0}),
        (["46"], "?", {"found": 0.0, "logical": 0.0}),
        (["9" * 100_000], "?", {"found": 0.0, "logical": 0.0}),
        ([said(46)], None, {"found": 1.0, "logical": 0.9}),
        ([said(48), said(48)], "48-", {"found": 0.0, "logical": 0.0}),
        ([said(48), said(47)], "47-", {"found": 0.0, "logical": 0.3}),
        ([said(48), said(46)], None, {"found": 1.0, "logical": 0.6}),
        (["no", said(44), said(46)], None, {"found": 1.0, "logical": 0.3}),
        ([said(44), said(48), said(44)], None, {"found": 0.0, "logical": 0.0}),
    ],
)
def test_a_guess_is_answered_and_scored(guesses, message, parts):
    reply = played(*guesses)
    assert reply.message == message and reply.score.parts == pytest.approx(parts)
    assert reply.score.correct == bool(parts["found"]) and reply.score.traits["logical"] == bool(parts["logical"])


def test_splits_share_no_question_and_hold_every_number_of_a_centre():
    asked = {
        split: {one.messages[-1]["content"] for one in HigherLower().problems(split)}
        for split in ("train", "validation", "test")
    }
    assert [len(one) for one in asked.values()] == [46, 7, 7]
    assert not asked["train"] & (asked["validation"] | asked["test"]) and not asked["validation"] & asked["test"]
    golds = [int(one.gold) for one in HigherLower().problems("test") if one.id.startswith("higher-lower/")]
    assert len(golds) == 7 * 7 and all(17 <= gold <= 82 for gold in golds)
