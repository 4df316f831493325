"""Code of the user's own cannot end a run, move it to another folder, or come back from a fork as a second one."""

import os
import subprocess
import sys

import pytest

from paring.settings import own_code
from paring.settings.own_code import function_in, guarded


def test_it_cannot_end_the_process():
    with pytest.raises(ValueError, match=r"my.py called sys.exit\(0\), which would end the run"), guarded("my.py"):
        sys.exit(0)
    leave = os._exit
    with pytest.raises(ValueError, match=r"called os._exit\(0\), which would end the run"), guarded("my.py"):
        os._exit(0)
    assert os._exit is leave


def test_it_comes_back_to_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    with guarded("my.py"):
        os.chdir("other")
    assert os.getcwd() == str(tmp_path)


def test_a_forked_child_that_comes_back_is_ended():
    program = (
        "import os\nfrom paring.settings.own_code import guarded\n"
        "with guarded('my.py'):\n    child = os.fork()\n"
        "assert child, 'the child went on'\nprint(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "1\n" and ended.stderr == "my.py forked a process that came back: it is ended here\n"


def test_a_long_wait_is_said(monkeypatch, capfd):
    monkeypatch.setattr(own_code, "SLOW_SECONDS", 0.05)
    with guarded("my.py"):
        own_code.threading.Event().wait(0.2)
    assert "waiting for my.py: " in capfd.readouterr().err


def test_a_file_is_a_module_like_any_other(tmp_path):
    """Data classes and processes look a module up by its name."""
    (tmp_path / "mine.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass C:\n    x: int = 1\ndef reward(**_): return [C().x]\n"
    )
    reward = function_in(f"{tmp_path}/mine.py:reward", setting="task.reward", example="my.py:reward")
    assert reward() == [1] and sys.modules[reward.__module__].reward is reward
