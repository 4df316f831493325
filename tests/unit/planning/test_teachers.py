"""What an objective needs beside log-probs: by hand, and from a recipe."""

from dataclasses import replace

import pytest

from paring import load_run
from paring.planning import parts, teaching_parts
from paring.planning.estimate import estimate
from paring.planning.hardware import Machine
from paring.planning.job import Job, Rollouts
from paring.planning.plan import plan
from paring.planning.shapes import on_meta, shapes_of, targets_of
from paring.planning.teachers import TeacherModel, copies_of

WORK = Rollouts(problems=3, group=4, prompt=10, new_tokens=40, rows_at_once=512)


@pytest.fixture
def shapes(tiny):
    """hidden 32, MLP 48, 2 layers, 64 words: 19,616 parameters, of which 15,360 are linear modules'."""
    return shapes_of(on_meta(tiny().config))


@pytest.fixture
def job(tiny):
    return Job("lora", 4, targets_of(on_meta(tiny().config), "all-linear"), WORK, tokens_per_pass=2048)


def test_chunks_of_logits_beside_log_probs(shapes, job):
    # 3 x 4 x 40 predicted tokens: logits, log-probs and probabilities; of a teacher logits and log-probs.
    hidden = 480 * 32 * 4
    assert parts.logits(shapes, job) == 480 * 64 * 2 * 4 + 2 * hidden
    assert parts.logits(shapes, replace(job, beside="entropy")) == 480 * 64 * 3 * 4 + 3 * hidden
    assert parts.logits(shapes, replace(job, beside="divergence")) == 480 * 64 * 5 * 4 + 3 * hidden


def test_a_teacher_has_weights_and_hidden_states_and_a_pass(shapes, job):
    taught = replace(job, beside="divergence", teacher=TeacherModel(shapes, "none"))
    assert teaching_parts.teacher_weights(taught) == 4 * 19_616
    assert teaching_parts.teacher_weights(replace(taught, teacher=TeacherModel(shapes, "8bit"))) < 4 * 19_616
    assert teaching_parts.teacher_states(shapes, taught) == 480 * 32 * 4
    assert teaching_parts.teacher_states(shapes, replace(job, beside="divergence")) == 480 * 32 * 4  # it teaches itself
    assert teaching_parts.teacher_states(shapes, replace(taught, beside="nothing")) == 0
    row = job.largest_pass.tokens * (3 * 48 + 3 * 32) * 4
    assert teaching_parts.teacher_working(taught) == row
    assert teaching_parts.teacher_working(replace(taught, beside="nothing")) == row + parts.logits(shapes, job)
    assert teaching_parts.teacher_weights(job) == teaching_parts.teacher_working(job) == 0


def test_the_peak_has_it(shapes, job):
    machine = Machine("CPU", 10**9, 1000, reuses=True)
    large = replace(shapes, parameters=10**6, intermediate=10**5)
    taught_job = replace(job, beside="divergence", teacher=TeacherModel(large, "none"))
    alone, taught = (estimate(shapes, one, machine) for one in (job, taught_job))
    assert alone.parts["teacher"] == 0 and taught.moment == "teacher's pass"
    states = 480 * 32 * 4
    assert taught.parts["teacher"] == parts.base_weights(large, job) + states
    # Memory that one phase frees may stay with the process: then the pass counts beside the loss as well.
    kept = estimate(shapes, taught_job, replace(machine, reuses=False))
    assert kept.moment in ("loss", "backward")
    assert kept.parts["teacher"] == taught.parts["teacher"] + teaching_parts.teacher_working(taught_job)


def test_copies_of_earlier_steps_count_as_adapters(shapes, job):
    assert parts.adapters(shapes, replace(job, copies_kept=2)) == 3 * parts.adapters(shapes, job)
    itself = {"kind": "distillation", "teacher": "self", "reward_coef": 1.0}
    for settings, copies in (
        ({}, 0),
        ({"rollout.sync_every": 4}, 1),
        ({"rollout.ahead": 2, "rollout.truncate_ratio": 2.0}, 3),
        ({"objective": itself}, 1),
        ({"objective": itself | {"every": 1}}, 0),
        ({"adapter.start": "somewhere", "adapter.reference": "start"}, 1),
    ):
        assert copies_of(load_run("quickstart", **settings)) == copies, settings
    assert copies_of(load_run("sft-gsm8k-lora")) == 0


def test_a_recipe_with_entropies_or_a_teacher(tmp_path):
    def planned(**objective):
        return plan(load_run("quickstart", objective=objective), memory_gb=8)

    plain, entropic = planned(kind="rgra"), planned(kind="rgra", entropy_coef=0.01)
    assert entropic.job.beside == planned(kind="grpo", top_entropy=0.2).job.beside == "entropy"
    assert plain.job.beside == planned(kind="kl-cov").job.beside == "nothing"
    taught = planned(kind="distillation", teacher="embedded-chains")
    assert taught.job.beside == "divergence" and taught.own.parts["teacher"] > 4 * taught.job.teacher.shapes.parameters
    assert "teacher" in taught.as_plain()["kinds"]["lora"]["parts"]
    itself = planned(kind="distillation", teacher="self", reward_coef=1.0, exact=False)
    assert itself.job.beside == "nothing" and itself.own.parts["teacher"] == 0 and itself.job.teacher is None
    assert planned(kind="custom", path="mine.py:Own").job.beside == "nothing"
    with pytest.raises(ValueError, match=r"objective\.teacher = '.*nowhere'"):
        planned(kind="distillation", teacher=str(tmp_path / "nowhere"))
