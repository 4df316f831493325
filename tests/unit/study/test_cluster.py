"""The same runs on a local Ray: their bytes, their errors, and that they save when the study is to stop."""

import json
import time
from pathlib import Path

import pytest

from paring.study import child
from paring.training.config import as_plain

ray = pytest.importorskip("ray")
SECONDS = 240


@pytest.fixture(scope="module")
def cluster():
    from paring.study.cluster import RayJobs

    jobs = RayJobs(2, threads=1, address="local")
    yield jobs
    ray.shutdown()


def wait_for_end(jobs) -> dict[Path, int]:
    until = time.monotonic() + SECONDS
    while not (codes := jobs.ended()):
        assert time.monotonic() < until
        time.sleep(0.1)
    return codes


def test_a_run_on_ray_is_the_run_it_would_be_here(cluster, small_run, finished_run, tmp_path):
    folder = tmp_path / "run"
    cluster.start(json.dumps(as_plain(small_run())), folder)
    assert wait_for_end(cluster) == {folder: child.FINISHED}
    for name in ("adapter/adapter_model.safetensors", "samples.jsonl", "items.jsonl"):
        assert (folder / name).read_bytes() == (finished_run / name).read_bytes(), name


def test_what_a_run_on_ray_cannot_do_is_told(cluster, tmp_path):
    folder = tmp_path / "run"
    cluster.start(json.dumps({"steps": 1}), folder)
    assert wait_for_end(cluster) == {folder: child.BROKEN}
    assert "task: required, but not given" in child.last_words(folder)


def test_a_run_on_ray_saves_when_the_study_is_to_stop(cluster, small_run, tmp_path):
    folder = tmp_path / "run"
    cluster.start(json.dumps(as_plain(small_run({"steps": 5000, "save.every": 0}))), folder)
    until = time.monotonic() + SECONDS
    while not (folder / "metrics.jsonl").is_file() or not (folder / "metrics.jsonl").stat().st_size:
        assert time.monotonic() < until, child.last_words(folder)
        time.sleep(0.1)
    cluster.stop()
    [(ended, code)] = wait_for_end(cluster).items()
    assert ended == folder and code in child.STOPPED
    until = time.monotonic() + SECONDS
    while "interrupted, and saved" not in child.log_of(folder).read_text():
        assert time.monotonic() < until
        time.sleep(0.1)
    assert [*(folder / "checkpoints").iterdir()]


def test_where_there_is_no_cluster_is_one_clear_error(monkeypatch):
    from paring.study.cluster import RayJobs

    def init(**_):
        raise ConnectionError("Could not find any running Ray instance")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(ValueError, match="--ray auto: no cluster answers there"):
        RayJobs(1, threads=1, address="auto")
