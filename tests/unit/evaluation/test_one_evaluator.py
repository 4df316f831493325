"""One evaluator: a name is the same task for training, `paring.evaluate` and `paring eval`, to the same figures."""

import json

import pytest
from typer.testing import CliRunner

from paring import evaluate, load_run, train
from paring.cli import app
from paring.evaluation.request import request_of
from paring.subjects.evaluate import Evaluated, evaluate_on
from paring.tasks.gsm8k import Gsm8k

TEXTS = {"\\boxed{1}": True, "#### 1": True, "<answer>1</answer>": True, "1": False}


def rows_of(path, rows):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """GSM8K and MATH-500 with a few problems each."""
    folder = tmp_path_factory.mktemp("data")
    for part, numbers in {"train": range(6), "test": range(6, 9)}.items():
        rows = [{"question": f"What is {n}?", "answer": f"It is so.\n#### {n}"} for n in numbers]
        rows_of(folder / "gsm8k" / f"{part}.jsonl", rows)
    rows = [{"problem": f"{n} + 1?", "answer": str(n + 1), "subject": "Algebra", "level": n % 2} for n in range(4)]
    rows_of(folder / "math500" / "test.jsonl", rows)
    return str(folder)


@pytest.fixture(scope="module")
def gsm8k_run(talker, folder, tmp_path_factory):
    """The folder of a run of one step on GSM8K."""
    out = tmp_path_factory.mktemp("gsm8k") / "run"
    task = {"name": "gsm8k", "data": f"{folder}/gsm8k", "train_problems": 4}
    rollout = {"problems": 2, "group_size": 2, "max_new_tokens": 6}
    changes = {"steps": 1, "threads": 1, "model.path": talker, "evaluate.limit": 2}
    train(load_run("gsm8k-rgra", task=task, rollout=rollout, **changes), out)
    return out


def plain(evaluation):
    """Without its time, as JSON has it."""
    return json.loads(json.dumps(evaluation.as_plain())) | {"seconds": 0.0}


def printed(*arguments):
    """The JSON of `paring eval ... --json`, without its time."""
    ended = CliRunner().invoke(app, ["eval", *map(str, arguments), "--json"])
    assert ended.exit_code == 0, ended.output
    return json.loads(ended.stdout) | {"seconds": 0.0}


@pytest.mark.parametrize("style", ["boxed", "think-answer"])
def test_the_task_and_the_evaluation_by_name_judge_alike(talker, scripted, tmp_path, style):
    rows_of(tmp_path / "gsm8k" / "test.jsonl", [{"question": f"One, {n}?", "answer": "#### 1"} for n in range(4)])
    texts = list(TEXTS)
    request = request_of(subject=talker, tasks=("gsm8k",), data=str(tmp_path), style=style, rows=1)
    answers = iter(texts)
    done = evaluate_on(request, tmp_path / "out", engine_of=lambda *_: scripted(lambda problem, _: next(answers)))
    by_name = [json.loads(line) for line in (tmp_path / "out" / "items" / "gsm8k.jsonl").read_text().splitlines()]
    task = Gsm8k(data=str(tmp_path / "gsm8k"), style=style)
    scores = [task.score(problem, text) for problem, text in zip(task.problems("test"), texts, strict=True)]
    assert [item["correct"] for item in by_name] == [score.correct for score in scores] == list(TEXTS.values())
    assert [item["answers"][0]["reward"] for item in by_name] == [score.reward for score in scores]
    assert done.results.tasks[0].evaluation.verdicts == {"no answer": 1, "right": 3}


@pytest.mark.parametrize(
    ("task", "options"),
    [
        ("arithmetic", {"limit": 5, "max_new_tokens": 4}),
        ("gsm8k", {"max_new_tokens": 6, "shots": 1}),
        ("gsm8k", {"max_new_tokens": 6, "style": "think-answer", "limit": 2}),
        ("math500", {"max_new_tokens": 6, "samples": 2, "temperature": 0.7, "seed": 3, "rows": 4}),
    ],
)
def test_python_and_the_command_give_the_same_record(talker, folder, task, options):
    flags = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", value)]
    shown = printed(talker, "--task", task, "--data", folder, *flags)
    record = plain(evaluate(talker, task, data=folder, **options))
    assert record == {key: shown[key] for key in record}
    assert record["problems"] == options.get("limit", {"gsm8k": 3, "math500": 4}.get(task))
    if task == "math500":
        assert {name: part["problems"] for name, part in record["by"]["level"].items()} == {"0": 2, "1": 2}


def test_before_and_after_training_and_by_name_the_figures_are_the_same(gsm8k_run, talker, folder):
    result = json.loads((gsm8k_run / "result.json").read_text())
    before, after = (result[when] | {"seconds": 0.0} for when in ("before", "after"))
    assert after["traits"] and after["verdicts"]
    alike = {"data": folder, "style": "think-answer", "max_new_tokens": 6, "limit": 2}
    assert plain(evaluate(talker, "gsm8k", **alike)) == before
    for name in (None, "gsm8k"):
        assert plain(evaluate(gsm8k_run, name, limit=2)) == after
    shown = printed(gsm8k_run, "--limit", 2)
    assert {key: shown[key] for key in after} == after
    assert (shown["title"], shown["style"]) == ("GSM8K", "think-answer")


def test_a_run_and_its_evaluation_record_the_same_items(gsm8k_run, tmp_path):
    evaluate(gsm8k_run, limit=2, out=tmp_path / "out")
    assert (tmp_path / "out" / "items" / "gsm8k.jsonl").read_bytes() == (gsm8k_run / "items.jsonl").read_bytes()


def test_a_task_object_may_have_any_name(talker, tmp_path):
    class Own:
        name = "../mine/and yours"

        def problems(self, split):
            return Gsm8k(data=f"{tmp_path}/gsm8k").problems(split)

        def score(self, problem, text):
            return Gsm8k().score(problem, text)

    rows_of(tmp_path / "gsm8k" / "test.jsonl", [{"question": "One?", "answer": "#### 1"}])
    evaluation = evaluate(talker, Own(), max_new_tokens=4, out=tmp_path / "out")
    assert (evaluation.task, evaluation.problems) == ("../mine/and yours", 1)
    assert (tmp_path / "out" / "items" / "___mine_and_yours.jsonl").is_file()


def test_an_interrupted_evaluation_raises_as_python_does(talker, monkeypatch):
    monkeypatch.setattr("paring.subjects.evaluate.evaluate_on", lambda *_, **__: Evaluated(None, [], 130))
    with pytest.raises(KeyboardInterrupt):
        evaluate(talker, "arithmetic")
