"""Signals: a request first, an end at the second, the old handlers back afterwards."""

import os
import signal
import threading

import pytest

from paring.runtime.interruption import Interruption


@pytest.mark.parametrize("name, code", [("SIGINT", 130), ("SIGTERM", 143)])
def test_the_first_signal_is_a_request(name, code):
    with Interruption() as interruption:
        assert (interruption.requested, interruption.exit_code) == (None, 0)
        os.kill(os.getpid(), signal.Signals[name])
        assert (interruption.requested, interruption.exit_code) == (name, code)
    assert (interruption.requested, interruption.exit_code) == (name, code)


@pytest.mark.parametrize(
    "first, second, code", [("SIGINT", "SIGINT", 130), ("SIGTERM", "SIGTERM", 143), ("SIGINT", "SIGTERM", 130)]
)
def test_the_second_signal_ends_the_process_at_once(tmp_path, exit_code_of_child, first, second, code):
    def be_interrupted_twice():
        with Interruption() as interruption:
            os.kill(os.getpid(), signal.Signals[first])
            (tmp_path / "first").write_text(interruption.requested)
            os.kill(os.getpid(), signal.Signals[second])
            (tmp_path / "second").write_text("still alive")

    assert exit_code_of_child(be_interrupted_twice) == code
    assert os.listdir(tmp_path) == ["first"]


def test_handlers_are_put_back_also_after_an_error():
    def mine(number, frame):
        raise AssertionError("not called")

    before = signal.signal(signal.SIGTERM, mine)
    try:
        with pytest.raises(ZeroDivisionError), Interruption():
            assert signal.getsignal(signal.SIGTERM) is not mine
            raise ZeroDivisionError
        assert signal.getsignal(signal.SIGTERM) is mine
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_outside_the_main_thread_nothing_is_changed():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work():
        with Interruption() as interruption:
            seen.append((signal.getsignal(signal.SIGINT), interruption.requested))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(before, None)]
    assert signal.getsignal(signal.SIGINT) is before
