"""`paring doctor` finds what is bad and says what mends it; `paring gc` removes what it shows."""

import errno
import json
import os

from typer.testing import CliRunner

from paring.cli import app
from paring.runtime import checkup
from paring.runtime.checkup import findings


def test_a_good_machine(tmp_path):
    found = list(findings(tmp_path / "runs", self_test=False))
    assert [one.check for one in found] == [
        "versions",
        "extras",
        "fused operations",
        "cpus",
        "memory",
        "disk",
        "file system",
    ]
    assert all(one.well for one in found) and os.listdir(tmp_path) == []


def test_an_installation_without_a_compiler_is_no_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(checkup, "find_spec", lambda name: None)
    (found,) = (one for one in findings(tmp_path / "runs", self_test=False) if one.check == "fused operations")
    assert found.well and "without a C compiler" in found.words


def test_what_is_bad_has_a_remedy(tmp_path, monkeypatch):
    def refuse(path, data):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(checkup, "SMALLEST_DISK", 1 << 70)
    monkeypatch.setattr(checkup, "SMALLEST_MEMORY", 1 << 70)
    monkeypatch.setattr(checkup, "write_durably", refuse)
    ended = CliRunner().invoke(app, ["doctor", str(tmp_path), "--quick", "--json"])
    bad = {one["check"]: one["remedy"] for one in json.loads(ended.stdout) if not one["well"]}
    assert ended.exit_code == 1 and bad.keys() == {"memory", "disk", "file system"} and all(bad.values())


def test_gc_shows_what_it_would_remove_and_removes_it(tmp_path):
    run = tmp_path / "run"
    (run / "checkpoints/damaged").mkdir(parents=True)
    (run / "run.toml").write_text("")
    (run / ".adapter.staging-1").write_bytes(b"x" * 5000)
    shown = CliRunner().invoke(app, ["gc", str(tmp_path), "--dry-run"])
    assert f"{run}/.adapter.staging-1: 5,000 bytes, half written by a process that was killed" in shown.stdout
    assert "in 2 files and folders would be removed" in shown.stdout and (run / ".adapter.staging-1").exists()
    removed = json.loads(CliRunner().invoke(app, ["gc", str(tmp_path), "--json"]).stdout)
    assert removed["removed"] and len(removed["left"]) == 2 and not (run / ".adapter.staging-1").exists()
    assert "in 0 files and folders removed" in CliRunner().invoke(app, ["gc", str(tmp_path)]).stdout


def test_gc_of_no_folder(tmp_path):
    ended = CliRunner().invoke(app, ["gc", str(tmp_path / "absent")])
    assert ended.exit_code == 2 and "is no folder" in ended.stderr
