"""Facts of the process that trains a run: how it was called, where and when, and by which code."""

import platform
import socket
import subprocess
import sys
from datetime import UTC, datetime
from os import getpid
from pathlib import Path

from paring.runtime.machine import all_cpus, cpu_kind, versions
from paring.types import Json

SOURCE = Path(__file__).parents[3]
"""The repository, where the package runs from one."""
_PATIENCE = 5.0  # seconds for git


def facts_of_this_process() -> dict[str, Json]:
    """A line of starts.jsonl. Nothing of it decides what a run computes, and nothing of it leaves this machine."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": list(sys.argv),
        "folder": str(Path.cwd()),
        "host": socket.gethostname(),
        "pid": getpid(),
        "system": platform.platform(),
        "cpu": cpu_kind(),
        "cpus": all_cpus(),
        "commit": commit_of(SOURCE),
        "versions": dict(versions()),
    }


def commit_of(source: Path) -> str | None:
    """The commit of a repository, with "+" behind it where files differ from it; None where `source` is none."""
    if not (source / ".git").exists():
        return None
    git = ["git", "-C", str(source)]
    try:
        commit = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, encoding="utf-8", timeout=_PATIENCE, check=True
        )
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            encoding="utf-8",
            timeout=_PATIENCE,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return commit.stdout.strip() + ("+" if changed.stdout.strip() else "")
