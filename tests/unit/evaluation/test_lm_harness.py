"""lm-evaluation-harness with our engine: a local task, its figures, and what is refused."""

import json

import pytest

lm_eval = pytest.importorskip("lm_eval")

from paring.evaluation.measuring import measure  # noqa: E402
from paring.rollout.engine import Sampling  # noqa: E402
from paring.rollout.local import LocalEngine  # noqa: E402
from paring.subjects.lm_harness import PolicyUnderTest, _up_to  # noqa: E402
from paring.subjects.opening import open_subject  # noqa: E402
from paring.tasks.arithmetic import Arithmetic  # noqa: E402

TASK = """
task: sums
dataset_path: json
dataset_kwargs:
  data_files: {{test: {data}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "<answer>{{{{answer}}}}</answer>"
generation_kwargs: {{until: ["\\n"], do_sample: false, max_gen_toks: 24}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
"""
NUMBER = 24


@pytest.fixture
def manager(tmp_path, monkeypatch):
    """A task file of the first test problems of `arithmetic`."""
    from lm_eval.tasks import TaskManager

    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    rows = [{"question": p.messages[0]["content"], "answer": p.gold} for p in Arithmetic().problems("test")[:NUMBER]]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "sums.yaml").write_text(TASK.format(data=tmp_path / "sums.jsonl"))
    return TaskManager(include_path=str(tmp_path), include_defaults=False)


def test_the_harness_counts_as_many_right_as_we_do(manager):
    found = lm_eval.simple_evaluate(
        model="paring",
        model_args="model=embedded,rows=8",
        tasks=["sums"],
        task_manager=manager,
        apply_chat_template=True,
        bootstrap_iters=0,
    )
    sampling = Sampling(max_new_tokens=24, temperature=0.0)
    ours, items = measure(
        LocalEngine(open_subject("embedded").policy), Arithmetic(), "test", limit=NUMBER, sampling=sampling
    )
    bare = [item.answers[0].text == f"<answer>{item.gold}</answer>" for item in items]
    assert found["results"]["sums"]["exact_match,none"] == sum(bare) / NUMBER
    assert 0 < sum(bare) <= ours.correct


@pytest.mark.parametrize(
    ("text", "stops", "kept"),
    [
        ("a\nb", ("\n",), "a"),
        ("abc", ("c", "b"), "a"),
        ("abc", ("", "x"), "abc"),
        ("abc", (), "abc"),
    ],
)
def test_answers_end_at_the_first_stop_text(text, stops, kept):
    assert _up_to(text, stops) == kept


def test_what_is_refused():
    from lm_eval.api.instance import Instance

    with pytest.raises(ValueError, match="model_args: pretrained: unknown; there are model, seed and rows"):
        PolicyUnderTest("embedded", pretrained="x")
    model = PolicyUnderTest("embedded")
    with pytest.raises(NotImplementedError, match="--model paring answers tasks that generate"):
        model.loglikelihood([])
    beams = Instance("generate_until", {}, ("17+1+1=", {"until": [], "num_beams": 4}), 0)
    with pytest.raises(ValueError, match="generation_kwargs: num_beams: unknown here"):
        model.generate_until([beams])
