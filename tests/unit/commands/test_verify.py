"""`paring verify` and `paring reward-check`, as a user calls them."""

import json

import pytest
from typer.testing import CliRunner

from paring.cli import app


@pytest.fixture
def paring():
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_one_answer(paring):
    ended = paring("verify", "--gold", r"\frac{1}{2}", "--answer", "0.5")
    assert (ended.exit_code, ended.stdout) == (0, "right: 0.5 for \\frac{1}{2} (fraction)\n")
    ended = paring("verify", "--gold", "5", "--answer", r"First \boxed{5}, then \boxed{6}.", "--json")
    assert ended.exit_code == 1
    assert json.loads(ended.stdout) == {"correct": False, "why": "wrong", "answer": "6", "kind": "integer"}


def test_what_a_terminal_would_obey_is_made_visible(paring):
    ended = paring("verify", "--gold", "5", "--answer", "\x1b[2J\u202e5")
    assert "\x1b" not in ended.stdout and "\\x1b[2J\\u202e5" in ended.stdout


def test_a_file_of_cases(paring, tmp_path):
    rows = [{"gold": "5", "candidate": rf"\boxed{{{n}}}", "expected": n == 5 or n == 7} for n in range(4, 8)]
    file = tmp_path / "cases.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ended = paring("verify", "--cases", file)
    assert ended.exit_code == 1
    assert ended.stdout.splitlines() == [f"{file}:4: 7 for 5 is wrong, and should be right", "3 passed, 1 failed"]
    file.write_text(json.dumps(rows[0]))
    assert (paring("verify", "--cases", file).exit_code, paring("verify", "--cases", tmp_path / "no").exit_code) == (
        0,
        2,
    )


@pytest.mark.parametrize("arguments", [[], ["--gold", "5"], ["--gold", "5", "--answer", "5", "--cases", "x"]])
def test_what_is_to_be_judged_has_to_be_said(paring, arguments):
    ended = paring("verify", *arguments)
    assert ended.exit_code == 2 and "--gold and --answer, or --cases" in ended.stderr


def test_a_reward_is_tried(paring, tmp_path):
    (tmp_path / "my.py").write_text(
        "def reward(completions, answer):\n    return [float(g in c) for c, g in zip(completions, answer)]\n"
    )
    ended = paring("reward-check", f"{tmp_path / 'my.py'}:reward")
    assert ended.exit_code == 1
    assert "accepts '1800' for '18' (reward 1)" in ended.stdout and "failed" in ended.stdout.splitlines()[-1]
    assert paring("reward-check", tmp_path / "no.py:reward").exit_code == 2


@pytest.mark.parametrize("command", ["verify", "reward-check"])
def test_each_explains_itself(paring, command):
    ended = paring(command, "--help")
    assert ended.exit_code == 0 and "--debug" in ended.stdout and "--json" in ended.stdout
