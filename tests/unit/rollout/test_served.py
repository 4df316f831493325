"""Servers that fail, each in its way: the wrong policy is never sampled from, and nothing waits for ever."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
import torch

from paring.adapters.attach import attach
from paring.adapters.kinds import Lora
from paring.policy.loading import Model, load_base
from paring.policy.model import Policy
from paring.rollout.engine import EngineFailed, Sampling
from paring.rollout.served import fleet, forgetting, routes
from paring.rollout.served.canary import WrongPolicy
from paring.rollout.served.connecting import connect
from paring.rollout.served.published import Shelf
from paring.rollout.served.reference_server import Listening, Reference
from paring.runtime.client import Server, Stopped
from paring.runtime.interruption import Interrupted, Interruption
from paring.settings.complaints import NotFinite
from paring.tasks.arithmetic import Arithmetic
from paring.types import Key

PROBLEMS = list(Arithmetic().problems("train")[:4])
SAMPLING, KEY = Sampling(max_new_tokens=8), Key(1, 2)


@pytest.fixture(scope="module")
def policy():
    base, tokenizer = load_base(Model())
    adapters = attach(base, Lora(), seed=0)
    generator = torch.Generator().manual_seed(0)
    for adapter in adapters.values():
        adapter.B_OR.data.normal_(std=0.1, generator=generator)
    return Policy(base, tokenizer, adapters)


@pytest.fixture(scope="module")
def at_work():
    with Listening(Reference()) as server:
        yield server


@pytest.fixture
def server(at_work):
    yield at_work
    at_work.reference.faults.clear()
    at_work.reference.loaded.clear()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(fleet, "PAUSE", 0.02)


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path / "run" / "published", "embedded")


@pytest.fixture
def engine(policy, shelf, server):
    return connect(policy, shelf, [server.url], longest=64, rank=8, patience=20.0)


def tokens_of(groups):
    return [[completion.tokens for completion in group.completions] for group in groups]


def sample(engine):
    return tokens_of(engine.sample(PROBLEMS, 3, SAMPLING, KEY))


def another(policy, shelf):
    """The folder of another adapter."""
    moved = next(iter(policy.adapters.values())).B_OR
    moved.data += 0.5
    try:
        return shelf.write(policy)
    finally:
        moved.data -= 0.5


def test_nothing_is_left_by_the_check_nor_at_the_end(engine, shelf, server):
    assert not shelf.place.parent.exists() and not server.reference.loaded
    sample(engine)
    assert shelf.names() == list(server.reference.loaded)
    engine.close()
    assert not shelf.names() and not server.reference.loaded


def test_the_newest_two_versions_stay_and_equal_ones_have_one_name(engine, policy, server):
    moved = next(iter(policy.adapters.values())).B_OR
    kept, first = moved.data.clone(), sample(engine)
    names = list(server.reference.loaded)
    for _ in range(3):
        moved.data += 0.01
        sample(engine)
    assert len(server.reference.loaded) == 2 and names[0] not in server.reference.loaded
    moved.data.copy_(kept)
    assert sample(engine) == first
    assert list(server.reference.loaded)[-1:] == names


def test_what_a_killed_process_has_published_is_swept(engine, policy, shelf, server):
    left = another(policy, shelf)
    routes.load(Server(server.url), left.name, left.seen, seconds=5)
    engine.sweep()
    assert not shelf.names() and not server.reference.loaded


@contextmanager
def busy(server, delay):
    """For so many seconds the server answers another's question, and nothing else; then it is quick again."""
    server.reference.delay = delay
    server.reference.faults.add("slow")
    question = {"model": "base", "prompt": [5], "max_tokens": 1, "stop_token_ids": []}
    other = threading.Thread(target=Server(server.url).post, args=("/v1/completions", question), kwargs={"seconds": 9})
    asked = len(server.reference.asked)
    other.start()
    until(lambda: len(server.reference.asked) > asked and server.reference._lock.locked())
    yield
    other.join()
    server.reference.faults.clear()


def test_a_busy_server_is_waited_for_at_the_end(engine, shelf, server, monkeypatch):
    monkeypatch.setattr(forgetting, "STEP_SECONDS", 0.1)
    engine.version()
    with busy(server, 0.6):
        engine.close()
        assert not server.reference.loaded and not shelf.place.exists()


def test_no_folder_stays_where_a_server_says_nothing(engine, shelf, server, monkeypatch):
    monkeypatch.setattr(forgetting, "STEP_SECONDS", 0.1)
    monkeypatch.setattr(forgetting, "END_SECONDS", 0.2)
    engine.version()
    with busy(server, 1.0):
        engine.close()
        assert not shelf.place.exists() and server.reference.loaded
    until(lambda: not server.reference.loaded)  # it was told


def test_a_version_that_a_busy_server_has_not_forgotten_keeps_its_folder(engine, policy, shelf, server, monkeypatch):
    """Until it has, at a later step: the folder of an adapter that a server has must not go."""
    monkeypatch.setattr(forgetting, "STEP_SECONDS", 0.1)
    moved = next(iter(policy.adapters.values())).B_OR
    kept = moved.data.clone()
    names = [engine.version().name]
    for _ in range(2):
        moved.data += 0.01
        names.append(engine.version().name)
    assert set(shelf.names()) == set(names[1:])
    with busy(server, 0.6):
        engine.keep = 1
        engine.version()
        assert set(shelf.names()) == set(names[1:])
    engine.version()
    assert shelf.names() == names[2:] == list(server.reference.loaded)
    moved.data.copy_(kept)
    engine.close()
    assert not shelf.place.exists()


def test_what_is_late_writes_no_folder_again(engine, shelf):
    """A thread that has waited for a server, until the run was over."""
    version = engine.version()
    engine.close()
    with pytest.raises(Stopped):
        engine._load(version, engine.members[0], threading.Event())
    with pytest.raises(EngineFailed, match="let go"):
        engine.answers(version, [{}], 1, lambda one: one)
    assert not shelf.place.exists()


def test_an_adapter_that_somebody_unloads_is_loaded_again(engine, server):
    expected = sample(engine)
    server.reference.loaded.clear()
    assert sample(engine) == expected


def test_another_adapter_under_its_name_is_found_before_its_answers_are_used(engine, policy, shelf, server):
    sample(engine)
    [name], stranger = list(server.reference.loaded), another(policy, shelf)
    server.reference.loaded.clear()
    routes.load(Server(server.url), name, stranger.seen, seconds=5)
    with pytest.raises(WrongPolicy, match="another policy: .* differ by .* nats"):
        sample(engine)


def test_a_stale_cache_is_found(policy, shelf, server):
    """The server goes on computing with what another adapter had left under the name."""
    stranger = another(policy, shelf)
    name = shelf.name_of(policy)
    server.reference.cached.clear()
    routes.load(Server(server.url), name, stranger.seen, seconds=5)
    server.reference.faults.add("stale-cache")
    server.reference.loaded.clear()
    with pytest.raises((WrongPolicy, ValueError), match="another policy"):
        sample(connect(policy, shelf, [server.url], longest=64, rank=8, patience=5.0))


def test_a_folder_that_somebody_removes_is_written_again(engine, shelf, server):
    expected = sample(engine)
    server.reference.loaded.clear()
    for name in shelf.names():
        shelf.remove(name)
    assert sample(engine) == expected


@pytest.mark.parametrize(
    "fault, words",
    [
        ("half-group", "1 answers in place of 3"),
        ("nan", "not finite"),
        ("short-logprobs", "log-probs"),
        ("endless", "more than .* bytes"),
        ("no-json", "no JSON"),
        ("refuses", "HTTP 500: out of order"),
    ],
)
def test_a_server_that_is_well_and_answers_nonsense_is_asked_three_times(engine, server, fault, words):
    engine.version()
    server.reference.faults.add(fault)
    server.reference.asked.clear()
    with pytest.raises(EngineFailed, match=words):
        engine.sample(PROBLEMS[:1], 3, SAMPLING, KEY)
    assert server.reference.asked.count("/v1/completions") == 3


def test_an_adapter_that_is_not_finite_is_not_published(engine, policy, server):
    moved = next(iter(policy.adapters.values())).B_OR
    kept = moved.data.clone()
    moved.data[0, 0] = float("nan")
    with pytest.raises(NotFinite, match="not published"):
        sample(engine)
    moved.data.copy_(kept)
    assert not server.reference.loaded


def test_a_full_disk_is_one_message(engine, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("paring.rollout.served.published.write_peft_folder", full)
    with pytest.raises(EngineFailed, match=r"No space left on device\. Make room there"):
        sample(engine)


def test_a_server_of_two_that_is_silent_costs_no_answer(policy, shelf, server, engine, monkeypatch):
    monkeypatch.setattr(fleet, "LATE", 0.3)
    expected = sample(engine)
    with Listening(Reference()) as other:
        both = connect(policy, shelf, [server.url, other.url], longest=64, rank=8, patience=20.0)
        both.version()
        server.reference.delay, start = 3.0, time.monotonic()
        server.reference.faults.add("slow")
        # The proof of the silent one is not waited for either: none of its answers is used.
        assert sample(both) == expected
        assert time.monotonic() - start < 2.9


def test_a_server_that_stays_away_is_given_up(policy, shelf, engine, server):
    with Listening(Reference()) as gone:
        lone = connect(policy, shelf, [gone.url], longest=64, rank=8, patience=20.0)
    lone.patience = 0.4
    start = time.monotonic()
    with pytest.raises(EngineFailed, match="no server is left: http://.*Connection refused"):
        sample(lone)
    assert time.monotonic() - start < 5


def test_a_wait_ends_with_the_run(engine, server):
    """As Ctrl-C ends it, in the main thread."""
    engine.version()
    server.reference.faults.add("slow")
    server.reference.delay = 2.5
    with Interruption():
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        start = time.monotonic()
        with pytest.raises(Interrupted):
            sample(engine)
        assert time.monotonic() - start < 2
    time.sleep(2.5)  # until the server has answered what nobody waits for


@pytest.mark.parametrize(
    "changes, limits, words",
    [
        ({"takes_adapters": False}, {}, "--enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING"),
        ({"max_rank": 4}, {}, "LoRA rank 8 is greater than max_lora_rank 4"),
        ({"context": 32}, {}, "holds 32 tokens, .* takes up to 64"),
        ({"model": Model(path="embedded-chains")}, {}, "does not load|another policy"),
    ],
)
def test_a_server_that_does_not_fit_the_run_is_refused_before_it(policy, shelf, changes, limits, words):
    with Listening(Reference(**changes)) as unfit, pytest.raises(ValueError, match=words):
        connect(policy, shelf, [unfit.url], longest=64, rank=8, patience=2.0, **limits)
    assert not shelf.place.parent.exists()


def test_a_folder_that_the_server_does_not_see_is_refused(policy, shelf, server):
    elsewhere = Shelf(shelf.place, shelf.base, "/nowhere/published")
    with pytest.raises(ValueError, match=r"No adapter found for /nowhere/published/paring-.*rollout\.servers_see"):
        connect(policy, elsewhere, [server.url], longest=64, rank=8, patience=2.0)


def test_an_address_that_nobody_answers_is_refused_in_time(policy, shelf):
    said = []
    with pytest.raises(ValueError, match=r"http://127\.0\.0\.1:9 does not answer \(Connection refused\)"):
        connect(policy, shelf, ["http://127.0.0.1:9"], longest=64, rank=8, patience=0.2, note=said.append)
    assert len(said) == 1 and "waiting for http://127.0.0.1:9" in said[0]


def test_the_key_is_sent_and_shown_nowhere(server):
    one = Server(server.url, "secret")
    assert "secret" not in repr(one)
    assert one._words(b'{"error": {"message": "bad key secret\\u001b[2J"}}') == "bad key ***\\x1b[2J"


def test_no_child_outlives_its_parent(tmp_path):
    """The guard ends what it runs as soon as the process that started it has died, be it by kill -9."""
    child = f"import os, time; open(r'{tmp_path}/pid', 'w').write(str(os.getpid())); time.sleep(60)"
    parent = (
        "import subprocess, sys, time; subprocess.Popen([sys.executable, '-m', 'paring.rollout.served.server_guard', "
        f'sys.executable, "-c", {child!r}], stdin=subprocess.PIPE); time.sleep(60)'
    )
    process = subprocess.Popen([sys.executable, "-c", parent])
    until(lambda: (tmp_path / "pid").is_file() and (tmp_path / "pid").read_text())
    process.kill()
    process.wait()
    pid = int((tmp_path / "pid").read_text())
    until(lambda: not is_alive(pid))


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
