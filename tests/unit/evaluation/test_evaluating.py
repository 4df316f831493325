"""Whole evaluations: what is asked and kept, going on, comparing, and hostile text in every file."""

import io
import json
from functools import partial
from html.parser import HTMLParser

import pytest

from paring.evaluation.benchmarks.benchmark import Question
from paring.evaluation.presentation import lines
from paring.evaluation.request import request_of
from paring.maths.estimates import wilson_interval
from paring.rollout.engine import Sampling
from paring.runtime.screen import Screen
from paring.subjects.evaluate import evaluate_on
from paring.tasks.arithmetic import Arithmetic
from paring.types import Key


def small(problem, member):
    """Right for one-digit golds."""
    return f"So \\boxed{{{problem.gold}}}." if len(problem.gold) == 1 else "I do not know."


@pytest.fixture
def evaluate(talker, scripted, data):
    """`evaluate(of, out, **request)`: what came of it, the engines made, and what the screen showed."""

    def run(of, out=None, **changes):
        engines, shown = [], io.StringIO()

        def engine_of(policy, rows):
            engines.append(scripted(of))
            return engines[-1]

        request = request_of(**{"subject": talker, "tasks": ("amc23",), "data": data, "rows": 4} | changes)
        done = evaluate_on(request, out, screen=Screen(shown), engine_of=engine_of)
        return done, engines, shown.getvalue()

    return run


def test_what_is_asked_and_what_is_found(evaluate, tmp_path):
    done, (engine,), shown = evaluate(small, tmp_path / "out", max_new_tokens=7, seed=3)
    found = done.results.tasks[0].evaluation
    assert (found.problems, found.correct, found.no_answer) == (12, 10, 2 / 12)
    assert found.interval == wilson_interval(10, 12)
    assert [len(ids) for ids, *_ in engine.asked] == [4, 4, 4]
    assert {tuple(rest) for _, *rest in engine.asked} == {(1, Sampling(max_new_tokens=7, temperature=0.0), Key(3, 0))}
    assert "amc23" in shown and "step 3/3" in shown and "accuracy 83 %" in shown
    names = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert names == [
        ".eval_results/amc23.yaml",
        ".lock",
        "evaluation.json",
        "items/amc23.jsonl",
        "items/amc23.seconds.jsonl",
        "model-card.md",
        "results.html",
        "results.json",
        "results.md",
    ]
    items = [json.loads(line) for line in (tmp_path / "out" / "items" / "amc23.jsonl").read_text().splitlines()]
    assert [item["answers"][0]["why"] for item in items] == ["right"] * 10 + ["no answer"] * 2
    kept = json.loads((tmp_path / "out" / "results.json").read_text())["tasks"][0]
    assert kept == json.loads(json.dumps(done.results.for_scripts()))
    assert (kept["task"], kept["problems"], kept["style"], kept["shots"]) == ("amc23", 12, "boxed", 0)


def test_several_answers_at_once_are_at_most_rows(evaluate):
    done, (engine,), _ = evaluate(small, samples=3, temperature=0.5, rows=7)
    assert [len(ids) for ids, *_ in engine.asked] == [2] * 6 and engine.asked[0][1] == 3
    assert list(done.results.tasks[0].evaluation.pass_at) == [1, 2, 3]
    assert "amc23: avg@3 83.3 % [" in "\n".join(lines(done.results))
    assert "pass@2 83.3 [58.3, 100.0] %, maj@2 83.3" in "\n".join(lines(done.results))


def test_without_a_folder_nothing_is_left(evaluate, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    done, _, _ = evaluate(small)
    assert done.files == [] and done.results.tasks[0].evaluation.correct == 10
    assert sorted(tmp_path.rglob("*")) == before


def test_it_goes_on_where_it_was_stopped(evaluate, tmp_path):
    evaluate(small, tmp_path / "whole")
    expected = (tmp_path / "whole" / "items" / "amc23.jsonl").read_bytes()

    def failing(problem, member):
        if problem.gold == "9":
            raise KeyboardInterrupt
        return small(problem, member)

    with pytest.raises(KeyboardInterrupt):
        evaluate(failing, tmp_path / "out")
    assert expected.startswith((tmp_path / "out" / "items" / "amc23.jsonl").read_bytes())
    done, (engine,), shown = evaluate(small, tmp_path / "out")
    assert [len(ids) for ids, *_ in engine.asked] == [4] and "step 3/3" in shown
    assert (tmp_path / "out" / "items" / "amc23.jsonl").read_bytes() == expected
    assert done.results.tasks[0].evaluation.correct == 10
    again, (engine,), _ = evaluate(small, tmp_path / "out")
    assert engine.asked == [] and again.results.for_scripts() == done.results.for_scripts()


def test_another_evaluation_in_the_same_folder_is_refused(evaluate, tmp_path):
    evaluate(small, tmp_path / "out", tasks=("amc23:2",))
    with pytest.raises(ValueError, match=r"another evaluation \(seed: 0 -> 1\): choose another out"):
        evaluate(small, tmp_path / "out", tasks=("amc23:2",), seed=1)
    with pytest.raises(ValueError, match=r"tasks\.amc23\.problems: 2 -> 3"):
        evaluate(small, tmp_path / "out", tasks=("amc23:3",))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine").write_text("mine")
    with pytest.raises(ValueError, match="holds something else: choose another folder with out"):
        evaluate(small, tmp_path / "other")


def test_comparison_on_the_same_items(evaluate, tmp_path, talker):
    done, engines, _ = evaluate(small, tmp_path / "out", compare=talker)
    assert engines[0].asked == engines[1].asked
    pair = done.results.tasks[0].comparison.paired
    assert (pair.first, pair.second, pair.p) == (10 / 12, 10 / 12, 1.0)
    assert (tmp_path / "out" / "other-items" / "amc23.jsonl").is_file()
    told = "\n".join(lines(done.results))
    assert "comparison, second less first" in told and "n for 5" in told
    assert f"first: {talker}; second: {talker}" in told and "+0.0 [" in told
    assert json.loads((tmp_path / "out" / "results.json").read_text())["tasks"][0]["comparison"]["p"] == 1.0


def test_a_comparison_of_one_problem_is_refused(evaluate, tmp_path, talker):
    with pytest.raises(ValueError, match="amc23: a comparison needs two problems at least"):
        evaluate(small, tmp_path / "out", tasks=("amc23:1",), compare=talker)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ({"tasks": ("arithmetic:8",)}, "arithmetic: accuracy 75.0 % [40.9, 92.9] on 8 problems (test split, greedy)"),
        (
            {"tasks": ("arithmetic:8",), "samples": 2, "temperature": 0.7},
            "arithmetic: avg@2 37.5 % [18.8, 50.0] on 8 problems x 2 answers (test split, temperature 0.7)",
        ),
    ],
)
def test_for_people(evaluate, changes, first):
    """Six of eight are answered rightly, by the first answer to each."""
    right = {problem.id for problem in Arithmetic().problems("test")[:6]}
    texts = {True: "<answer>{}</answer>", False: "no"}
    done, _, _ = evaluate(lambda one, member: texts[one.id in right and member == 0].format(one.gold), **changes)
    shown = lines(done.results)
    assert shown[0] == first
    traits = [line for line in shown if line.startswith("answers with ")]
    assert traits == ["answers with working: 0.0 %", "answers with self correction: 0.0 %"]
    assert any(line.startswith("mean length ") and "(right 18." in line and "wrong 2.0)" in line for line in shown)


def test_a_model_of_its_own_answers(talker, data, tmp_path):
    """The local engine, from end to end: random weights, so the text is rubbish."""
    request = request_of(subject=talker, tasks=("amc23:3",), data=data, samples=2, temperature=1.0, max_new_tokens=24)
    dones = [evaluate_on(request, tmp_path / name, screen=Screen(io.StringIO())) for name in ("one", "two")]
    assert dones[0].results.tasks[0].evaluation.problems == 3
    written = [(tmp_path / name / "items" / "amc23.jsonl").read_bytes() for name in ("one", "two")]
    assert written[0] == written[1] and b'"tokens": 24' in written[0]


class Page(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes = [], set()
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attributes}


def test_hostile_answers_reach_no_reader_as_more_than_text(evaluate, tmp_path, hostile):
    done, _, shown = evaluate(lambda problem, member: f"{hostile} \\boxed{{{hostile}}}", tmp_path / "out")
    printed = "\n".join(lines(done.results)) + shown
    assert all(character.isprintable() or character == "\n" for character in printed)
    for name in ("results.json", "results.md", "results.html", "model-card.md", "items/amc23.jsonl"):
        text = (tmp_path / "out" / name).read_text()
        assert all(character.isprintable() or character == "\n" for character in text), name
        assert name.startswith("items") or hostile not in text
    page = Page((tmp_path / "out" / "results.html").read_text())
    assert "script" not in page.tags and "img" not in page.tags
    assert page.attributes <= {
        *("lang", "charset", "http-equiv", "content", "name", "class", "scope", "role", "aria-label", "tabindex")
    }


def test_hostile_names_of_subjects_are_text_too(evaluate, tmp_path, hostile, monkeypatch):
    labelled = partial(Question, labels={"subject": hostile})
    monkeypatch.setattr("paring.evaluation.benchmarks.amc23.Question", labelled)
    done, _, _ = evaluate(small, tmp_path / "out")
    assert all(character.isprintable() or character == "\n" for character in "\n".join(lines(done.results)))
    page = Page((tmp_path / "out" / "results.html").read_text())
    assert "script" not in page.tags and "img" not in page.tags


def test_what_the_hub_takes(evaluate, tmp_path):
    from huggingface_hub import ModelCard, parse_eval_result_entries
    from yaml import safe_load

    evaluate(small, tmp_path / "out", tasks=("amc23:6",))
    (entry,) = parse_eval_result_entries(safe_load((tmp_path / "out" / ".eval_results" / "amc23.yaml").read_text()))
    assert (entry.dataset_id, entry.task_id, entry.value) == ("math-ai/amc23", "amc23", 100.0)
    assert "6 of 40 problems" in entry.notes and "boxed" in entry.notes
    card = ModelCard.load(tmp_path / "out" / "model-card.md")
    assert card.data.tags == ["paring"] and "AMC23" in card.text and "- [ ] its name and licence" in card.text


def test_what_does_not_fit_the_context_is_refused_before_any_answer(evaluate, tmp_path):
    with pytest.raises(ValueError, match="12 of 12 problems do not fit the model's context of 4096 tokens") as refused:
        evaluate(small, tmp_path / "out", max_new_tokens=4090)
    assert "lower max_new_tokens, or leave such problems out by long = 'skip'" in str(refused.value)
    assert "lower --max-new-tokens, or leave such problems out by --long skip" in refused.value.with_flags
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="do not fit the model's context of 128 tokens"):
        evaluate(small, tmp_path / "out", compare="embedded", max_new_tokens=64)
    with pytest.raises(ValueError, match="there is no such folder or file"):
        evaluate(small, tmp_path / "out", compare="./nothing")
    assert not (tmp_path / "out").exists()
