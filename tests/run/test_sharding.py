"""A base that is divided between two processes: the adapters that whole ones train, and an end for all faults."""

import json
import shutil
import signal

import pytest
from safetensors.torch import load_file

from paring.policy.loading import EMBEDDED
from paring.rollout.served.reference_server import Listening, Reference

SHARD = "parallel.shard=layers"
COMMON = ["threads=1", "evaluate.limit=1", "save.every=2", "optimiser.tokens_per_pass=200"]
EVERYTHING = [
    "objective.kind=grpo",
    "objective.kl_coef=0.05",
    "objective.entropy_coef=0.01",
    "objective.top_entropy=0.5",
    "rollout.updates=2",
    "rollout.minibatches=3",
    "rollout.sync_every=2",
    "rollout.problems=3",
    "rollout.group_size=4",
    "adapter.kind=l1ra",
    "adapter.rank=4",
    "adapter.events=3",
    "adapter.settle=0.3",
    "optimiser.lr=0.003",
    "optimiser.warmup=0",
    "optimiser.activations_gb=0.0001",
    "steps=6",
]
"""A minibatch has one problem, so that one process makes passes without a completion. Layers are computed again."""


@pytest.fixture(scope="module")
def served():
    with Listening(Reference(max_rank=32)) as server:
        yield ["train", "quickstart", *COMMON, "rollout.engine=served", f"rollout.servers=['{server.url}']"]


@pytest.fixture(scope="module")
def whole(paring_child, served, tmp_path_factory):
    """The folder of a run by two processes, each with the whole base."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert [one.code for one in paring_child(*served, *EVERYTHING, "--out", folder, ranks=2)] == [0, 0]
    return folder


def rows(folder, name="metrics.jsonl"):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def apart(one, other):
    ours, theirs = (load_file(folder / "adapter" / "adapter_model.safetensors") for folder in (one, other))
    assert ours.keys() == theirs.keys()
    return max(float((ours[name] - theirs[name]).abs().max()) for name in ours)


def share_held(note):
    """The numbers of "... holds 0.7 of 1.4 MB, ..."."""
    held, total = note.split("holds ")[1].split(" MB")[0].split(" of ")
    return float(held) / float(total)


def test_the_run_is_that_of_whole_bases_and_goes_on_after_a_kill(whole, served, paring_child, tmp_path):
    """KL, entropies, several updates, an older sampler, rank events. One process is killed in step 4, after the
    checkpoint of step 2; three divide the base from there, or one has it whole."""
    killed = {"ranks": 2, "rank": 1, "at": "paring.training.rl:improve", "call": 4}
    first, second = paring_child(*served, *EVERYTHING, SHARD, "--out", tmp_path / "run", **killed)
    assert second.code == -signal.SIGKILL
    assert first.code == 1 and "another process of this run has ended" in first.output, first.output
    [note] = [note for note in rows(tmp_path / "run")[0]["notes"] if "divided" in note]
    assert share_held(note) == pytest.approx(0.5, abs=0.1)
    shutil.copytree(tmp_path / "run", tmp_path / "alone")
    ended = paring_child("train", "--resume", tmp_path / "run", ranks=3)
    assert [one.code for one in ended] == [0] * 3, ended
    assert paring_child("train", "--resume", tmp_path / "alone", "parallel.shard=none").code == 0
    for folder in (tmp_path / "run", tmp_path / "alone"):
        assert apart(whole, folder) < 1e-3
        for ours, theirs in zip(rows(folder, "ranks.jsonl"), rows(whole, "ranks.jsonl"), strict=True):
            assert ours["ranks"] == theirs["ranks"]
        same = ("reward", "loss", "kl", "grad_norm", "entropy_exact", "ratio_max")
        for ours, theirs in zip(rows(folder), rows(whole), strict=True):
            assert {name: ours[name] for name in same} == pytest.approx(
                {name: theirs[name] for name in same}, rel=1e-3, abs=1e-5
            )
    identities = [json.loads((folder / "adapter" / "paring.json").read_text()) for folder in (whole, tmp_path / "run")]
    assert identities[0] == identities[1]


def test_supervised(paring_child, tmp_path):
    """Passes are not packed. The processes have rows of other lengths, and another number of passes."""
    data, recipe, model = tmp_path / "rows.jsonl", tmp_path / "sft.toml", tmp_path / "model"
    data.write_text(
        "".join(json.dumps({"prompt": f"{'1+' * n}1=", "completion": f"{n + 1}"}) + "\n" for n in range(24))
    )
    shutil.copytree(EMBEDDED, model)
    config = json.loads((model / "config.json").read_text()) | {"attention_chunk_size": 64}
    (model / "config.json").write_text(json.dumps(config))
    recipe.write_text(
        f'method = "sft"\nsteps = 2\nthreads = 1\nbatch = 5\nevaluate.limit = 1\ndata.data = "{data}"\n'
        f'model.path = "{model}"\noptimiser.tokens_per_pass = 100\n'
    )
    for name, shard in {"whole": [], "divided": [SHARD]}.items():
        ended = paring_child("train", recipe, *shard, "--out", tmp_path / name, ranks=2)
        assert [one.code for one in ended] == [0, 0], ended
    assert apart(tmp_path / "whole", tmp_path / "divided") < 1e-5
    after = [json.loads((tmp_path / name / "result.json").read_text())["after"] for name in ("whole", "divided")]
    assert after[0]["loss"] == pytest.approx(after[1]["loss"], rel=1e-5)


def test_a_signal_saves_a_divided_run_in_bf16_and_it_goes_on_to_the_same_bytes(paring_child, tmp_path):
    """Each layer is the same numbers once it is gathered, so that whole bases train to the same adapter."""
    data, recipe = tmp_path / "rows.jsonl", tmp_path / "sft.toml"
    data.write_text("".join(json.dumps({"prompt": f"{n}+1=", "completion": f"{n + 1}"}) + "\n" for n in range(24)))
    recipe.write_text(
        f'method = "sft"\nsteps = 4\nthreads = 1\nbatch = 4\nevaluate.limit = 1\ndata.data = "{data}"\n'
        'model.dtype = "bfloat16"\nsave.every = 1\n'
    )
    for name, shard in {"whole": [], "undisturbed": [SHARD]}.items():
        ended = paring_child("train", recipe, *shard, "--out", tmp_path / name, ranks=2)
        assert [one.code for one in ended] == [0, 0], ended
    assert apart(tmp_path / "whole", tmp_path / "undisturbed") < 1e-4
    sent = {"at": "paring.training.sft:sft_step", "call": 3, "signal": signal.SIGTERM}
    ended = paring_child("train", recipe, SHARD, "--out", tmp_path / "run", ranks=2, rank=1, **sent)
    assert [one.code for one in ended] == [143, 143], ended
    ended = paring_child("train", "--resume", tmp_path / "run", ranks=2)
    assert [one.code for one in ended] == [0, 0], ended
    undisturbed, own = (tmp_path / name / "adapter" / "adapter_model.safetensors" for name in ("undisturbed", "run"))
    assert own.read_bytes() == undisturbed.read_bytes()
