"""The command line: quick help, one message for each fault, JSON for scripts."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from paring import __version__
from paring.settings.recipes import FOLDER, recipe_names

COMMANDS = (
    "train",
    "study",
    "compare",
    "plan",
    "eval",
    "filter",
    "recipes",
    "export",
    "fetch",
    "samples",
    "ranks",
    "report",
    "verify",
    "reward-check",
    "runs",
    "rerun",
    "watch",
    "ask",
    "chat",
    "push",
)
HEAVY = ("torch", "transformers", "pydantic", "rich", "numpy", "safetensors", "peft")


def test_help_imports_nothing_heavy():
    """The imports are what takes time: measured so, a busy machine does not fail the test."""
    script = f"""
import sys
from paring.cli import main
sys.argv = ["paring", "--help"]
try:
    main()
except SystemExit as end:
    print("code", end.code)
print("heavy", [name for name in {HEAVY} if name in sys.modules])
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-2:] == ["code 0", "heavy []"], ended.stdout
    for command in (*COMMANDS, "paring train quickstart"):
        assert command in ended.stdout


def test_the_version(paring):
    assert paring("--version").stdout == f"paring {__version__}\n"
    by_module = subprocess.run([sys.executable, "-m", "paring", "--version"], capture_output=True, text=True)
    assert by_module.stdout == f"paring {__version__}\n"


def test_shells_can_complete_commands():
    environment = os.environ | {"_PARING_COMPLETE": "complete_bash", "COMP_WORDS": "paring re", "COMP_CWORD": "1"}
    ended = subprocess.run([sys.executable, "-m", "paring"], capture_output=True, text=True, env=environment)
    assert set(ended.stdout.split()) == {"recipes", "report", "rerun", "reward-check"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(paring, command):
    ended = paring(command, "--help")
    assert ended.exit_code == 0 and "--debug" in ended.stdout
    assert ("--json" in ended.stdout) == (command not in ("train", "study", "watch", "chat"))


def test_promised_options(paring):
    promised = {
        "train": "--out --resume --dry-run",
        "study": "--out --jobs --resume --dry-run --ray",
        "plan": "--memory --kind --find --prompt",
        "eval": "--task --limit",
        "export": "--to",
        "fetch": "--to",
        "samples": "--step",
    }
    for command, options in promised.items():
        assert all(option in paring(command, "--help").stdout for option in options.split())
    assert "--worst" in paring("samples", "--help").stdout
    assert all(option in paring("ranks", "--help").stdout for option in ("--figures", "--png"))
    assert "--out" in paring("report", "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["train"], "name a recipe, such as quickstart, or --resume a run"),
        (["train", "steps=3"], "name a recipe, such as quickstart, or --resume a run"),
        (["train", "--resume", "a", "--out", "b"], "--resume goes on in the run's own folder: leave --out away"),
        (["train", "nothing"], "error: nothing: no such recipe or file; recipes: "),
        (["train", "quickstart", "steps"], "error: command line: 'steps' is not of the form key=value"),
        (["train", "quickstart", "stps=3"], "error: quickstart: stps: unknown; did you mean steps?"),
        (["train", "--resume", "nothing"], "error: nothing holds no run: there is no run.toml in it"),
        (["study"], "error: name a study: clipping, "),
        (["study", "nothing"], "error: nothing: no such study, file or folder of a started study; studies: clipping, "),
        (["compare", "nothing", "nothing"], "error: nothing holds no run: there is no run.toml in it"),
        (["eval", "embedded"], "error: name a task with --task: aime24, aime25, "),
        (["eval", "embedded", "--task", "sum"], "error: --task 'sum': unknown; "),
        (
            ["eval", "embedded", "--task", "math-50"],
            "error: --task 'math-50': unknown; did you mean math500? Choices: ",
        ),
        (["eval", "embedded", "--task", "amc23", "--data", "."], "amc23/test.jsonl: there is no such file. Put "),
        (["eval", "embedded", "--task", "amc23", "data=x"], "error: amc23 is a benchmark and takes no KEY=VALUE"),
        (
            ["eval", "embedded", "--task", "arithmetic:0"],
            "error: --task 'arithmetic:0': behind the colon a number from 1",
        ),
        (["eval", "embedded", "--task", "arithmetic,arithmetic:3"], "error: --task: arithmetic stands there twice"),
        (["eval", "embedded", "--task", "arithmetic:501"], "error: --limit 501: arithmetic has 500 problems; ask for"),
        (["eval", "embedded", "--task", "arithmetic", "--samples", "0"], "'--samples'"),
        (["eval", "embedded", "--task", "arithmetic", "--style", "x"], "error: --style x: unknown; choices: boxed, "),
        (["eval", "embedded", "--task", "arithmetic", "--broken", "x"], "error: --broken x: unknown; choices: mend, "),
        (["eval", "embedded", "--task", "arithmetic", "--compare", "./x"], "there is no such folder or file"),
        (["eval", "embedded", "--task", "questions"], "error: task: task.data: required, but not given"),
        (["eval", "./nothing", "--task", "arithmetic"], "there is no such folder or file"),
        (["eval", "embedded", "--task", "arithmetic", "--limit", "0"], "'--limit'"),
        (["eval", "embedded", "--task", "arithmetic", "--temperature", "-1"], "'--temperature'"),
        (["eval", "embedded", "--task", "arithmetic", "--samples", "2"], "error: --samples 2 at temperature 0 would"),
        (["recipes", "nothing"], "error: nothing: no such recipe or file; recipes: "),
        (["export", "embedded", "--to", "x"], "error: embedded holds no adapter: give the folder of a run"),
        (["export", "embedded"], "'--to'"),
        (["export", "embedded", "--to", "x", "--merged", "--portable"], "choose one"),
        (["fetch", "nothing"], "error: model 'nothing': unknown; choices: smollm2"),
        (["samples", "nothing"], "error: nothing holds no samples.jsonl: give the folder of a run"),
        (["report", "nothing"], "error: nothing holds neither a run (run.toml) nor a study (study.json): name"),
        (["report"], "Missing argument"),
        (["ranks", "nothing"], "error: nothing holds no run: there is no run.toml in it"),
        (["ranks", "nothing", "--png"], "--png says how figures are written: give --figures DIR too"),
        (["nothing"], "No such command 'nothing'"),
    ],
)
def test_what_a_user_can_mend_is_one_message_and_exit_code_2(refused, tmp_path, monkeypatch, arguments, expected):
    monkeypatch.chdir(tmp_path)
    assert expected in refused(*arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_study_is_not_started_by_torchrun(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "WORLD_SIZE = 2: a study starts the processes of its runs itself" in refused("study", "quickstart")
    assert list(tmp_path.iterdir()) == []


def test_all_faults_of_a_recipe_are_lines_of_one_message(refused):
    lines = refused("train", "quickstart", "stps=3", "rollout.group_size=1").splitlines()
    assert lines == [
        "error: quickstart: stps: unknown; did you mean steps?",
        "quickstart: rollout.group_size = 1: must be at least 2 (the group is its own baseline)",
    ]


@pytest.mark.parametrize("arguments", [["samples", "nothing"], ["recipes", "nothing"], ["train", "nothing"]])
def test_debug_raises(paring, arguments):
    assert isinstance(paring(*arguments, "--debug").exception, ValueError)


def test_a_fault_of_ours_is_not_hidden(paring, finished_run, monkeypatch):
    def broken(*_, **__):
        raise KeyError("ours")

    monkeypatch.setattr("paring.reporting.samples.choose", broken)
    assert isinstance(paring("samples", finished_run).exception, KeyError)


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_is_printed_as_it_is_written(paring, name):
    assert paring("recipes", name).stdout == (FOLDER / f"{name}.toml").read_text()


def test_recipes_are_listed(paring):
    listed = paring("recipes").stdout
    assert all(name in listed for name in recipe_names())


def test_json_of_every_reading_command(paring, finished_run, tmp_path):
    def read(*arguments):
        ended = paring(*arguments, "--json")
        assert ended.exit_code == 0, ended.output
        return json.loads(ended.stdout)

    assert list(read("recipes")) == recipe_names()
    assert read("recipes", "quickstart")["rollout"]["group_size"] == 8
    measured = read("eval", finished_run, "--limit", 3)
    assert (measured["problems"], measured["task"]) == (3, "arithmetic")
    written = read("export", finished_run, "--to", tmp_path / "to")
    assert (written["folder"], written["kind"], written["dtype"]) == (str(tmp_path / "to"), "adapter", "float32")
    assert written["check"]["reader"].startswith("PEFT ") and written["check"]["difference"] < 1e-4
    rows = read("samples", finished_run, "--step", 2, "--limit", 3, "--worst")
    assert [row["step"] for row in rows] == [2, 2, 2]
    assert rows[0]["reward"] <= rows[1]["reward"] <= rows[2]["reward"]


def test_samples_and_eval_for_people(paring, finished_run):
    shown = paring("samples", finished_run, "--limit", 2).stdout
    assert shown.count("step 4  arithmetic/") == 2 and "advantage" in shown
    measured = paring("eval", finished_run, "--limit", 3).stdout
    assert measured.startswith("arithmetic: accuracy ") and "on 3 problems (test split, greedy)" in measured
    assert "prompts" not in measured  # of benchmarks, of which none was asked
    assert "on 3 problems" in paring("eval", "embedded", "--task", "arithmetic", "--limit", 3).stdout


def test_settings_of_the_task_on_the_command_line(paring, tmp_path):
    rows = [{"question": f"{n}+1+1=", "answer": str(n + 2)} for n in range(10, 34)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    measured = paring("eval", "embedded", f"data={tmp_path}/own.jsonl", "--task", "questions", "--json")
    assert json.loads(measured.stdout)["problems"] == 24  # all of them: nothing has trained on the file


def test_a_run_in_a_folder_named_like_a_recipe_is_resumed_by_its_own(paring, finished_run, tmp_path, monkeypatch):
    shutil.copytree(finished_run, tmp_path / "quickstart")
    monkeypatch.chdir(tmp_path)
    ended = paring("train", "--resume", "quickstart")
    assert ended.exit_code == 0, ended.output
    assert ended.stdout.startswith("quickstart has come to its end already\n")


def test_new_runs_get_folders_of_their_own(paring, small_overrides, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        ended = paring("train", "quickstart", *small_overrides, "steps=1")
        assert ended.exit_code == 0, ended.output
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["quickstart", "quickstart-2"]
    assert "written to runs/quickstart-2\n" in ended.stdout
    assert "  paring samples runs/quickstart-2 --worst " in ended.stdout


@pytest.fixture
def rank_run(tmp_path):
    """The folder of a run of one module that lost a rank of two."""
    folder = tmp_path / "a run"
    folder.mkdir()
    (folder / "run.toml").write_text('steps = 9\n[adapter]\nkind = "l1ra"\nrank = 2\nbudget = "ranks"\n')
    row = {"step": 5, "ranks": {"m.0.q": 1}, "unassigned": 1, "pruned": {"m.0.q": 1}, "grown": {}, "growth": True}
    row |= {"importance": {"m.0.q": 0.5}, "cost": {"m.0.q": 7}, "kl": None}
    (folder / "ranks.jsonl").write_text(json.dumps(row) + "\n")
    return folder


def test_ranks_for_people_and_scripts(paring, rank_run):
    shown = paring("ranks", rank_run).stdout
    assert "ranks 2 -> 1 (-1), 1 unassigned" in shown
    assert "step 5: 1 component removed from 1 module; none given, 1 unassigned; no KL\n\nnext:\n" in shown
    assert f"  paring ranks '{rank_run}' --figures DIR  heat map" in shown
    read = json.loads(paring("ranks", rank_run, "--json").stdout)
    assert (read["all"]["change"], read["figures"]) == (-1, [])


def test_figures_of_ranks_are_written_on_request(paring, rank_run, tmp_path):
    pytest.importorskip("matplotlib")
    shown = paring("ranks", rank_run, "--figures", tmp_path / "new" / "figures", "--png").stdout
    names = sorted(path.name for path in (tmp_path / "new" / "figures").iterdir())
    assert names == ["ranks-flow.png", "ranks-flow.svg", "ranks-map.png", "ranks-map.svg"]
    assert all(f"written to {tmp_path / 'new' / 'figures' / name}\n" in shown for name in names)
    assert "--figures DIR" not in shown and "  paring export " in shown
    read = json.loads(paring("ranks", rank_run, "--json", "--figures", tmp_path / "svg").stdout)
    assert read["figures"] == [str(tmp_path / "svg" / name) for name in ("ranks-map.svg", "ranks-flow.svg")]


def test_two_runs_beside_each_other(paring, finished_run):
    assert "none: the recipes are the same" in paring("compare", finished_run, finished_run).stdout
    found = json.loads(paring("compare", finished_run, finished_run, "--json").stdout)
    assert found["test"]["difference"] == 0.0


def test_figures_of_ranks_that_are_fixed(refused, finished_run, tmp_path):
    assert "--figures shows ranks that move" in refused("ranks", finished_run, "--figures", tmp_path / "figures")
