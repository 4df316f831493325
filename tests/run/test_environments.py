"""Whole runs with an environment: what is written, and that one which fails is resumed to the same bytes."""

import pytest
from typer.testing import CliRunner

import paring
from paring.cli import app
from paring.runtime.journal import read_rows

SMALL = {
    "steps": 4,
    "threads": 1,
    "rollout.problems": 3,
    "rollout.group_size": 4,
    "evaluate.limit": 4,
    "save.every": 2,
    "objective.kl_coef": 0.01,
}
BYTES = ("adapter/adapter_model.safetensors", "samples.jsonl", "run.toml")
GAME = """
from pathlib import Path
from paring.tasks.higher_lower import HigherLower

AWAY = Path(__file__).with_name("away")
game, calls = HigherLower(), []

class Game:
    problems = staticmethod(game.problems)

    def reply(self, problem, turns):
        if AWAY.exists():
            calls.append(problem)
            if len(calls) > 88:  # in the third step
                raise RuntimeError("the environment is away")
        return game.reply(problem, turns)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("game")
    (place / "game.py").write_text(GAME, encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def run(place):
    return paring.load_run("higher-lower", **SMALL, task={"path": f"{place / 'game.py'}:Game"})


@pytest.fixture(scope="module")
def finished(run, place):
    paring.train(run, place / "run")
    return place / "run"


def test_the_journal_counts_answers_and_the_tokens_of_the_model_alone(finished):
    rows, samples = (list(read_rows(finished / name)) for name in ("metrics.jsonl", "samples.jsonl"))
    assert all(1 <= row["answers"] <= 3 and set(row["reward_parts"]) == {"found", "logical"} for row in rows)
    assert max(row["tokens"] for row in samples) == max(row["length_max"] for row in rows) <= 3 * 16
    assert any("\n[user] " in row["completion"] for row in samples)


def test_an_environment_that_fails_ends_the_run_which_then_goes_on_to_the_same_bytes(run, finished, place, tmp_path):
    folder = tmp_path / "run"
    (place / "away").touch()
    with pytest.raises(ValueError, match=r"reply\(\) raised RuntimeError: the environment is away"):
        paring.train(run, folder)
    (place / "away").unlink()
    assert [path.name for path in (folder / "checkpoints").glob("step-*")] == ["step-000002"]
    paring.train(run, folder, resume=True)
    for name in BYTES:
        assert (folder / name).read_bytes() == (finished / name).read_bytes(), name


def test_an_evaluation_plays_whole_games(finished, tmp_path):
    ended = CliRunner().invoke(app, ["eval", str(finished), "--limit", "5", "--out", str(tmp_path / "eval")])
    assert ended.exit_code == 0, ended.output
    items = list(read_rows(tmp_path / "eval" / "items" / "custom.jsonl"))
    assert len(items) == 5 and any("[user]" in item["answers"][0]["text"] for item in items)
