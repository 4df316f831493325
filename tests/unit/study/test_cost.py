"""What a study costs: a probe scaled to whole runs, and nothing left behind."""

import json

import pytest

from paring.adapters.kinds import check_events
from paring.study.cost import Probe, cost_table, probed, problems_measured, shortened
from paring.study.declaration import Tune
from paring.training.config import load_run


@pytest.mark.parametrize("kind", ["l1ra", "l1ra-reference", "sora", "adalora", "allocated", "dora"])
def test_every_kind_of_adapter_fits_a_short_run(kind):
    short = shortened(load_run("quickstart", **{"adapter.kind": kind}))
    check_events(short.adapter, short.steps)


def test_a_whole_run_from_its_first_steps():
    run = load_run(
        "quickstart", steps=50, **{"evaluate.limit": 10, "evaluate.validation_limit": 7, "evaluate.every": 20}
    )
    # Before and after 10 each, and after steps 20 and 40 7 each.
    assert problems_measured(run) == 34
    assert Probe(start_up=3.0, step=0.5, tokens=80.0, problem=0.1).seconds(run) == pytest.approx(3 + 25 + 3.4)
    at_end = load_run(
        "quickstart", **{"evaluate.limit": 10, "evaluate.validation_limit": 7, "evaluate.validation_at_end": True}
    )
    assert problems_measured(at_end) == 27


def test_a_limit_beyond_the_split_counts_the_split():
    run = load_run("smollm2-arithmetic", **{"evaluate.limit": 10_000})
    assert problems_measured(run) == 2 * len(run.task.problems("test"))


def test_a_probe_is_the_same_run_but_short():
    run = load_run("rl-arithmetic-l1ra", **{"evaluate.every": 5})
    short = shortened(run)
    assert (short.steps, short.adapter.events, short.evaluate.every, short.save.every) == (3, 1, 0, 0)
    assert (short.rollout, short.objective, short.task, short.optimiser) == (
        run.rollout,
        run.objective,
        run.task,
        run.optimiser,
    )


def test_a_probe_measures_steps_and_answers(small_course, here, tmp_path):
    found = probed(small_course().final[0], here())
    assert found.step > 0 and found.problem > 0 and found.start_up >= 0
    # 3 problems x 4 answers of 1 to 32 tokens.
    assert 12 <= found.tokens <= 12 * 32
    assert list(tmp_path.iterdir()) == []


def test_the_table_counts_all_runs_and_writes_nothing(small_course, here, tmp_path):
    course = small_course(seeds=(0, 1), tune=Tune(values=(1e-3, 2e-3)))
    lines = cost_table(course, here(), probing=here()).splitlines()
    assert lines[0].split() == ["runs", "steps", "tokens", "s", "a", "step", "time", "memory", "GB"]
    assert lines[2].split()[:3] == ["rgra", "4", "8"] and lines[3].split()[:3] == ["all", "4", "8"]
    assert lines[-1] == "nothing was written" and list(tmp_path.iterdir()) == []


def test_a_probe_that_does_not_end_well_is_an_error(small_course, here, tmp_path):
    course = small_course(common={"model.path": str(tmp_path / "nothing")})
    with pytest.raises(ValueError, match="the probe of rgra/seed-0 ended with code 1: .*no such folder"):
        probed(course.final[0], here())


def test_plain_values_of_a_probe_can_be_sent(small_course):
    from paring.training.config import as_plain

    assert json.loads(json.dumps(as_plain(shortened(small_course().final[0].run))))["steps"] == 3
