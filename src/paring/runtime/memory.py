"""Main memory that is freed stays with the process, for the next tensor: fetching it anew costs more than computing.

A step frees and takes gigabytes several times. glibc gives large blocks back at once, and each page of the next block
is then cleared and mapped again: on two cores up to a fifth of a training pass (docs/performance.md)."""

import ctypes
import os
import sys

LARGEST_BLOCK = 2**30
"""Blocks up to this many bytes come from memory that is kept."""
# Parameters of glibc's mallopt, from malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def ask_for_large_pages() -> None:
    """Let torch take main memory in pages of 2 MB, 512 small ones at a time. It acts before the process's first tensor
    only, and leaves a setting of the user's as it is."""
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def keep_freed_memory() -> bool:
    """Tell the C library so, for this process. False where it is not glibc, which has no such setting."""
    if not _is_glibc():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_THRESHOLD, LARGEST_BLOCK) and mallopt(_TRIM_THRESHOLD, 2**31 - 1))


def give_back_freed_memory() -> None:
    """Let the system have what is freed now. Once a step, between phases whose blocks are of other sizes: they find no
    holes that fit, so that without it the process grows step by step (docs/planning.md)."""
    if _is_glibc():
        ctypes.CDLL(None).malloc_trim(0)


def _is_glibc() -> bool:
    return sys.platform == "linux" and "CS_GNU_LIBC_VERSION" in os.confstr_names
