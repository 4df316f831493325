"""`paring eval --server`: the same answers, files and reports by servers, and one message for what does not fit."""

import json

import pytest
from typer.testing import CliRunner

from paring import evaluate
from paring.cli import app
from paring.policy.loading import Model
from paring.rollout.served.reference_server import Listening, Reference
from paring.subjects.served_answers import SERVED

WORDS = ("eval", "embedded", "--task", "arithmetic", "--limit", "6", "--max-new-tokens", "12")


@pytest.fixture(scope="module")
def at_work():
    with Listening(Reference(model=Model(), max_rank=64)) as server:
        yield server


@pytest.fixture
def server(at_work):
    yield at_work
    at_work.reference.faults.clear()


def run(*words):
    return CliRunner().invoke(app, list(map(str, words)))


def test_greedy_answers_of_a_run_are_those_of_this_process(finished_run, server, tmp_path):
    options = {"limit": 6, "max_new_tokens": 12}
    evaluate(finished_run, **options, out=tmp_path / "here")
    evaluate(finished_run, **options, server=[server.url], out=tmp_path / "out")
    [here, there] = (
        [path.read_text() for path in (tmp_path / name).rglob("*.jsonl") if '"text"' in path.read_text()]
        for name in ("here", "out")
    )
    assert here == there and here
    assert any("load_lora" in path for path in server.reference.asked) and not server.reference.loaded
    assert not (tmp_path / "out/published").exists()


def test_what_is_reproduced_is_said_and_the_folder_is_not_mixed(server, tmp_path):
    out = tmp_path / "out"
    ended = run(*WORDS, "--server", server.url, "--out", out)
    assert ended.exit_code == 0 and SERVED in ended.stdout
    assert SERVED in json.loads((out / "results.json").read_text())["notes"]
    assert run(*WORDS, "--server", server.url, "--out", out).exit_code == 0
    other = run(*WORDS, "--out", out)
    assert other.exit_code == 2 and "holds another evaluation" in other.stderr and "--server" in other.stderr


def test_pass_rates_are_measured_by_servers_too(server, tmp_path):
    words = ("filter", "quickstart", "--limit", "4", "--samples", "2", "--least", "0", "--most", "1")
    ended = run(*words, "--server", server.url, "--out", tmp_path / "kept")
    assert ended.exit_code == 0, ended.stderr
    kept = [json.loads(line) for line in (tmp_path / "kept/kept.jsonl").read_text().splitlines()]
    assert len(kept) == 4 and {row["pass_rate"] for row in kept} <= {0.0, 0.5, 1.0}
    assert json.loads((tmp_path / "kept/filter.json").read_text())["problems"] == 4
    assert not server.reference.loaded and not (tmp_path / "kept/published").exists()


def test_two_models_are_compared_by_the_same_servers(finished_run, server):
    ended = run(*WORDS, "--compare", finished_run, "--server", server.url, "--json")
    assert ended.exit_code == 0, ended.stderr
    assert not server.reference.loaded


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--server", "node3"), "server: 'node3' is no address"),
        (("--server", "{url}", "--max-new-tokens", "60"), "or lower --max-new-tokens"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_answer(server, words, message):
    server.reference.context = 40
    ended = run(*WORDS, *(word.format(url=server.url) for word in words))
    server.reference.context = None
    assert ended.exit_code == 2 and message in ended.stderr and "rollout." not in ended.stderr, ended.stderr


def test_a_server_that_refuses_ends_it_with_its_words(server):
    server.reference.faults.add("refuses")
    ended = run(*WORDS, "--server", server.url)
    assert ended.exit_code in (1, 2) and "out of order" in ended.stderr and ended.stderr.count("Traceback") == 0
