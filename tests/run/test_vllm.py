"""Real vLLM: contract, kill -9, own child; where PARING_TEST_VLLM names its command (`make test-vllm`)."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from paring.rollout.served.launching import COMMAND
from paring.rollout.served.routes import models
from paring.runtime.client import Server, ServerFault
from paring.runtime.machine import free_port

VLLM = os.environ.get("PARING_TEST_VLLM")
pytestmark = pytest.mark.skipif(VLLM is None or sys.platform == "win32", reason="PARING_TEST_VLLM names no vLLM")
TESTS, PATIENCE, GRACE = Path(__file__).parents[1], 600.0, 5.0
"""Seconds: for vLLM to start, and for its last processes to be gone once its run has ended."""
QUICKSTART = ("train", "quickstart", "rollout.engine=served", "steps=20", "evaluate.limit=8")


def paring(*words, **options):
    environment = os.environ | {COMMAND: str(VLLM)}
    return subprocess.Popen([sys.executable, "-m", "paring", *map(str, words)], env=environment, **options)


class Served:
    """`paring serve quickstart` on a port, which may be killed and started again."""

    def __init__(self):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        words = "serve", "quickstart", "adapter.rank=32", "--port", self.port, "--context", 128
        self.process = paring(*words, start_new_session=True)

    def wait(self):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            assert self.process.poll() is None, "vLLM has ended"
            try:
                return models(Server(self.url), seconds=5)
            except ServerFault:
                time.sleep(1)
        raise AssertionError(f"vLLM was not there within {PATIENCE:g} s")

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module")
def served():
    served = Served()
    try:
        served.wait()
        yield served
    finally:
        served.kill()


def rewards(folder):
    return [json.loads(line)["reward"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_it_holds_the_contract_of_an_engine(served):
    contract = [sys.executable, "-m", "pytest", "-q", TESTS / "contract/test_engine.py", "-k", "served"]
    subprocess.run(contract, env=os.environ | {"PARING_TEST_SERVER": served.url}, check=True)


def test_a_server_that_is_killed_and_comes_back_changes_no_reward(served, tmp_path):
    own = f'rollout.servers=["{served.url}"]'
    assert paring(*QUICKSTART, own, "--out", tmp_path / "whole").wait() == 0
    run = paring(*QUICKSTART, own, "--out", tmp_path / "killed")
    metrics = tmp_path / "killed/metrics.jsonl"
    while not metrics.is_file() or metrics.read_text().count("\n") < 5:
        assert run.poll() is None
        time.sleep(0.1)
    served.kill()
    served.start()
    assert run.wait() == 0
    whole = rewards(tmp_path / "whole")
    assert rewards(tmp_path / "killed") == whole and len(whole) == 20
    asked_again = [json.loads(line)["asked_again"] for line in metrics.read_text().splitlines()]
    assert sum(asked_again) > 0


def test_a_run_s_own_server_ends_with_it(tmp_path):
    run = paring(*QUICKSTART, "steps=2", "--out", tmp_path / "run")
    own = set()
    while run.poll() is None:
        own |= descendants(run.pid)
        time.sleep(0.5)
    assert run.returncode == 0 and len(rewards(tmp_path / "run")) == 2
    end = time.monotonic() + GRACE
    while (left := [pid for pid in own if Path(f"/proc/{pid}").exists()]) and time.monotonic() < end:
        time.sleep(0.1)
    assert own and not left


def descendants(pid):
    """The processes below one, by what Linux says of each one's parent."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {pid}
    while new := {one for one, parent in parents.items() if parent in found} - found:
        found |= new
    return found - {pid}
