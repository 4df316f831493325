"""Processes that hang, die, are forked from or interrupted: each costs its own answer, and none is left behind."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

import paring
from paring.verifier import Gold, Verifier
from paring.verifier.workers import KILLED, TIMEOUT, Workers

FAKE = '''"""Stands for a worker: echoes, hangs, dies or takes memory, as its question says."""
import ctypes, os, signal, sys, time
from paring.verifier.serving import killed_after, serve

def answer(question):
    print("noise that must not be taken for an answer")
    if question == "die":
        os._exit(1)
    if question == "sleep":
        time.sleep(60)
    if question == "compute":
        with killed_after(0.3):
            9 ** (9 ** 9)  # C code that holds the interpreter: no handler of Python's would run
    return f"{question} {os.getpid()}"

if sys.argv[1:] == ["fail"]:
    sys.exit(1)
serve(lambda: answer)
'''


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Makes workers of the fake module, and sees that none of their processes is left."""
    (tmp_path / "fake_worker.py").write_text(FAKE)
    source = str(Path(paring.__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), source]))
    pools = []

    def make(*arguments, count=1, seconds=30.0):
        pools.append(Workers("fake_worker", arguments, count=count, seconds=seconds))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()
    assert children_of(os.getpid()) == []


def children_of(pid):
    """Processes, zombies too, whose parent this is, but for what pytest itself may have started."""
    found = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(pid)], capture_output=True, text=True).stdout
    return [
        line for line in found.splitlines() if "fake_worker" in line or "paring.verifier" in line or "defunct" in line
    ]


def test_answers_come_in_the_order_of_the_questions_and_nothing_else_is_one(made):
    answers = made(count=2).ask([f'"{n}"' for n in range(20)])
    assert [answer.split()[0] for answer in answers] == [str(n) for n in range(20)]
    assert 1 <= len({answer.split()[1] for answer in answers}) <= 2


def test_a_process_serves_the_next_call_too(made):
    workers = made()
    assert workers.ask(['"a"'])[0].split()[1] == workers.ask(['"a"'])[0].split()[1]


def test_what_ends_a_process_costs_its_own_answer_only(made):
    answers = made(seconds=2.0).ask(['"a"', '"die"', '"b"', '"sleep"', '"c"', '"compute"', '"d"'])
    assert [answer.split()[0] for answer in answers] == ["a", KILLED, "b", TIMEOUT, "c", TIMEOUT, "d"]


def test_a_worker_killed_while_idle_is_replaced(made):
    workers = made()
    (first,) = workers.ask(['"a"'])
    os.kill(int(first.split()[1]), signal.SIGKILL)
    time.sleep(0.2)
    assert workers.ask(['"b"'])[0].startswith("b ")


def test_processes_that_never_start_are_an_error_that_says_how_to_see_why(made):
    with pytest.raises(RuntimeError, match="-m fake_worker fail"):
        made("fail").ask(['"a"'])


def test_threads_take_turns(made):
    workers, answers = made(count=2), {}

    def ask(name):
        answers[name] = workers.ask([f'"{name}{n}"' for n in range(10)])

    threads = [threading.Thread(target=ask, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in "ab":
        assert [answer.split()[0] for answer in answers[name]] == [f"{name}{n}" for n in range(10)]


def test_a_forked_child_starts_its_own_and_leaves_the_parents_alone(made):
    workers = made()
    (before,) = workers.ask(['"a"'])
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        answer = workers.ask(['"b"'])[0]
        workers.close()
        os.write(write, answer.encode())
        os._exit(0)
    os.waitpid(child, 0)
    in_child = os.read(read, 100).decode()
    (after,) = workers.ask(['"a"'])
    assert in_child.startswith("b ") and in_child.split()[1] != before.split()[1]
    assert after == before


PROGRAM = """
import sys
from paring.verifier.workers import Workers
workers = Workers("fake_worker", (), count=1, seconds=60)
print(workers.ask(['"a"'])[0].split()[1], flush=True)
{then}
"""


@pytest.mark.parametrize(
    ("then", "number", "code"),
    [
        ("", None, 0),
        ("raise SystemExit(3)", None, 3),
        ("""workers.ask(['"sleep"'])""", signal.SIGINT, -signal.SIGINT),
        ("""workers.ask(['"sleep"'])""", signal.SIGTERM, -signal.SIGTERM),
        ("import time; time.sleep(60)", signal.SIGKILL, -signal.SIGKILL),
    ],
    ids=["ends", "exits", "Ctrl-C", "terminated", "killed"],
)
def test_workers_end_with_their_program(made, then, number, code):
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(then=then)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    worker = int(program.stdout.readline())
    if number is not None:
        time.sleep(0.3)
        program.send_signal(number)
    assert program.wait(30) == code
    if then.startswith("workers") and number == signal.SIGTERM:
        os.kill(worker, signal.SIGKILL)  # it holds a question, and would end after it: here a sleep of a minute
    assert gone(worker)


def gone(pid):
    for _ in range(100):
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().split()[2] == "Z":
                    return True
        except FileNotFoundError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.skipif(find_spec("math_verify") is None, reason="needs math-verify")
def test_a_real_worker_writes_no_file_and_stays_within_its_memory(made):
    with Verifier(workers=1, memory_mb=700) as verifier:
        (verdict,) = verifier.judge([(Gold.read(r"\sqrt{2}"), r"\boxed{\frac{2}{\sqrt{2}}}")])
        assert verdict.why == "right"
        (line,) = children_of(os.getpid())
        limits = open(f"/proc/{line.split()[0]}/limits").read()
    assert f"Max address space         {700 * 2**20}" in limits
    assert "Max file size             0 " in limits


@pytest.mark.skipif(find_spec("math_verify") is None, reason="needs math-verify")
def test_what_explodes_in_a_real_worker_costs_its_own_answer_only(made):
    """Sent past the checks that refuse it: C code that no signal handler interrupts, numbers that fill memory."""
    answers = ["9^{9^{9^{9}}}", "100000000!", r"\binom{1000000000}{500000000}", r"\frac{2}{\sqrt{2}}"]
    questions = [json.dumps({"kind": "expression", "gold": r"\sqrt{2}", "answer": answer}) for answer in answers]
    workers = Workers("paring.verifier.worker", ("1.0", "700"), count=1, seconds=60.0)
    try:
        *exploded, good = workers.ask(questions)
    finally:
        workers.close()
    assert good == "right"
    assert set(exploded) <= {TIMEOUT, KILLED, "wrong", "unreadable"} and {TIMEOUT, KILLED} & set(exploded)
