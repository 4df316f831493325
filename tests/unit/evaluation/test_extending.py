"""A folder takes more answers and more tasks; problems that do not fit; other prompts and templates."""

import json
from functools import partial
from io import StringIO

import pytest

from paring.evaluation.request import request_of
from paring.runtime.screen import Screen
from paring.subjects.evaluate import evaluate, evaluate_on


def mixed(problem, member):
    """Right in every second answer, and in all of the first problem."""
    return f"\\boxed{{{problem.gold}}}" if member % 2 or problem.gold == "0" else f"no {member}"


@pytest.fixture
def run(talker, scripted, data):
    """`run(out, **request)`: what came of it, and the engine."""

    def go(out=None, of=mixed, **changes):
        engines = []

        def engine_of(policy, rows):
            engines.append(scripted(of))
            return engines[-1]

        request = request_of(
            **{"subject": talker, "tasks": ("amc23",), "data": data, "rows": 6, "temperature": 0.5, "samples": 2}
            | changes
        )
        return evaluate_on(request, out, screen=Screen(StringIO()), engine_of=engine_of), engines[0]

    return go


def items(folder):
    return (folder / "items" / "amc23.jsonl").read_bytes()


def test_answers_are_added_to_a_finished_evaluation(run, tmp_path):
    run(tmp_path / "more")
    done, engine = run(tmp_path / "more", samples=5)
    # Three more of two problems at once: six rows.
    assert [(len(ids), number, key.member) for ids, number, _, key in engine.asked] == [(2, 3, 2)] * 6
    whole, _ = run(tmp_path / "whole", samples=5)
    assert items(tmp_path / "more") == items(tmp_path / "whole")
    one, other = (dict(some.results.for_scripts(), seconds=0) for some in (done, whole))
    assert one == other and one["samples"] == 5
    assert sorted(path.name for path in (tmp_path / "more" / "items").iterdir()) == [
        "amc23.jsonl",
        "amc23.seconds.jsonl",
    ]
    assert json.loads((tmp_path / "more" / "evaluation.json").read_text())["request"]["samples"] == 5
    with pytest.raises(ValueError, match=r"holds 5 answers a problem, not 2: ask for samples = 5 or more"):
        run(tmp_path / "more")


def test_an_extension_that_was_stopped_goes_on_even_to_more_answers(run, tmp_path):
    def failing(problem, member):
        if member > 1 and problem.gold == "7":
            raise KeyboardInterrupt
        return mixed(problem, member)

    run(tmp_path / "more")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "more", failing, samples=3)
    begun = (tmp_path / "more" / "items" / "amc23.from-2.jsonl").read_bytes().splitlines()
    assert len(begun) == 6
    _, engine = run(tmp_path / "more", samples=5)
    assert [(len(ids), number, key.member) for ids, number, _, key in engine.asked] == [(6, 1, 2), *[(3, 2, 3)] * 4]
    run(tmp_path / "whole", samples=5)
    assert items(tmp_path / "more") == items(tmp_path / "whole")


def test_tasks_are_added_and_none_is_forgotten(run, tmp_path):
    run(tmp_path / "out")
    before = items(tmp_path / "out")
    done, engine = run(tmp_path / "out", tasks=("amc23", "arithmetic:3"))
    assert [len(ids) for ids, *_ in engine.asked] == [3]
    assert [task.evaluation.task for task in done.results.tasks] == ["amc23", "arithmetic"]
    assert items(tmp_path / "out") == before
    with pytest.raises(ValueError, match="holds arithmetic too: name all of its tasks in task"):
        run(tmp_path / "out")
    with pytest.raises(ValueError, match=r"holds another evaluation \(min_p: 0\.0 -> 0\.5; tasks\.arithmetic\.digest"):
        run(tmp_path / "out", tasks=("amc23", "arithmetic:4"), min_p=0.5)


def test_an_evaluation_from_before_a_setting_was_there_goes_on(run, tmp_path):
    run(tmp_path / "out")
    file = tmp_path / "out" / "evaluation.json"
    record = json.loads(file.read_text())
    del record["request"]["min_p"]
    file.write_text(json.dumps(record))
    assert run(tmp_path / "out")[1].asked == []


def test_spread_is_that_of_single_passes(run):
    """First answers: 1 of 12 right; second ones: all. Their standard deviation is 11/12 over the root of 2."""
    done, _ = run()
    found = done.results.tasks[0].evaluation
    assert (found.accuracy_name, found.accuracy) == ("avg@2", 13 / 24)
    assert found.spread == pytest.approx(11 / 12 / 2**0.5)


def test_problems_that_do_not_fit_are_left_out_and_named(run, tmp_path, data):
    file = tmp_path / "data" / "amc23" / "test.jsonl"
    long = json.dumps({"question": "How long? " * 380, "answer": 12.0})
    file.write_text(file.read_text() + long + "\n")
    with pytest.raises(ValueError, match="1 of 13 problems do not fit .* with answers; the first is amc23/") as refused:
        run()
    assert "--long skip" in refused.value.with_flags
    done, engine = run(long="skip")
    (task,) = done.results.tasks
    assert task.evaluation.problems == 12 and len(task.about.too_long) == 1
    # What the longest prompt that fits leaves of 4,096 tokens.
    assert 3800 < task.about.max_new_tokens < 4096
    assert {sampling.max_new_tokens for _, _, sampling, _ in engine.asked} == {task.about.max_new_tokens}


def test_a_system_prompt_of_one_s_own_and_none(run):
    for system, expected in (("Be brief.", ["system", "user"]), ("", ["user"])):
        seen = []
        done, _ = run(of=lambda problem, member, seen=seen: seen.append(problem) or "no", system=system)
        messages = seen[0].messages
        assert [message["role"] for message in messages] == expected
        assert not system or messages[0]["content"] == system
        assert done.results.tasks[0].about.style == "boxed"


def test_arguments_reach_the_chat_template(talker, data):
    ask = partial(evaluate, talker, "amc23", data=data, screen=Screen(StringIO()))
    with pytest.raises(
        ValueError, match="template_arguments.aloud: the model's chat template has no argument"
    ) as refused:
        ask(template_arguments={"aloud": True})
    assert "--template-arguments.aloud" in refused.value.with_flags
