"""A task from the user's own file."""

import pytest

from paring.tasks.custom import Custom

TASK = """
from paring.types import Problem, Score

class Shout:
    def problems(self, split):
        return [Problem(f"shout/{split}/{n}", ({"role": "user", "content": "shout"},), "A") for n in range(3)]

    def score(self, problem, text):
        return Score({"capitals": sum(c.isupper() for c in text) / max(1, len(text))}, text.isupper())

not_a_class = 1
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "my.py").write_text(TASK)
    return tmp_path / "my.py"


def test_its_problems_and_scores_are_those_of_the_class(file):
    task = Custom(path=f"{file}:Shout")
    problem = task.problems("train")[2]
    assert problem.id == "shout/train/2"
    assert task.score(problem, "AAbb").reward == 0.5
    assert task.score(problem, "AB").correct


@pytest.mark.parametrize(
    "path, complaint",
    [
        ("my.py", "such as my.py:MyTask"),
        ("my.txt:Shout", "such as my.py:MyTask"),
        ("{folder}/absent.py:Shout", "there is no file"),
        ("{folder}/my.py:Whisper", "has no class Whisper"),
        ("{folder}/my.py:not_a_class", "has no class not_a_class"),
    ],
)
def test_what_cannot_be_used_is_named(file, path, complaint):
    with pytest.raises(ValueError, match=complaint):
        Custom(path=path.format(folder=file.parent)).problems("train")
