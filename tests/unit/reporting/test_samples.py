"""The answers of a run, chosen and shown; what a model wrote cannot reach the terminal."""

import json

import pytest

from paring.reporting.samples import LONGEST_TEXT, as_text, choose
from paring.runtime.journal import Journal

HOSTILE = "\x1b[2J\x1b]0;title\x07\r\u202e\u200b\ud800\x00[bold]red[/bold]"


def row(step, reward, completion="answer", **changes):
    return {
        "step": step,
        "problem": f"task/{step}",
        "prompt": [{"role": "user", "content": "1+1="}],
        "gold": "2",
        "completion": completion,
        "tokens": 3,
        "ended": True,
        "reward": reward,
        "reward_parts": {"correct": reward},
        "correct": reward > 0,
        "traits": {},
        "advantage": 0.5,
    } | changes


@pytest.fixture
def run(tmp_path):
    journal = Journal(tmp_path)
    journal.samples([row(1, 0.5), row(1, 0.25)])
    journal.samples([row(2, 1.0, "a"), row(2, 0.0, "b"), row(2, 0.5, "c"), row(2, 0.0, "d")])
    journal.close()
    return tmp_path


def completions(rows):
    return [found["completion"] for found in rows]


def test_the_last_step_in_order_or_the_worst_first(run):
    assert completions(choose(run, step=None, worst=False, limit=9)) == ["a", "b", "c", "d"]
    assert completions(choose(run, step=None, worst=True, limit=9)) == ["b", "d", "c", "a"]
    assert completions(choose(run, step=None, worst=True, limit=2)) == ["b", "d"]
    assert [found["reward"] for found in choose(run, step=1, worst=False, limit=9)] == [0.5, 0.25]


def test_a_line_torn_by_a_kill_is_left_out(run):
    with open(run / "samples.jsonl", "a") as file:
        file.write('{"step": 3, "compl')
    assert completions(choose(run, step=None, worst=False, limit=9)) == ["a", "b", "c", "d"]


def test_steps_and_folders_that_are_not_there(run, tmp_path):
    with pytest.raises(ValueError, match=r"step = 7: .*samples\.jsonl holds the steps 1 to 2"):
        choose(run, step=7, worst=False, limit=9)
    with pytest.raises(ValueError, match=r"holds no samples\.jsonl: give the folder of a run"):
        choose(tmp_path / "absent", step=None, worst=False, limit=9)
    (run / "samples.jsonl").write_text("")
    with pytest.raises(ValueError, match="is empty: the run has made no step yet"):
        choose(run, step=None, worst=False, limit=9)


def test_an_answer_is_shown_under_its_prompt():
    assert as_text([row(2, 1.0, "two", reward_parts={"correct": 1.0, "format": 0.0}, ended=False)]) == (
        "step 2  task/2  gold 2\n"
        "  user: 1+1=\n"
        "  answer: two\n"
        "  reward 1 (correct 1, format 0)  advantage +0.50  3 tokens, cut off"
    )


@pytest.mark.parametrize("place", ["completion", "gold", "problem", "prompt"])
def test_hostile_text_is_shown_escaped(place):
    value = [{"role": "user", "content": HOSTILE}] if place == "prompt" else HOSTILE
    shown = as_text([row(1, 0.0, **{place: value})])
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert r"\x1b[2J\x1b]0;title\x07\r\u202e\u200b\ud800\x00[bold]red[/bold]" in shown


def test_a_long_text_is_cut():
    assert len(as_text([row(1, 0.0, "x" * 100_000)])) < LONGEST_TEXT + 500


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"step": "2"}, "line 1: damaged.*no step"),
        ({"step": True}, "line 1: damaged.*no step"),
        ({"prompt": 7}, "prompt: Input should be a valid list"),
        ({"prompt": [{"role": 1, "content": ""}]}, "prompt.0.role: Input should be a valid string"),
        ({"reward_parts": [1]}, "reward_parts: Input should be a valid dictionary"),
        ({"reward_parts": {"\x1b[2J": "b"}}, r"reward_parts.\\x1b"),
        ({"completion": None}, "completion: Input should be a valid string"),
        ({"reward": "x"}, "reward: Input should be a valid number"),
    ],
)
def test_a_row_of_another_kind_is_named(tmp_path, change, words):
    (tmp_path / "samples.jsonl").write_text(json.dumps(row(2, 1.0) | change) + "\n")
    with pytest.raises(ValueError, match=words):
        choose(tmp_path, step=None, worst=True, limit=9)
