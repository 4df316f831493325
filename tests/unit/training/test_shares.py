"""What cannot be divided among processes is refused in one clear message."""

import pytest

from paring.training.config import load_run
from paring.training.shares import check_processes

SERVED = {"rollout.engine": "served", "rollout.servers": ["http://127.0.0.1:9"], "parallel.shard": "layers"}


@pytest.mark.parametrize(
    ("changes", "processes", "words"),
    [
        ({}, 1, "one process: there is no other to divide the base with"),
        ({"rollout.engine": "local", "rollout.servers": []}, 2, 'rollout.engine = "local": a process that samples'),
        ({"model.quantisation": "4bit"}, 2, 'model.quantisation = "4bit": quantised weights are not divided'),
        ({"adapter.kind": "dora"}, 2, "DoRA measures whole weights"),
    ],
)
def test_what_cannot_be_sharded(changes, processes, words):
    with pytest.raises(ValueError, match=words):
        check_processes(load_run("quickstart", **SERVED | changes), processes)


def test_what_can_be_sharded():
    check_processes(load_run("quickstart", **SERVED), 2)
