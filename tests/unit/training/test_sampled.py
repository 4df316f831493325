"""A policy by sampled answers: by hand, however it is cut into passes, and without a trace in what is trained."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from paring import train
from paring.evaluation.measuring import measure
from paring.maths.repeated import pass_at
from paring.rollout.engine import Sampling
from paring.training.measures import kl_of_sample
from paring.training.sampled import _apart, sampled
from paring.training.setup import prepare
from paring.training.world import ALONE
from paring.types import Completion, Group, Key, Problem, Score


class Scripted:
    """Two problems of four answers: problem n has n + 1 right ones. A right answer has 2 tokens of -1 nat each, a wrong
    one 4 of -0.5, and the last of those is cut off."""

    name, reproduces = "scripted", "bytes"

    def problems(self, split):
        return [Problem(f"{n}", ({"role": "user", "content": ""},), "yes") for n in range(2)]

    def score(self, problem, text):
        return Score({"correct": float(text == "yes")}, text == "yes")

    def sample(self, problems, group_size, sampling, key):
        assert (sampling.temperature, key) == (1.0, Key(7, 0))
        right, wrong = Completion((1,) * 2, (-1.0,) * 2, "yes", True), Completion((1,) * 4, (-0.5,) * 4, "no", False)
        answers = [[right] * (int(one.id) + 1) + [wrong] * (3 - int(one.id)) for one in problems]
        return [Group(one, (1,), tuple(own[:group_size])) for one, own in zip(problems, answers, strict=True)]


def scripted(samples):
    """The arguments of `sampled` in a world of one."""
    run = SimpleNamespace(
        seed=7,
        evaluate=SimpleNamespace(samples=samples),
        rollout=SimpleNamespace(sampling=Sampling(max_new_tokens=4, temperature=1.0)),
        optimiser=SimpleNamespace(tokens_per_pass=100),
    )
    setup = SimpleNamespace(measuring_engine=Scripted, policy=SimpleNamespace(is_its_reference=True))

    def measured(engine, **how):
        return measure(engine, Scripted(), "test", limit=2, **how)

    return run, setup, measured


def test_by_hand():
    found = sampled(*scripted(4), ALONE)
    assert {k: rate.value for k, rate in found.pass_at.items()} == pytest.approx(
        {1: 3 / 8, 2: (pass_at(2, 1, 4) + pass_at(2, 2, 4)) / 2, 4: 1.0}
    )
    # 3 right answers and 5 wrong ones: 2 nats each, over 3 * 2 + 5 * 4 tokens.
    assert found.entropy == pytest.approx(16 / 26)
    assert (found.kl, found.length, found.truncated) == (0.0, 26 / 8, 5 / 8)
    assert str(found) == "pass@1 37.5 %, pass@4 100.0 %"


def test_one_answer_a_problem():
    found = sampled(*scripted(1), ALONE)
    assert [(k, rate.value) for k, rate in found.pass_at.items()] == [(1, 1.0)] and str(found) == "pass@1 100.0 %"


def test_the_divergence_does_not_depend_on_the_passes_and_is_that_of_the_journal(small_run, tmp_path):
    run = small_run({"steps": 2, "optimiser.lr": 0.01})
    train(run, tmp_path / "run")
    begun = replace(run.adapter, start=str(tmp_path / "run/adapter"))
    setup = prepare(replace(run, adapter=begun))
    groups = setup.engine.sample(setup.problems[:3], 2, run.rollout.sampling, Key(0, 5))
    parts = {size: _apart(setup.policy, groups, temperature=1.0, tokens_per_pass=size) for size in (1, 25, 2048)}
    assert parts[1] == pytest.approx(parts[2048], rel=1e-5) and parts[25] == pytest.approx(parts[2048], rel=1e-5)
    first = groups[:1] * 16  # the journal takes one completion in 16: here the first, once for each group
    journal = kl_of_sample(setup.policy, first, 1.0, ALONE)
    tokens = groups[0].completions[0].drawn
    alone = _apart(setup.policy, groups[:1], temperature=1.0, tokens_per_pass=2048)
    assert journal == pytest.approx(alone / tokens, rel=1e-5) and alone > 0


def test_a_run_that_samples_its_test_problems_trains_the_same(small_run, finished_run, tmp_path):
    train(small_run({"evaluate.samples": 4}), tmp_path / "run")
    assert (tmp_path / "run/adapter/adapter_model.safetensors").read_bytes() == (
        finished_run / "adapter/adapter_model.safetensors"
    ).read_bytes()
    ended = json.loads((tmp_path / "run/result.json").read_bytes())
    before, after = ended["before"]["sampled"], ended["after"]["sampled"]
    assert list(after["pass_at"]) == ["1", "2", "4"] and before["kl"] == 0 < after["kl"]
    shares = [rate["value"] for rate in after["pass_at"].values()]
    assert shares == sorted(shares) and after["samples"] == 4
    assert "sampled" not in json.loads((finished_run / "result.json").read_bytes())["after"]


def test_bounds(small_run):
    with pytest.raises(ValueError, match="evaluate.samples"):
        small_run({"evaluate.samples": -1})
