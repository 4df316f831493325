"""Chats and templates in whole runs: from the command line, with rows left out, ends, and begun answers."""

import json

import pytest
from typer.testing import CliRunner

from paring import load_run, train
from paring.cli import app
from paring.policy.loading import Model, load_base
from paring.policy.model import Policy
from paring.rollout.engine import Sampling
from paring.rollout.local import LocalEngine
from paring.runtime.journal import read_rows
from paring.subjects.export import export
from paring.types import Key, Problem

TURNS = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|unk|>\n{% endfor %}"
# The turns of this template end in a token that the embedded model does not know as an end.
OTHER_END = TURNS.replace("\n", "") + "{% if add_generation_prompt %}<|assistant|>{% endif %}"
BEGUN = OTHER_END.replace("<|assistant|>{% endif", "<|assistant|><answer>{% endif")
SMALL = ["steps=1", "threads=1", "batch=4", "model.path=embedded", "adapter.rank=4", "evaluate.limit=2"]


def chat(number):
    asked = {"role": "user", "content": f"{number}+1+1="}
    return {"messages": [asked, {"role": "assistant", "content": f"<answer>{number + 2}</answer>"}]}


@pytest.fixture
def chats(tmp_path):
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps(chat(number)) + "\n" for number in range(1, 17)))
    return path


def said(*arguments):
    ended = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert ended.exit_code == 0, ended.output
    return ended.stdout


@pytest.mark.parametrize("kind", ["chats", "auto"])
def test_own_chats_start_from_the_command_line(chats, kind):
    """The recipe's rows are prompts with completions; what only they know is dropped."""
    shown = said("train", "sft-gsm8k-lora", *SMALL, f"data.data={chats}", f"data.rows.kind={kind}", "--dry-run")
    assert "⟦<answer>" in shown and "</answer><|end|>⟧" in shown


def test_rows_that_are_left_out_are_on_record(chats, tmp_path):
    with chats.open("a") as file:
        file.write("{\n" + json.dumps(chat(3)) + "\n" + json.dumps(chat(int("1" * 90))) + "\n")
    settings = {"data.data": str(chats), "data.broken": "skip", "data.rows.kind": "auto", "data.longest": 60}
    run = load_run("sft-gsm8k-lora", **settings, **{"model.path": "embedded", "steps": 1, "threads": 1, "batch": 2})
    train(run, tmp_path / "run")
    rows = [json.loads(line) for line in (tmp_path / "run/skipped.jsonl").read_text().splitlines()]
    assert [(row["place"], row["kind"]) for row in rows] == [
        (f"{chats}:17", "not JSON"),
        (f"{chats}:18", "repeated"),
        (f"{chats}:19", "too long"),
    ]
    shown = said("samples", tmp_path / "run", "--tokens", "--limit", 1)
    assert "<|assistant|>⟦<answer>" in shown


def test_samples_show_what_a_run_learned(finished_run):
    [row, *_] = list(read_rows(finished_run / "samples.jsonl"))
    shown = said("samples", finished_run, "--tokens", "--step", 1, "--limit", 1)
    assert f"<|user|>{row['prompt'][0]['content']}<|assistant|>⟦{row['completion']}" in shown
    assert "<|user|>" in said("samples", "quickstart", "--tokens", "--limit", 1)


def policy_with(template, tmp_path):
    (tmp_path / "own.jinja").write_text(template)
    model, tokenizer = load_base(Model(chat_template=str(tmp_path / "own.jinja")))
    return Policy(model, tokenizer, {})


def test_an_answer_that_its_prompt_begins_is_judged_whole(tmp_path):
    policy = policy_with(BEGUN, tmp_path)
    problem = Problem("x", ({"role": "user", "content": "1+2="},), "3")
    [group] = LocalEngine(policy).sample([problem], 2, Sampling(max_new_tokens=6), Key(0, 1))
    assert all(one.text.startswith("<answer>") for one in group.completions)
    assert policy.tokenizer.decode(list(group.prompt)).endswith("<|assistant|><answer>")


def test_the_end_of_a_turn_is_an_end_in_rollouts_and_exports(chats, tmp_path):
    policy = policy_with(OTHER_END, tmp_path)
    end = policy.tokenizer.convert_tokens_to_ids("<|unk|>")
    assert policy.ends == {end, policy.tokenizer.eos_token_id}
    settings = {"data.data": str(chats), "data.rows.kind": "auto", "model.chat_template": str(tmp_path / "own.jinja")}
    run = load_run("sft-gsm8k-lora", **settings, **{"model.path": "embedded", "steps": 1, "threads": 1, "batch": 2})
    train(run, tmp_path / "run")
    for merged in (True, False):
        folder = export(tmp_path / "run", tmp_path / f"merged-{merged}", merged=merged)
        written = json.loads((folder / "generation_config.json").read_text())
        assert set(written["eos_token_id"]) == policy.ends
        assert (folder / "chat_template.jinja").read_text() == OTHER_END


def test_splits_that_share_prompts_are_refused(tmp_path):
    (tmp_path / "own.py").write_text(
        "from paring.types import Problem, Score\n"
        "class Same:\n"
        "    name = 'same'\n"
        "    def problems(self, split):\n"
        "        asked = [({'role': 'user', 'content': f'{n}+1='},) for n in range(9)]\n"
        "        return [Problem(f'{split}/{n}', turns, str(n)) for n, turns in enumerate(asked)]\n"
        "    def score(self, problem, text):\n"
        "        return Score({'right': 1.0}, True)\n"
    )
    ended = CliRunner().invoke(app, ["train", "quickstart", f"task.path={tmp_path}/own.py:Same", "--dry-run"])
    assert ended.exit_code == 2
    assert "held-out problems have prompts that are trained on (test/0, test/1" in ended.stderr


def test_old_names_of_settings_point_to_the_new_one():
    for old, new in (("task.train", "task.data"), ("task.test_data", "task.test")):
        ended = CliRunner().invoke(app, ["train", "quickstart", "task.name=questions", f"{old}=a.jsonl", "--dry-run"])
        assert ended.exit_code == 2 and f"{old}: is called {new}" in ended.stderr
    ended = CliRunner().invoke(app, ["train", "sft-gsm8k-lora", "data.path=a.jsonl", "--dry-run"])
    assert ended.exit_code == 2 and "data.path: is called data.data" in ended.stderr


def test_prompts_that_are_too_long_are_left_out_on_request(tmp_path):
    rows = [{"question": f"{number}+1=", "answer": number + 1} for number in range(1, 41)]
    rows += [{"question": "1+" * 60 + str(number), "answer": 1} for number in range(4)]
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"task.name": "questions", "task.data": str(path), "task.long": "skip", "steps": 1, "threads": 1}
    small = {"rollout.problems": 2, "rollout.group_size": 2, "evaluate.limit": 2, "rollout.max_new_tokens": 20}
    train(load_run("quickstart", **settings, **small), tmp_path / "run")
    left_out = [json.loads(line)["place"] for line in (tmp_path / "run/skipped.jsonl").read_text().splitlines()]
    assert set(left_out) <= {f"{path}:{line}" for line in range(41, 45)} and len(left_out) >= 2
