"""Freed memory stays with the process: seen by the page faults of a block taken a second time."""

import os
import subprocess
import sys

import pytest

from paring.policy.loading import Model, load_base
from paring.runtime.memory import ask_for_large_pages

TAKE_TWICE = """
import ctypes, resource, sys
from paring.runtime.memory import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]


def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def take(size):
    before = faults()
    block = libc.malloc(size)
    libc.memset(block, 1, size)
    libc.free(block)
    return faults() - before


take(200_000_000)
print(take(200_000_000))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_a_large_block_is_not_fetched_anew():
    kept, given_back = (
        int(subprocess.run([sys.executable, "-c", TAKE_TWICE, how], capture_output=True, text=True, check=True).stdout)
        for how in ("keep", "give back")
    )
    assert kept < 100 < given_back


HOLES = """
import ctypes
from pathlib import Path
from paring.runtime.memory import give_back_freed_memory, keep_freed_memory

keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


blocks = [libc.malloc(size) for _ in range(20) for size in (10_000_000, 1000)]
for block in blocks[::2]:
    libc.memset(block, 1, 10_000_000)
for block in blocks[::2]:
    libc.free(block)  # 20 holes between small blocks that stay
before = resident()
give_back_freed_memory()
print(before - resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_holes_are_given_back_on_demand():
    given = int(subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=True).stdout)
    assert given > 150_000_000


def test_large_pages_are_asked_for_when_a_model_is_loaded(monkeypatch):
    monkeypatch.delenv("THP_MEM_ALLOC_ENABLE", raising=False)
    load_base(Model())
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "1"


def test_the_user_s_own_setting_of_large_pages_stays(monkeypatch):
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")
    ask_for_large_pages()
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "0"
