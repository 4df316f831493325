"""Signals: a request first, an end at the second, the old handlers back afterwards."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from paring.runtime.interruption import Interrupted, Interruption, check_interrupted, given_up_by, waiting
from paring.settings.guard import guarded


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
            time.sleep(0.4)  # the same signal at once is an echo, such as `timeout` makes
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


def test_a_wait_is_given_up_and_other_work_is_not():
    with Interruption() as interruption:
        with pytest.raises(Interrupted), waiting():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        assert interruption.requested == "SIGTERM"
        with pytest.raises(Interrupted), waiting():
            raise AssertionError("a wait does not begin once the end is asked for")


def test_a_thread_is_given_up_and_others_are_not():
    event = threading.Event()
    with given_up_by(event):
        check_interrupted()
        event.set()
        with pytest.raises(Interrupted, match="given up"):
            check_interrupted()
        others = threading.Thread(target=check_interrupted)
        others.start()
        others.join()
    check_interrupted()


def test_a_save_is_asked_for_by_signal_or_by_file_and_ends_nothing(tmp_path, capfd):
    file = tmp_path / "save-now"

    def said() -> bool:
        latest = time.monotonic() + 20  # it is looked for twice a second, where the machine has time for it
        while time.monotonic() < latest:
            if "saving after the step in hand, then going on" in capfd.readouterr().err:
                return True
            time.sleep(0.05)
        return False

    with Interruption(save_file=file) as interruption:
        assert not interruption.save_asked
        os.kill(os.getpid(), signal.SIGUSR1)
        assert interruption.save_asked and interruption.requested is None and said()
        interruption.saved()
        assert not interruption.save_asked
        file.touch()  # a second wish soon after the first is answered as well
        assert interruption.save_asked and said()
        interruption.saved()
        assert not file.exists() and not interruption.save_asked


def test_what_is_heard_is_said_before_it_is_done(capfd):
    """Also where the main thread is faster than the one that speaks."""
    with Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGUSR1)
        interruption.saved()
        os.kill(os.getpid(), signal.SIGTERM)
    saving, ending = capfd.readouterr().err.splitlines()
    assert saving == "saving after the step in hand, then going on"
    assert ending.startswith("SIGTERM: saving, then ending; ")


def test_it_speaks_within_a_second_although_the_main_thread_is_busy(tmp_path, exit_code_of_child):
    """The interpreter runs no handler while one call into C lasts; the words come all the same."""

    def be_busy():
        log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
        os.dup2(log, 2)
        with Interruption("2 steps"):
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
            threading.Timer(0.6, os.kill, (os.getpid(), signal.SIGINT)).start()
            while True:
                sum(itertools.repeat(1, 2**22))

    assert exit_code_of_child(be_busy) == 143
    first, last = (tmp_path / "log").read_text().splitlines()
    assert first.startswith("SIGTERM: saving, then ending; ") and first.endswith(" ends at once and loses 2 steps")
    assert last == "ended at once; lost: 2 steps"


@pytest.mark.parametrize("twice", ["SIGHUP", "SIGTERM"])
def test_an_echo_is_no_second_request(twice):
    with Interruption() as interruption:
        for _ in range(2):
            os.kill(os.getpid(), signal.Signals[twice])
        assert interruption.requested == twice


def test_a_signal_that_another_process_has_heard_gives_up_a_wait_and_is_no_first_one():
    """The scheduler sends it to each process, some time later."""
    with Interruption() as interruption:
        threading.Timer(0.1, interruption.hear_of, ("SIGTERM",)).start()
        with pytest.raises(Interrupted), waiting():
            time.sleep(30)
        assert (interruption.heard, interruption.exit_code) == ("SIGTERM", 143)
        time.sleep(0.4)
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.requested == "SIGTERM", "no second signal, at which this process would be gone"


def test_a_forked_child_can_be_terminated():
    with Interruption():
        child = os.fork()
        if child == 0:
            time.sleep(30)
            os._exit(0)
        time.sleep(0.1)
        os.kill(child, signal.SIGTERM)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGTERM


def test_what_is_ignored_stays_so():
    """A run that nohup started goes on when its terminal closes."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            os.kill(os.getpid(), signal.SIGHUP)
            assert interruption.requested is None
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_output_without_a_reader_is_a_request():
    with Interruption() as interruption:
        interruption.end_without_reader()
        assert (interruption.requested, interruption.exit_code) == ("SIGPIPE", 141)


TERMINATED_AT_ONCE = """
import os, signal, time
from paring.runtime.interruption import Interruption

with Interruption() as interruption:
    for _ in range(60):
        child = os.fork()
        if child == 0:
            time.sleep(60)
        os.kill(child, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
    time.sleep(0.1)
    assert interruption.requested is None and not interruption._told
"""


def test_a_child_terminated_at_once_is_no_signal_of_its_parent():
    """In a process without torch, which is forked in a hundredth of the time."""
    subprocess.run([sys.executable, "-c", TERMINATED_AT_ONCE], check=True)


def test_the_second_signal_ends_code_of_the_user_s_too(exit_code_of_child):
    def be_interrupted_twice():
        with Interruption(), guarded("my.py:reward"):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.4)
            os.kill(os.getpid(), signal.SIGINT)

    assert exit_code_of_child(be_interrupted_twice) == 143
