"""Asking and chatting: prompts as trained, conversations, columns, hostile answers, contexts that are too short."""

import json

import pytest

from paring.rollout.engine import Sampling
from paring.rollout.local import LocalEngine
from paring.subjects.opening import open_subject
from paring.subjects.talking import Dialogue, Talker, answers_text, open_talker, open_talkers
from paring.tasks.arithmetic import Arithmetic
from paring.types import Completion, Key, Problem


class Echo:
    """A talker that answers with all that it was told."""

    name, longest, system = "echo", 7, ({"role": "system", "content": "be brief"},)

    def answer(self, messages, sampling, key):
        assert sampling.max_new_tokens == 7
        if messages[-1]["content"] == "fail":
            raise ValueError("too long")
        return Completion(
            (1,), (0.0,), "|".join(f"{one['role'][0]}:{one['content']}" for one in messages), key.step < 1
        )


def said(conversation, text):
    return [answer.text for answer in conversation.say(text)]


def test_a_conversation_is_what_was_said_and_answered_before():
    conversation = Dialogue([Echo(), Echo()])
    first = "s:be brief|u:one"
    assert said(conversation, "one") == [first, first]
    assert said(conversation, "two")[0] == f"{first}|a:{first}|u:two"
    conversation.begin_anew()
    assert said(conversation, "one")[0] == first
    assert said(Dialogue([Echo()], system="other"), "one") == ["s:other|u:one"]


def test_an_answer_that_fails_is_not_part_of_the_conversation():
    conversation = Dialogue([Echo()])
    with pytest.raises(ValueError, match="too long"):
        conversation.say("fail")
    assert said(conversation, "one") == ["s:be brief|u:one"]


def test_two_answers_stand_in_columns_and_nothing_hostile_passes(hostile):
    answers = [Completion((1, 2), (), "a b\nc", False), Completion((1,), (), hostile, True)]
    shown = answers_text([Echo(), Echo()], answers, 60)
    assert "\x1b" not in shown and all(len(line) <= 60 for line in shown.split("\n"))
    assert shown.split("\n")[0] == "echo" + " " * 27 + "echo"
    assert "(cut off after 2 tokens)" in shown
    assert answers_text([Echo()], [Completion((), (), "", True)], 48) == "(an empty answer)"


def test_an_answer_is_the_engine_s_own(finished_run):
    talker = open_talker(str(finished_run))
    assert (talker.longest, talker.system) == (32, ())
    problem = Arithmetic().problems("test")[0]
    sampling = Sampling(max_new_tokens=24, temperature=0.0)
    answer = talker.answer(problem.messages, sampling, Key(0, 0))
    engine = LocalEngine(open_subject(str(finished_run)).policy)
    [group] = engine.sample([Problem("x", problem.messages, "")], 1, sampling, Key(3, 3))
    assert answer.tokens == group.completions[0].tokens


def test_a_conversation_that_the_context_does_not_hold_is_refused(finished_run):
    talker = open_talker(str(finished_run))
    assert isinstance(talker, Talker)
    with pytest.raises(
        ValueError, match=r"a conversation of \d+ tokens and an answer of 5000 exceed the model's context"
    ):
        talker.answer([{"role": "user", "content": "1+1="}], Sampling(max_new_tokens=5000), Key(0, 0))


def test_the_base_is_compared_as_the_run_was_asked(finished_run):
    first, base = open_talkers(str(finished_run), "base")
    assert base.name == "base (embedded)" and base.longest == first.longest
    assert first.engine.policy.adapters and not base.engine.policy.adapters


def test_commands(paring, refused, finished_run, monkeypatch):
    read = json.loads(paring("ask", finished_run, "17+11+4=", "--compare", "base", "--json").stdout)
    assert [one["name"] for one in read["answers"]] == [str(finished_run), "base (embedded)"]
    assert all(0 < one["tokens"] <= 48 for one in read["answers"])
    shown = paring("ask", finished_run, "17+11+4=").stdout.strip()
    assert shown.startswith(read["answers"][0]["answer"])
    assert "there is no such folder or file" in refused("ask", "./nothing", "x")
    lines = iter(["17+11+4=", "/new", "17+11+4=", "", "/quit"])
    monkeypatch.setattr("builtins.input", lambda _: next(lines))
    assert paring("chat", finished_run).stdout.strip().split("\n") == shown.split("\n") * 2
