"""Code of the user's own cannot end a run, move it to another folder, or come back from a fork as a second one."""

import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from paring.settings import guard
from paring.settings.guard import TimeIsUp, guarded
from paring.settings.output import MOST_OUTPUT
from paring.settings.own_code import function_in


def test_it_cannot_end_the_process():
    with pytest.raises(ValueError, match=r"my.py called sys.exit\(0\), which would end the run"), guarded("my.py"):
        sys.exit(0)
    leave = os._exit
    with pytest.raises(ValueError, match=r"called os._exit\(0\), which would end the run"), guarded("my.py"):
        os._exit(0)
    assert os._exit is leave


def test_an_interruption_is_one_only_where_a_signal_has_come():
    with pytest.raises(ValueError, match=r"^my.py raised KeyboardInterrupt, which would end the run"), guarded("my.py"):
        raise KeyboardInterrupt
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), guarded("my.py"):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is handler


def test_it_comes_back_to_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    with guarded("my.py"):
        os.chdir("other")
    assert os.getcwd() == str(tmp_path)


def test_a_forked_child_that_comes_back_is_ended():
    program = (
        "import os\nfrom paring.settings.guard import guarded\n"
        "with guarded('my.py'):\n    child = os.fork()\n"
        "assert child, 'the child went on'\nprint(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "1\n" and ended.stderr == "my.py forked a process that came back: it is ended here\n"


def test_a_long_wait_is_said(monkeypatch, capfd):
    monkeypatch.setattr(guard, "SLOW_SECONDS", 0.05)
    with guarded("my.py"):
        guard.threading.Event().wait(0.2)
    assert "waiting for my.py: " in capfd.readouterr().err


def test_a_file_is_a_module_like_any_other(tmp_path):
    """Data classes and processes look a module up by its name."""
    (tmp_path / "mine.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass C:\n    x: int = 1\ndef reward(**_): return [C().x]\n"
    )
    reward = function_in(f"{tmp_path}/mine.py:reward", setting="task.reward", example="my.py:reward")
    assert reward() == [1] and sys.modules[reward.__module__].reward is reward


def test_files_beside_it_can_be_imported_and_its_functions_travel_to_other_processes(tmp_path):
    """A process that starts anew finds the module by its own name."""
    (tmp_path / "beside_it.py").write_text("VALUE = 7\n")
    (tmp_path / "travelling.py").write_text("from beside_it import VALUE\ndef reward(**_): return [VALUE]\n")
    reward = function_in(f"{tmp_path}/travelling.py:reward", setting="task.reward", example="my.py:reward")
    program = "import pickle, sys; sys.path = eval(sys.argv[1]); print(pickle.loads(eval(sys.argv[2]))())"
    given = [sys.executable, "-c", program, repr(sys.path), repr(pickle.dumps(reward))]
    assert subprocess.run(given, capture_output=True, text=True, check=True).stdout == "[7]\n"


def test_a_file_never_takes_the_place_of_another_module(tmp_path):
    (tmp_path / "json.py").write_text("def reward(**_): return [1]\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "json.py").write_text("def reward(**_): return [2]\n")
    paths = [f"{tmp_path}/json.py:reward", f"{tmp_path}/other/json.py:reward"]
    functions = [function_in(path, setting="task.reward", example="my.py:reward") for path in paths]
    assert [function() for function in functions] == [[1], [2]] and "dumps" in dir(sys.modules["json"])


def _sleeps():
    time.sleep(60)


def _spins():
    while True:
        pass


def _backtracks():
    re.match(r"(a+)+$", "a" * 40 + "b")


def _takes_all_exceptions():
    while True:
        try:
            time.sleep(60)
        except Exception:
            pass


@pytest.mark.parametrize("hanging", [_sleeps, _spins, _backtracks, _takes_all_exceptions])
def test_its_time_is_limited(hanging):
    begun, before = time.monotonic(), signal.getsignal(signal.SIGPROF)
    with pytest.raises(TimeoutError, match=r"my.py has taken longer than 0.2 s"), guarded("my.py", seconds=0.2):
        hanging()
    assert time.monotonic() - begun < 5 and signal.getsignal(signal.SIGPROF) is before


def test_its_time_is_limited_in_another_thread_too():
    seen = []

    def called():
        try:
            with guarded("my.py", seconds=0.2):
                while True:
                    time.sleep(0.01)
        except TimeoutError as error:
            seen.append(error)

    thread = threading.Thread(target=called)
    thread.start()
    thread.join(10)
    assert len(seen) == 1


def test_calls_from_two_threads_follow_one_another():
    """What is put back afterwards belongs to the process."""
    leave, inside, most = os._exit, [], []

    def called():
        with guarded("my.py"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.05)
            inside.pop()

    threads = [threading.Thread(target=called) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1] and os._exit is leave


def test_what_catches_its_end_ends_the_process_and_says_so():
    program = (
        "import time\nfrom paring.settings import guard\nguard.GRACE_SECONDS = 0.5\n"
        "with guard.guarded('my.py', seconds=0.2):\n"
        "    while True:\n        try: time.sleep(1)\n        except BaseException: pass"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1 and "my.py does not end 0.5 s after its time limit of 0.2 s: ended" in ended.stderr


def test_without_a_limit_nothing_is_raised(monkeypatch):
    with guarded("my.py", seconds=0):
        time.sleep(0.05)
    assert issubclass(TimeIsUp, BaseException) and not issubclass(TimeIsUp, Exception)


def test_its_output_is_bounded_and_counted(capsys):
    with guarded("my.py"):
        print("x" * 10_000)
        print("y" * 100_000, file=sys.stderr)
    out, err = capsys.readouterr()
    assert out == "x" * MOST_OUTPUT
    assert "my.py wrote 102,002 characters more in one call: left out" in err


def test_handlers_of_signals_are_put_back(capsys):
    before = signal.getsignal(signal.SIGTERM)
    with guarded("my.py"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGTERM) is before
    assert "my.py changed what SIGTERM does: put back" in capsys.readouterr().err


def test_threads_that_it_leaves_are_named_and_do_not_keep_the_process():
    program = (
        "import threading, time\nfrom paring.settings import guard\nguard.GRACE_SECONDS = 0.3\n"
        "with guard.guarded('my.py'):\n"
        "    threading.Thread(target=time.sleep, args=(60,), name='lost').start()\n"
        "guard.end_in_time(7)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 7
    assert "my.py left threads running: lost" in ended.stderr and "The process ends without them" in ended.stderr
