"""Freed memory stays with the process: seen by the page faults of a block taken a second time."""

import subprocess
import sys

import pytest

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
