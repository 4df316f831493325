"""Reward functions as TRL's GRPOTrainer (trl 1.16) calls them, over rows with a prompt: they run here unchanged."""

import json
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Literal

from paring.runtime.faults import RowFault
from paring.runtime.rows import check_text, field_of, message_of
from paring.runtime.sources import Source
from paring.settings.declare import NotNegative, settings
from paring.settings.own_code import function_in
from paring.tasks.chat_turns import read_json
from paring.tasks.own_calls import CallFailed, Failed, Seconds, called, filled, rewards_in
from paring.tasks.own_data import DataRows, TaskData, read_rows_of, with_system
from paring.tasks.splits import digest, three_splits
from paring.types import Completion, Group, Message, Problem, Score, Split

NOT_COLUMNS = ("prompt", "completion", "completion_ids")
"""Columns of a row that TRL does not hand on under their own names."""
RewardFunction = Callable[..., object]


@settings
class RewardFunctions(TaskData):
    """Rows with a `prompt`, and functions `reward(completions, **columns) -> list[float | None]`.

    data         as for every task (tasks/own_data.py); each row has a prompt, a text or a list of turns like {"role",
                 "content"}, and any other columns. On the hub only a `test_split` that is named is held out
    prompt_field   the name of the column that holds the prompt
    system       a system prompt in the place of the rows' own; empty: none
    reward       a function in a Python file, such as "my.py:reward", or a list of them. The file is run, as any
                 program of yours is: give only files that you trust. None: the `judge` alone scores
    weights      as many weights as functions; by default each weighs 1
    correct_at   an answer counts as correct if its weighted sum of rewards is at least this: TRL has no such notion,
                 and accuracies need one
    seconds      the longest that a call of a function may take; 0: no limit
    failed       "stop": a call that fails ends the run; "skip": its rewards are left out, and counted

    An eighth of the rows each is `test`, unless the data have held-out rows, and `validation`; the rest is `train`
    (tasks/splits.py). The gold of a problem is the JSON of its row.
    """

    name: Literal["reward-functions"] = "reward-functions"
    prompt_field: str = "prompt"
    system: str | None = None
    reward: str | tuple[str, ...] = ()
    weights: tuple[NotNegative, ...] = ()
    correct_at: float = 1.0
    seconds: Seconds = 600.0
    failed: Failed = "stop"

    def __post_init__(self) -> None:
        if self.weights and len(self.weights) != len(self._paths):
            raise ValueError(f"weights has {len(self.weights)} numbers for {len(self._paths)} functions: one for each")
        if not self._paths and (self.judge is None or self.judge.correct_at is None):
            raise ValueError("reward: give a function or a list of them, or a judge with correct_at")

    def problems(self, split: Split) -> Sequence[Problem]:
        """The problems of a split. The functions are looked up too, so that a wrong name is found before any work.

        Raises FileNotFoundError or ValueError with the place if a file is missing or broken, a prompt is no text and no
        list of turns that ends with the user's, or stands twice, or if there are too few rows for every split;
        ModuleNotFoundError without the extra."""
        self._functions()
        rows = self._rows()
        return three_splits(rows.trained, lambda problem: problem.id, rows.tested, self.data)[split]

    def skipped(self) -> list[RowFault]:
        """The rows that are left out. Raises as `problems`."""
        return self._rows().faults.found

    def reference(self, problem: Problem) -> str:
        """The columns of its row, apart from the prompt."""
        columns = {name: value for name, value in _row_of(problem).items() if name not in ("prompt", self.prompt_field)}
        return "\n".join(
            f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
            for name, value in columns.items()
        )

    def score(self, problem: Problem, text: str) -> Score:
        """One answer alone, whose tokens are not known. Raises as `score_groups` does."""
        return self.score_groups([Group(problem, (), (Completion((), (), text, True),))])[0][0]

    def score_groups(self, groups: Sequence[Group]) -> list[list[Score]]:
        """A score for each completion, [P][G]; its parts are the weighted rewards by the functions' names.

        Each function is called once with all completions, as TRL does. None from a function means that it does not
        apply, and counts 0 in the sum. An answer to which no function applies gets the mean of the others of its group,
        so that its advantage is 0, and is not correct; where there are no others, 0. (TRL leaves it out of the group's
        deviation too, which here it lowers a little.)
        Raises ValueError where a function fails or does not give a finite number or None for each completion."""
        if not self._paths:
            return [[Score({}, False) for _ in group.completions] for group in groups]
        columns = _columns(groups)
        count = sum(len(group.completions) for group in groups)
        functions = zip(self._paths, self._functions(), strict=True)
        rewards_of, reasons = zip(*(self._called(path, one, columns, count) for path, one in functions), strict=True)
        failed = {name: reason for name, reason in zip(self._names, reasons, strict=True) if reason}
        rewards_by_answer = iter(zip(*rewards_of, strict=True))
        return [self._scores_of(list(islice(rewards_by_answer, len(group.completions))), failed) for group in groups]

    def _called(
        self, path: str, function: RewardFunction, columns: dict[str, object], count: int
    ) -> tuple[list[float | None], str]:
        """The rewards of a function, and why it failed where it did. Raises CallFailed unless failures are skipped."""
        what = f"task.reward = {path!r}"
        try:
            return rewards_in(what, called(what, function, seconds=self.seconds, **columns), count), ""
        except CallFailed as error:
            if self.failed == "stop":
                raise
            return [None] * count, str(error)

    @property
    def _paths(self) -> tuple[str, ...]:
        return (self.reward,) if isinstance(self.reward, str) else self.reward

    def _functions(self) -> list[RewardFunction]:
        return [function_in(path, setting="task.reward", example="my.py:reward") for path in self._paths]

    @property
    def _names(self) -> Sequence[str]:
        """The functions' own names, or their paths where two have the same name."""
        names = [path.rpartition(":")[2] for path in self._paths]
        return names if len(set(names)) == len(names) else self._paths

    def _scores_of(self, rewards_G: Sequence[Sequence[float | None]], failed: dict[str, str]) -> list[Score]:
        """The scores of a group."""
        score_G = [self._score_of(rewards) for rewards in rewards_G]
        return filled(score_G, [failed] * len(score_G), self._names)

    def _score_of(self, rewards: Sequence[float | None]) -> Score | None:
        """None where no function applies."""
        if all(reward is None for reward in rewards):
            return None
        weights = self.weights or (1.0,) * len(rewards)
        weighted = zip(self._names, weights, rewards, strict=True)
        parts = {name: 0.0 if reward is None else weight * reward for name, weight, reward in weighted}
        return Score(parts, sum(parts.values()) >= self.correct_at)

    def _rows(self) -> DataRows[Problem]:
        rows = read_rows_of(
            self,
            "task",
            self._problem,
            (self.prompt_field,),
            key=lambda problem: problem.id,
            place=lambda problem: problem.place,
            what="prompt",
            own_test=self.test_split is not None or not Source(self.data, "task.data").is_on_hub,
        )
        for part in (rows.trained, rows.tested or ()):
            if len({isinstance(_row_of(problem)["prompt"], str) for problem in part}) > 1:
                raise ValueError(f"{self.data}: some prompts are texts and others lists of turns; write all in one way")
        return rows

    def _problem(self, value: object, place: str) -> Problem:
        """Raises RowFault."""
        prompt = _turns_in(field_of(value, self.prompt_field, place))
        assert isinstance(value, dict)
        if isinstance(prompt, str):
            text = check_text(prompt, f"field {self.prompt_field!r}", place)
            messages: tuple[Message, ...] = ({"role": "user", "content": text},)
        elif isinstance(prompt, list) and prompt:
            messages = tuple(message_of(turn, f"prompt[{number}]", place) for number, turn in enumerate(prompt))
        else:
            words = f"field {self.prompt_field!r} must be a text, or a list of turns with role and content"
            raise RowFault(place, "not a text", words)
        if messages[-1]["role"] not in ("user", "tool"):
            words = f"the prompt ends with the {messages[-1]['role']}'s turn; it must end with the user's"
            raise RowFault(place, "not a conversation", words)
        try:
            row = json.dumps({**value, "prompt": prompt}, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as error:
            words = f"the column {_no_json(value)!r} cannot be written as JSON ({error}): leave it out"
            raise RowFault(place, "with a column that is no JSON", words) from error
        identity = f"reward-functions/{digest(json.dumps(prompt))}"
        return Problem(identity, with_system(messages, self.system), row, place=place)


def _turns_in(prompt: object) -> object:
    """Turns that stand as JSON in a text, as tables have them; anything else as it is."""
    turns = read_json(prompt) if isinstance(prompt, str) and prompt.lstrip().startswith("[") else prompt
    are_turns = isinstance(turns, list) and all(isinstance(turn, dict) and "role" in turn for turn in turns)
    return turns if are_turns else prompt


def _no_json(row: dict[str, object]) -> str:
    """The first column that cannot be written as JSON."""
    for name, held in row.items():
        try:
            json.dumps(held, allow_nan=False)
        except (TypeError, ValueError):
            return name
    return "prompt"


def _row_of(problem: Problem) -> dict[str, object]:
    """The row of the data that a problem was made from."""
    return json.loads(problem.gold)


def _columns(groups: Sequence[Group]) -> dict[str, object]:
    """The arguments of a function, as TRL passes them: a value for each completion, those of a group one after the
    other. The completion of a conversation is a list of one turn. Columns that only some rows have are None in the
    others."""
    completions = [completion for group in groups for completion in group.completions]
    rows = [_row_of(group.problem) for group in groups for _ in group.completions]
    names = dict.fromkeys(name for row in rows for name in row if name not in NOT_COLUMNS)
    columns: dict[str, object] = {name: [row.get(name) for row in rows] for name in names}
    return columns | {
        "prompts": [row["prompt"] for row in rows],
        "completions": [
            completion.text if isinstance(row["prompt"], str) else [{"role": "assistant", "content": completion.text}]
            for row, completion in zip(rows, completions, strict=True)
        ],
        "completion_ids": [list(completion.tokens) for completion in completions],
        "trainer_state": None,
        "log_extra": _not_logged,
        "log_metric": _not_logged,
    }


def _not_logged(*_: object) -> None:
    """In the place of TRL's `log_extra` and `log_metric`: the journal has the rewards already."""
