"""A run on several processes: the model that one process trains, the same on all, and an end in time for all faults."""

import json
import signal
import time

import pytest
from safetensors.torch import load_file

from paring.rollout.served.reference_server import Listening, Reference

COMMON = [
    "threads=1",
    "rollout.problems=4",
    "rollout.group_size=4",
    "evaluate.limit=3",
    "save.every=2",
    "optimiser.tokens_per_pass=200",
]
RL = ["train", "quickstart", *COMMON]
EVERYTHING = [
    "objective.kind=grpo",
    "objective.kl_coef=0.05",
    "rollout.updates=2",
    "rollout.minibatches=3",
    "rollout.sync_every=2",
    "rollout.redraws=2",
]
L1RA = ["adapter.kind=l1ra", "adapter.rank=4", "adapter.events=3", "adapter.settle=0.3"]
L1RA += ["steps=6", "optimiser.lr=0.003", "optimiser.warmup=0"]
RUNS = {"lora": ["steps=5"], "everything": ["steps=3", *EVERYTHING, "optimiser.tokens_per_pass=2000"], "l1ra": L1RA}
SAME = ("reward", "accuracy", "length", "loss", "kl", "clip_fraction", "ratio_high", "grad_norm", "redrawn", "tokens")

NAN = """
import os
from itertools import count
from paring.maths.objectives import Rgra
from paring.maths.advantages import standardised
from paring.maths.objective import Objective

passes = count(1)

class Sick(Objective):
    def advantage(self, outcome):
        return standardised(outcome.reward_PG)

    def gain(self, logp, advantage_B1, mask_BT):
        is_sick = os.environ.get("RANK") == "1" and bool(mask_BT.any()) and next(passes) == 3
        return advantage_B1 * logp.policy_BT * (float("nan") if is_sick else 1.0)
"""
SLOW = """
import os, signal, time

if os.environ.get("RANK") == "0":
    with open({told!r} + ".first", "w") as file:
        file.write(str(os.getpid()))

def reward(completions, **_):
    if os.environ.get("RANK") == "1":
        with open({told!r}, "w") as file:
            file.write(str(time.time()))
        os.kill(int(open({told!r} + ".first").read()), signal.SIGINT)
        time.sleep(60)
    return [1.0 if "1" in text else 0.0 for text in completions]
"""

JUDGED = """
import os

def reward(completions, **_):
    with open({told!r}, "a") as file:
        file.write("".join(os.environ.get("RANK", "-") + " " for _ in completions))
    return [1.0 if "1" in text else 0.0 for text in completions]
"""


def rows(folder, name="metrics.jsonl"):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def adapter(folder):
    return load_file(folder / "adapter" / "adapter_model.safetensors")


def apart(one, other):
    ours, theirs = adapter(one), adapter(other)
    assert ours.keys() == theirs.keys()
    return max(float((ours[name] - theirs[name]).abs().max()) for name in ours)


@pytest.fixture(scope="module")
def overrides(tmp_path_factory):
    """Those of each run. Redraws look at all problems before the run, so theirs are few."""
    place = tmp_path_factory.mktemp("task")
    (place / "reward.py").write_text(SLOW.format(told="").replace('"0":', '"none":').replace('"1":', '"none":'))
    (place / "data.jsonl").write_text("".join(json.dumps({"prompt": f"{n}+1="}) + "\n" for n in range(24)))
    few = [f"task.reward={place / 'reward.py'}:reward", f"task.data={place / 'data.jsonl'}"]
    return RUNS | {"everything": [*RUNS["everything"], *few]}


@pytest.fixture(scope="module")
def alone(tmp_path_factory, paring_child, overrides):
    """The folder of a run by one process."""
    known = {}

    def of(name):
        if name not in known:
            known[name] = tmp_path_factory.mktemp("alone") / "run"
            ended = paring_child(*RL, *overrides[name], "--out", known[name])
            assert ended.code == 0, ended.output
        return known[name]

    return of


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_train_what_one_does(name, overrides, alone, paring_child, tmp_path):
    """The adapters are compared by their hashes among the processes at each save: the run ends where they differ."""
    first, second = paring_child(*RL, *overrides[name], "--out", tmp_path / "run", ranks=2)
    assert (first.code, second.code, second.output) == (0, 0, ""), first.output + second.output
    one, two = alone(name), tmp_path / "run"
    for ours, theirs in zip(rows(two), rows(one), strict=True):
        assert {key: ours[key] for key in SAME if key in ours} == pytest.approx(
            {key: theirs[key] for key in SAME if key in theirs}, rel=1e-3, abs=1e-5
        )
    answers = [[(row["completion"], row["reward"]) for row in rows(folder, "samples.jsonl")] for folder in (one, two)]
    assert answers[0] == answers[1]
    assert apart(one, two) < (1e-5 if name != "l1ra" else 1e-3)
    if name == "l1ra":
        events = [
            [{key: row[key] for key in ("step", "ranks", "pruned", "grown")} for row in rows(folder, "ranks.jsonl")]
            for folder in (one, two)
        ]
        assert len(events[0]) == 3 and events[0] == events[1]
        assert any(row["grown"] for row in events[0]) and any(row["pruned"] for row in events[0])
    if name == "everything":
        assert sum(row["redrawn"] for row in rows(two)) > 0
        assert max(row["staleness"] for row in rows(two)) == 1
    assert json.loads((two / "result.json").read_text())["processes"] == 2


def test_each_process_asks_servers_for_its_problems(paring_child, tmp_path):
    """The first one publishes; equal keys give equal tokens, whoever asks."""
    judged = tmp_path / "judged"
    (tmp_path / "reward.py").write_text(JUDGED.format(told=str(judged)))
    (tmp_path / "data.jsonl").write_text("".join(json.dumps({"prompt": f"{n}+1="}) + "\n" for n in range(24)))
    task = [f"task.reward={tmp_path / 'reward.py'}:reward", f"task.data={tmp_path / 'data.jsonl'}"]
    with Listening(Reference()) as server:
        served = [*RL, *EVERYTHING, *task, "rollout.engine=served", f"rollout.servers=['{server.url}']", "steps=3"]
        assert paring_child(*served, "--out", tmp_path / "one").code == 0
        alone = judged.read_text().split()
        judged.unlink()
        first, second = paring_child(*served, "--out", tmp_path / "two", ranks=2)
        assert (first.code, second.code, second.output) == (0, 0, ""), first.output + second.output
        assert not server.reference.loaded and not (tmp_path / "two" / "published").exists()
    shares = judged.read_text().split()
    assert len(shares) == len(alone) and abs(shares.count("0") - shares.count("1")) <= len(shares) / 4
    answers = [[row["completion"] for row in rows(tmp_path / run, "samples.jsonl")] for run in ("one", "two")]
    assert answers[0] == answers[1]
    assert apart(tmp_path / "one", tmp_path / "two") < 1e-5
    one, two = (rows(tmp_path / run) for run in ("one", "two"))
    assert [row["redrawn"] for row in one] == [row["redrawn"] for row in two] and any(row["redrawn"] for row in one)
    assert all(0 < row["canary_gap"] < 1e-3 for row in two)


def test_supervised(paring_child, tmp_path):
    data, recipe = tmp_path / "rows.jsonl", tmp_path / "sft.toml"
    data.write_text("".join(json.dumps({"prompt": f"{n}+1=", "completion": f"{n + 1}"}) + "\n" for n in range(24)))
    recipe.write_text(f'method = "sft"\nsteps = 3\nthreads = 1\nbatch = 5\nevaluate.limit = 3\ndata.data = "{data}"\n')
    assert paring_child("train", recipe, "--out", tmp_path / "one").code == 0
    ended = paring_child("train", recipe, "--out", tmp_path / "two", ranks=2)
    assert [one.code for one in ended] == [0, 0], ended
    assert apart(tmp_path / "one", tmp_path / "two") < 1e-5
    losses = [json.loads((tmp_path / name / "result.json").read_text())["after"]["loss"] for name in ("one", "two")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_one_is_killed_and_the_run_goes_on_with_another_number(alone, paring_child, tmp_path):
    """Killed in step 4 of 5, after the checkpoint of step 2: the other ends at once, and four processes take over."""
    started = time.monotonic()
    first, second = paring_child(
        *RL, *RUNS["lora"], "--out", tmp_path / "run", ranks=2, rank=1, at="paring.training.rl:improve", call=4
    )
    assert time.monotonic() - started < 60
    assert second.code == -signal.SIGKILL
    assert first.code == 1 and "another process of this run has ended" in first.output and "--resume" in first.output
    ended = paring_child("train", "--resume", tmp_path / "run", ranks=4)
    assert [one.code for one in ended] == [0] * 4, ended
    assert "processes" in ended[0].output, "it is said that their number has changed"
    assert apart(alone("lora"), tmp_path / "run") < 1e-5


def test_numbers_that_are_not_finite_on_one_drop_the_step_on_all(paring_child, tmp_path):
    (tmp_path / "sick.py").write_text(NAN)
    custom = ["objective.kind=custom", f"objective.path={tmp_path / 'sick.py'}:Sick", "optimiser.tokens_per_pass=9999"]
    first, second = paring_child(*RL, *custom, "steps=4", "--out", tmp_path / "run", ranks=2)
    assert (first.code, second.code) == (0, 0), first.output + second.output
    dropped = [row["dropped_steps"] for row in rows(tmp_path / "run")]
    assert dropped[-1] == 1 and [row["updates"] for row in rows(tmp_path / "run")][-1] == 3
    resumed = paring_child("train", "--resume", tmp_path / "run", "steps=5")
    assert resumed.code == 0, "one process goes on with what two have made"


def test_an_interruption_of_one_ends_all(paring_child, tmp_path):
    """While one process computes a reward, and the other, to which the signal comes, waits for it."""
    told = tmp_path / "told"
    (tmp_path / "slow.py").write_text(SLOW.format(told=str(told)))
    (tmp_path / "data.jsonl").write_text("".join(json.dumps({"prompt": f"{n}+1="}) + "\n" for n in range(24)))
    task = [f"task.reward={tmp_path / 'slow.py'}:reward", f"task.data={tmp_path / 'data.jsonl'}"]
    ended = paring_child(*RL, *task, "steps=4", "--out", tmp_path / "run", ranks=2)
    seconds = time.time() - float(told.read_text())
    assert [one.code for one in ended] == [130, 130], ended
    assert seconds < 10, "2 seconds, on a machine that is not shared"
    assert "go on with" in ended[0].output and ended[1].output == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["adapter.dropout=0.1"], "adapter.dropout with 2 processes"),
        (["rollout.problems=1"], "2 processes for rollout.problems = 1"),
        (["rollout.engine=served"], "with 2 processes and no servers"),
    ],
)
def test_what_cannot_be_divided_is_refused_by_one_voice(changes, words, paring_child, tmp_path):
    first, second = paring_child(*RL, *changes, "--out", tmp_path / "run", ranks=2)
    assert (first.code, second.code) == (2, 2)
    assert first.output.count(words) == 1 and second.output == ""
    assert not (tmp_path / "run").exists()
