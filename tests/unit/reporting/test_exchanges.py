"""Answers before and after: the same problems for all arms, never more text than there is room for."""

import json

from paring.reporting.exchanges import PROBLEMS, exchanges_of, first_and_last
from paring.reporting.gathering import gather

HOSTILE = "\x1b[2J\u202e\u200b\ud800\x00<script>"


def test_all_arms_answer_the_same_first_problems(make_study, tmp_path):
    found = exchanges_of(gather([make_study(tmp_path / "study", {"rgra": [30], "grpo": [31]})]), characters=10_000)
    assert len(found) == PROBLEMS
    assert [answer.label for answer in found[0].answers] == ["before training", "after training"]
    assert [answer.correct for answer in found[0].answers] == [False, True]


def test_arms_that_answer_alike_stand_together(make_run, tmp_path):
    kinds = {"rgra": "one", "grpo": "two", "raft": "one"}
    runs = [make_run(tmp_path / kind, text=text, objective={"kind": kind}) for kind, text in kinds.items()]
    found = exchanges_of(gather(runs), characters=10_000)
    assert [answer.label for answer in found[0].answers[2:]] == ["rgra; raft", "grpo"]


def test_different_answers_before_training_say_whose_they_are(make_run, tmp_path):
    runs = [
        make_run(tmp_path / "a", text="one"),
        make_run(tmp_path / "b", text="two", objective={"kind": "grpo"}),
    ]
    found = exchanges_of(gather(runs), characters=10_000)
    assert [answer.label for answer in found[0].answers] == ["before, rgra", "before, grpo", "rgra", "grpo"]


def test_text_is_cut_to_the_room_there_is_however_long_its_escapes(make_run, tmp_path):
    gathered = gather([make_run(tmp_path / "run", text="\U000e0041" * 100_000)])
    texts = [text for example in exchanges_of(gathered, characters=2000) for text in texts_of(example)]
    assert len(texts) == PROBLEMS * 4 and sum(map(len, texts)) <= 2000
    assert all(text.startswith(r"\U000e0041") and text.endswith("…") for text in texts)


def texts_of(example):
    return [example.question, example.gold, *(answer.text for answer in example.answers)]


def test_what_a_model_wrote_is_made_visible(make_run, tmp_path):
    for example in exchanges_of(gather([make_run(tmp_path / "run", text=HOSTILE)]), characters=10_000):
        assert set(texts_of(example)) == {r"\x1b[2J\u202e\u200b\ud800\x00<script>"}


def test_a_run_without_an_end_shows_its_first_and_its_last_step(make_run, tmp_path):
    gathered = gather([make_run(tmp_path / "run", done=7, text="abc")])
    assert exchanges_of(gathered, characters=1000) == []
    first, last = first_and_last(gathered, characters=1000)
    assert [end.answers[0].label for end in (first, last)] == ["rgra, first step", "rgra, last step"]
    assert (first.question, first.gold, first.answers[0].text, first.answers[0].correct) == ("abc", "abc", "abc", True)


def test_rows_of_a_wrong_form_are_no_examples(make_run, tmp_path):
    folder = make_run(tmp_path / "run")
    for examples in (None, "text", [1, "a"], {}):
        (folder / "result.json").write_text(json.dumps({"examples": examples}))
        assert exchanges_of(gather([folder]), characters=1000) == []
    (folder / "result.json").write_text(json.dumps({"examples": [{"question": 5, "after": None}]}))
    (example,) = exchanges_of(gather([folder]), characters=1000)
    assert (example.question, example.answers[1].text, example.answers[1].correct) == ("", "", None)
