"""Signals among the processes of a run: none is lost, and one that is heard elsewhere is passed on."""

import signal
import threading
import time
from types import SimpleNamespace

import pytest
from torch.distributed import HashStore

from paring.runtime.interruption import Interrupted, Interruption, waiting
from paring.training.alarm import KEY, heard_by_all, is_to_end
from paring.training.world import World


def test_a_signal_that_comes_while_the_processes_agree_counts_in_the_next_meeting():
    with Interruption() as interruption:

        def met(word):
            signal.raise_signal(signal.SIGTERM)
            return word

        world = SimpleNamespace(first_of=met)
        assert not is_to_end(world, interruption), "the others have not heard it"
        assert is_to_end(world, interruption) and interruption.exit_code == 143


def test_a_signal_reaches_a_process_that_waits_and_is_told_to_the_others(monkeypatch):
    board = HashStore()
    monkeypatch.setattr("paring.training.wire.board", lambda: board)
    with Interruption() as interruption, heard_by_all(World(1, 2), interruption):
        threading.Timer(0.1, board.set, (KEY, "SIGINT")).start()
        with pytest.raises(Interrupted), waiting():
            time.sleep(30)
        assert interruption.exit_code == 130
    board = HashStore()
    with Interruption() as interruption, heard_by_all(World(0, 2), interruption):
        signal.raise_signal(signal.SIGHUP)
        assert board.get(KEY) == b"SIGHUP", "waits for it"
    assert not [thread.name for thread in threading.enumerate() if thread.name == "alarm"]
