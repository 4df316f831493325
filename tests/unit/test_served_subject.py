"""`paring serve`: the line that starts vLLM for a recipe or a run, and one clear message for what cannot be served."""

import os
import shlex
import socket
import sys

import pytest
import torch
from typer.testing import CliRunner

from paring.adapters.attach import attach
from paring.adapters.kinds import Lora
from paring.adapters.peft_format import write_peft_folder
from paring.cli import app
from paring.policy.loading import EMBEDDED, Model, load_base
from paring.rollout.served.launching import COMMAND, KEY
from paring.subjects.served_subject import served_subject
from paring.training.config import load_run, to_toml


def serve(*words):
    return CliRunner().invoke(app, ["serve", *map(str, words)])


def flags(line):
    words = shlex.split(line)
    return {word: after for word, after in zip(words, [*words[1:], ""], strict=True) if word.startswith("--")}


@pytest.fixture
def run_folder(tmp_path):
    """A run that has ended, with ranks 4 and 20."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "run.toml").write_text(to_toml(load_run("quickstart")), encoding="utf-8")
    base, _ = load_base(Model())
    adapters = attach(base, Lora(rank=4, targets=["q_proj", "v_proj"]), seed=0)
    first = next(iter(adapters.values()))
    first.resize([], torch.ones(20, first.A_RI.shape[1]))
    (folder / "adapter").mkdir()
    write_peft_folder(folder / "adapter", adapters, base_model="paring-embedded")
    return folder


def test_a_recipe_s_line_has_room_for_its_ranks_and_listens_here_alone(monkeypatch):
    monkeypatch.setenv(COMMAND, "vllm serve")
    monkeypatch.setenv(KEY, "secret")
    ended = serve("quickstart", "adapter.rank=20", "rollout.max_new_tokens=32", "--print", "--port", 8123)
    assert ended.exit_code == 0 and "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True" in ended.stdout
    given = flags(ended.stdout)
    assert given["--max-lora-rank"] == "32" and given["--host"] == "127.0.0.1" and given["--port"] == "8123"
    assert "--enable-lora" in given and given["--max-loras"] == "2" and "secret" not in ended.stdout
    assert f"serve {EMBEDDED}" in ended.stdout and given["--dtype"] == "float32"


def test_a_run_s_line_has_its_adapter_and_takes_no_other(run_folder, monkeypatch):
    monkeypatch.setenv(COMMAND, "vllm serve")
    ended = serve(run_folder, "--print")
    given = flags(ended.stdout)
    assert given["--lora-modules"] == f"mine={run_folder}/adapter" and given["--max-lora-rank"] == "32"
    assert "RUNTIME" not in ended.stdout and "--chat-template" not in given
    served = served_subject(str(run_folder / "adapter"), {}, host="127.0.0.1", port=8000, context=64)
    assert served.name == "adapter" and served.plan.context == 64


def test_a_template_of_the_run_s_own_goes_with_it(run_folder):
    template = run_folder / "own.jinja"
    template.write_text("{% for one in messages %}{{ one.content }}{% endfor %}", encoding="utf-8")
    run = load_run("quickstart", **{"model.chat_template": str(template)})
    (run_folder / "run.toml").write_text(to_toml(run), encoding="utf-8")
    served = served_subject(str(run_folder), {}, host="127.0.0.1", port=8000, context=None)
    assert "{{ one.content }}" in flags(served.plan.line())["--chat-template"]


def test_the_process_becomes_the_server(run_folder, monkeypatch):
    monkeypatch.setenv(COMMAND, f"{sys.executable} -m server")
    became = []
    monkeypatch.setattr(os, "execvpe", lambda *given: became.append(given))
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    ended = serve(run_folder, "--port", port)
    [(program, command, environment)] = became
    assert program == sys.executable and command[:3] == [sys.executable, "-m", "server"]
    assert environment["VLLM_NO_USAGE_STATS"] == "1"
    assert f'http://127.0.0.1:{port}/v1 to "model": "mine"' in ended.stderr


def test_a_port_in_use_is_one_message(monkeypatch):
    monkeypatch.setenv(COMMAND, sys.executable)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = serve("quickstart", "--port", taken.getsockname()[1])
    assert ended.exit_code == 2 and ended.stderr.count("\n") == 1
    assert "in use; choose another --port" in ended.stderr
    ended = serve("quickstart", "--host", "not a host")
    assert ended.exit_code == 2 and "give an address of this machine as --host" in ended.stderr


def test_without_vllm_it_is_one_message(monkeypatch):
    monkeypatch.setenv(COMMAND, "no-such-vllm serve")
    ended = serve("quickstart")
    assert ended.exit_code == 2 and ended.stderr.count("\n") == 1
    assert "no-such-vllm is not installed here. Install vLLM" in ended.stderr and "--print shows" in ended.stderr


def test_a_run_without_an_adapter_is_refused_with_what_to_do(run_folder):
    for path in (run_folder / "adapter").iterdir():
        path.unlink()
    ended = serve(run_folder, "--print")
    assert ended.exit_code == 2 and "has no adapter yet" in ended.stderr
    assert f"paring train --resume {run_folder}" in ended.stderr and f"paring export {run_folder}" in ended.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("sft-gsm8k-lora",), "a supervised run samples nothing"),
        (("quickstart", "--context", 1_000_000), "--context 1000000: embedded reads"),
        (("quickstart", "adapter.rank=600"), "rank 600: vLLM takes 512 at most"),
        (("quickstart", "model.quantisation=4bit"), "neither GGUF nor quantised"),
        (("no-such-recipe",), "no-such-recipe"),
    ],
)
def test_what_cannot_be_served_is_refused(words, message):
    ended = serve(*words, "--print")
    assert ended.exit_code == 2 and message in ended.stderr, ended.stderr


def test_settings_are_not_for_runs(run_folder):
    assert "settings are for recipes" in serve(run_folder, "steps=3", "--print").stderr
