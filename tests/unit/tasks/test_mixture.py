"""Several tasks in one run: drawn by weight, judged by their own tasks, reported apart."""

import json
from collections import Counter

import pytest

from paring import load_run
from paring.settings.complaints import RecipeError
from paring.tasks.arithmetic import Arithmetic
from paring.tasks.base import judged
from paring.tasks.mixture import Mixture, by_label, label_of
from paring.training.config import as_plain, to_toml, validate
from paring.training.draws import problems_of_step
from paring.types import Completion, Group

REST = {"steps": 2, "rollout": {"problems": 8, "group_size": 2, "max_new_tokens": 8}}


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"question": f"q{n}", "answer": n}) + "\n" for n in range(40)))
    return str(path)


@pytest.fixture(autouse=True)
def few_sums(monkeypatch):
    """All of them take a second to write out."""
    problems = Arithmetic.problems
    monkeypatch.setattr(Arithmetic, "problems", lambda self, split: problems(self, split)[:400])


@pytest.fixture
def mixture(rows):
    tasks = [{"name": "arithmetic", "weight": 3}, {"name": "questions", "data": rows, "label": "mine"}]
    task = validate({"tasks": tasks, **REST}, source="mine.toml").task
    assert isinstance(task, Mixture)
    return task


def test_tasks_are_written_as_a_list_and_read_back(mixture, rows):
    run = validate({"tasks": [{"name": "arithmetic"}, {"data": rows, "name": "questions"}], **REST}, source="x")
    assert list(run.task.by_label) == ["arithmetic", "questions"]
    assert validate(as_plain(run), source="again") == run and "[[task.tasks]]" in to_toml(run)
    assert list(mixture.by_label) == ["arithmetic", "mine"]
    assert mixture.shares == {"arithmetic": (0.0, 0.75), "mine": (0.75, 1.0)}
    alone = validate({"tasks": [{"name": "arithmetic", "weight": 2.0}], **REST}, source="x")
    assert alone.task == Arithmetic()


def test_a_list_takes_the_place_of_a_recipe_s_task_and_the_other_way_round(rows, tmp_path):
    tasks = [{"name": "arithmetic"}, {"name": "chains"}]
    assert list(load_run("quickstart", tasks=tasks).task.by_label) == ["arithmetic", "chains"]
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        "steps = 1\n[[tasks]]\nname='arithmetic'\n[[tasks]]\nname='arithmetic'\n[rollout]\n"
        "problems = 2\ngroup_size = 2\nmax_new_tokens = 4\n"
    )
    assert list(load_run(recipe).task.by_label) == ["arithmetic", "arithmetic-2"]
    assert load_run(recipe, **{"task.name": "chains"}).task.name == "chains"


@pytest.mark.parametrize(
    ("tasks", "complaint"),
    [
        ([{"name": "arithmetic"}, {"name": "questions"}], r"tasks\[1\].data: required, but not given"),
        ([{"name": "arithmetic", "weight": 0}, {"name": "chains"}], r"tasks\[0\].weight = 0.0: .*greater than 0"),
        ([{"name": "arithmetic"}, {"name": "nothing"}], r"tasks\[1\].name = 'nothing': unknown"),
        ([{"name": "arithmetic", "label": "a"}, {"name": "chains", "label": "a"}], "label 'a' stands there twice"),
        ("arithmetic", "give a list of tasks"),
    ],
)
def test_what_cannot_be_mixed_is_named(tasks, complaint):
    with pytest.raises(RecipeError, match=complaint):
        validate({"tasks": tasks, **REST}, source="mine.toml")


def test_one_or_several_but_not_both():
    with pytest.raises(RecipeError, match="task and tasks: give one of them"):
        validate({"tasks": [], "task": {"name": "arithmetic"}, **REST}, source="mine.toml")


def test_problems_stand_in_turn_and_ids_say_whose_they_are(mixture):
    problems = mixture.problems("test")
    assert [label_of(problem.id) for problem in problems[:6]] == ["arithmetic", "mine"] * 3
    assert len({problem.id for problem in problems}) == len(problems)


def test_steps_draw_by_weight(mixture):
    parts = by_label(mixture, mixture.problems("train"))
    steps = [problems_of_step(mixture, parts, 8, seed=0, step=step) for step in range(1, 101)]
    assert all(Counter(label_of(one.id) for one in step) == {"arithmetic": 6, "mine": 2} for step in steps)
    assert all(len({one.id for one in step}) == 8 for step in steps)


def test_each_task_judges_its_own(mixture):
    problems = mixture.problems("train")[:4]
    groups = [
        Group(one, (1,), tuple(Completion((1,), (0.0,), f"<answer>{text}</answer>", True) for text in (one.gold, "x")))
        for one in problems
    ]
    for group, row in zip(groups, judged(mixture, groups), strict=True):
        assert [score.correct for score in row] == [True, False]
        assert row[0] == mixture.score(group.problem, group.completions[0].text)
