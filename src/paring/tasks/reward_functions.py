"""Reward functions as TRL's trainers call them, over rows with a prompt: a user of TRL moves over without rewriting."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from paring.settings.declare import NotNegative, settings
from paring.settings.own_code import function_in
from paring.tasks.order import digest, hash_order
from paring.tasks.rewarding import Judge, row_of
from paring.tasks.rows import check_text, field_of, hub_values, jsonl_values, message_of
from paring.types import Completion, Group, Message, Problem, Score, Split


@settings
class RewardFunctions:
    """Rows with a `prompt`, and functions `reward(completions, **columns) -> list[float | None]`.

    data         a .jsonl file, or a name on the hub (needs the `data` extra); each row has a "prompt", a text or a list
                 of turns like {"role", "content"}, and any other columns
    hub_config   which configuration of a data set on the hub; files have none
    test         a .jsonl file of held-out rows. Without one an eighth of the rows is held out
    reward       a function in a Python file, such as "my.py:reward", or a list of them. The file is run, as any
                 program of yours is: give only files that you trust
    weights      as many weights as functions; by default each weighs 1
    correct_at   an answer counts as correct if its weighted sum of rewards is at least this: TRL has no such notion,
                 and accuracies need one

    In hash order of the prompt the first eighth of the rows (at least one) is `test` unless there is a test file, the
    next eighth is `validation`, and the rest is `train`. The gold of a problem is the JSON of its row.
    """

    name: Literal["reward-functions"] = "reward-functions"
    data: str
    hub_config: str | None = None
    test: str | None = None
    reward: str | Annotated[tuple[str, ...], Field(min_length=1)]
    weights: tuple[NotNegative, ...] = ()
    correct_at: float = 1.0

    def __post_init__(self) -> None:
        if self.weights and len(self.weights) != len(self._paths):
            raise ValueError(f"weights has {len(self.weights)} numbers for {len(self._paths)} functions: one for each")

    def problems(self, split: Split) -> Sequence[Problem]:
        """The problems of a split. The functions are looked up too, so that a wrong name is found before any work.

        Raises FileNotFoundError or ValueError with the place if a file is missing or broken, a prompt is no text and no
        list of turns that ends with the user's, or stands twice, or if there are too few rows for every split;
        ModuleNotFoundError without the extra."""
        self._judge()
        rows = self._rows(self.data)
        tested = [] if self.test is None else self._rows(self.test)
        _reject_repeats(rows + tested)
        needed = 3 if self.test is None else 2
        if len(rows) < needed:
            raise ValueError(f"{self.data}: {len(rows)} rows, at least {needed} are needed to split them")
        ordered = hash_order((problem for problem, _ in rows), lambda problem: problem.id)
        eighth = max(1, len(ordered) // 8)
        held_out = [problem for problem, _ in tested]
        if self.test is None:
            held_out, ordered = ordered[:eighth], ordered[eighth:]
        return {"test": held_out, "validation": ordered[:eighth], "train": ordered[eighth:]}[split]

    def score(self, problem: Problem, text: str) -> Score:
        """One answer alone, whose tokens are not known. Raises as `score_groups` does."""
        return self.score_groups([Group(problem, (), (Completion((), (), text, True),))])[0][0]

    def score_groups(self, groups: Sequence[Group]) -> list[list[Score]]:
        """What the functions say, each called once with all completions, as TRL does (tasks/rewarding.py).

        Raises ValueError where a function fails or does not give a finite number or None for each completion."""
        return self._judge().scores(groups)

    @property
    def _paths(self) -> tuple[str, ...]:
        return (self.reward,) if isinstance(self.reward, str) else self.reward

    def _judge(self) -> Judge:
        functions = [function_in(path, setting="task.reward", example="my.py:reward") for path in self._paths]
        return Judge(self._paths, functions, self.weights or (1.0,) * len(functions), self.correct_at)

    def _rows(self, path: str) -> list[tuple[Problem, str]]:
        rows = [(_problem(value, place), place) for value, place in self._values(path)]
        if len({isinstance(row_of(problem)["prompt"], str) for problem, _ in rows}) > 1:
            raise ValueError(f"{path}: some prompts are texts and others lists of turns; write all in one way")
        return rows

    def _values(self, path: str) -> Iterator[tuple[object, str]]:
        if Path(path).expanduser().exists() or Path(path).suffix == ".jsonl" or path.count("/") != 1:
            return jsonl_values(path, ("prompt",))
        return hub_values(path, self.hub_config, "train")


def _problem(value: object, place: str) -> Problem:
    prompt = field_of(value, "prompt", place)
    if isinstance(prompt, str):
        check_text(prompt, "field 'prompt'", place)
        messages: tuple[Message, ...] = ({"role": "user", "content": prompt},)
    elif isinstance(prompt, list) and prompt:
        messages = tuple(message_of(turn, f"prompt[{number}]", place) for number, turn in enumerate(prompt))
    else:
        raise ValueError(f"{place}: field 'prompt' must be a text, or a list of turns with role and content")
    if messages[-1]["role"] != "user":
        raise ValueError(
            f"{place}: the prompt ends with the {messages[-1]['role']}'s turn; it must end with the user's"
        )
    try:
        row = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{place}: a column cannot be written as JSON ({error}): leave it out") from error
    return Problem(f"reward-functions/{digest(json.dumps(prompt))}", messages, row)


def _reject_repeats(rows: Iterable[tuple[Problem, str]]) -> None:
    first: dict[str, str] = {}
    for problem, place in rows:
        earlier = first.setdefault(problem.id, place)
        if earlier != place:
            raise ValueError(f"{place}: the same prompt as {earlier}; keep one of them")
