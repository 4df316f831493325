"""`paring eval` of a run with several tasks by their labels, and with stop strings."""

import json
from io import StringIO

import pytest

from paring.evaluation.request import request_of
from paring.runtime.screen import Screen
from paring.subjects.choosing import exams_of
from paring.subjects.evaluate import _fitted, evaluate_on
from paring.subjects.opening import open_subject
from paring.tasks.maths import Maths
from paring.tasks.styles import Boxed
from paring.training.config import validate
from paring.verifier import Verifier


@pytest.fixture
def run(tmp_path):
    """A run on arithmetic, and on two files of its own of which one is called as a benchmark is."""
    parts = [{"name": "arithmetic"}]
    for label, first in (("math", 0), ("mine", 100)):
        path = tmp_path / f"{label}.jsonl"
        path.write_text(
            "".join(json.dumps({"question": f"q{n}", "answer": n}) + "\n" for n in range(first, first + 16))
        )
        parts.append({"name": "maths", "data": str(path), "label": label})
    rollout = {"problems": 4, "group_size": 2, "max_new_tokens": 7, "stop": ["\n"], "keep_stop": True}
    return validate({"steps": 1, "tasks": parts, "rollout": rollout}, source="x")


def exams(run, *names, **changes):
    request = request_of(subject="x", tasks=names, **changes)
    with Verifier() as verifier:
        return exams_of(request, run, Boxed(), verifier)


def test_a_label_names_a_task_of_the_run(run):
    math, mine = exams(run, "math", "mine:2")
    assert (math.name, mine.name) == ("math", "mine") and isinstance(math.task, Maths) and math.benchmark is None
    # Trained on, so the held-out eighth is put.
    assert [problem.gold for problem in math.problems] == [
        one.gold for one in run.task.by_label["math"].problems("test")
    ]
    assert len(mine.problems) == 2 and mine.task == run.task.by_label["mine"]
    [whole] = exams(run, "mixture")
    assert whole.task == run.task and whole.label == ""
    [changed] = exams(run, "mine", task_settings={"style": "think-answer"})
    assert changed.task.style == "think-answer"
    with pytest.raises(ValueError, match=r"'mint': unknown; did you mean mine\?.*math"):
        exams(run, "mint")
    with pytest.raises(ValueError, match="mine stands there twice"):
        exams(run, "mine", "mine:2")


def test_a_label_is_answered_as_the_run_trained(run):
    subject = open_subject("embedded")
    subject = type(subject)(subject.policy, subject.base, run)
    [mine] = exams(run, "arithmetic", limit=2)
    fitted = _fitted(mine, request_of(subject="x"), subject)
    assert (fitted.max_new_tokens, fitted.stop, fitted.keep_stop) == (7, ("\n",), True)
    given = _fitted(mine, request_of(subject="x", stop=("END", "Q:")), subject)
    assert (given.stop, given.keep_stop) == (("END", "Q:"), False)
    shown = type(mine)(**{**vars(mine), "stop": ("Question:",)})
    assert _fitted(shown, request_of(subject="x", stop=("END",)), subject).stop == ("Question:", "END")


def test_stop_strings_reach_the_engine_and_the_record(talker, scripted, data, tmp_path):
    engine = scripted(lambda problem, member: f"\\boxed{{{problem.gold}}}")

    def go(stop):
        request = request_of(subject=talker, tasks=("amc23",), data=data, stop=stop)
        return evaluate_on(request, tmp_path / "out", screen=Screen(StringIO()), engine_of=lambda *_: engine)

    assert go(("END", "\n\n")).results is not None
    assert engine.asked[0][2].stop == ("END", "\n\n") and engine.asked[0][2].keep_stop is False
    with pytest.raises(ValueError, match=r"stop: \['END', '\\n\\n'\] -> \['END'\]"):
        go(("END",))
    with pytest.raises(ValueError, match="stop"):
        request_of(subject="x", stop=("",))
