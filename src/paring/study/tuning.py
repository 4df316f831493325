"""Which values a study tries for the settings that it tunes: those of a list, or those that Optuna proposes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, JsonValue, Strict

from paring.settings.declare import CountOrZero, settings
from paring.types import Json

if TYPE_CHECKING:
    import optuna

Seeds = Annotated[tuple[CountOrZero, ...], Strict(False), Field(min_length=1)]
Values = Annotated[tuple[JsonValue, ...], Strict(False), Field(min_length=1)]
Settings = dict[str, JsonValue]
"""Dotted keys of a run and their values; sections may be nested as in a recipe."""


@dataclass(frozen=True)
class TuningTrial:
    """Settings that are tried, the name of their folder, and in words."""

    settings: Settings = field(hash=False)
    folder: str
    words: str


@settings
class Tune:
    """The `tune` section: for each arm and setting, the value of `key` with the best mean accuracy on the validation
    split over `seeds` is chosen before the final seeds run."""

    kind: Literal["grid"] = "grid"
    key: str = "optimiser.lr"
    values: Values
    seeds: Seeds = (1000,)
    """None of the final seeds: a value chosen on a seed is not judged by it."""

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key,)

    @property
    def count(self) -> int:
        """How many trials each arm has at each setting."""
        return len(self.values)

    def tried(self, scores: Sequence[float | None]) -> list[TuningTrial]:
        """All trials, whatever the scores of the first."""
        last = self.key.rpartition(".")[2]
        return [TuningTrial({self.key: value}, f"tune-{last}-{label(value)}", in_words(value)) for value in self.values]

    def value_of(self, trial: TuningTrial) -> JsonValue:
        """The chosen trial as it is recorded."""
        return trial.settings[self.key]

    def settings_of(self, value: JsonValue) -> Settings:
        """The settings of a recorded choice."""
        return {self.key: value}

    def as_plain(self) -> dict[str, Json]:
        """As a study file has it."""
        return {"key": self.key, "values": list(self.values), "seeds": list(self.seeds)}


@settings
class Range:
    """Numbers from `low` to `high`, both included: whole ones where both are. `log`: as likely in every decade."""

    low: float | int
    high: float | int
    log: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"low = {self.low} is not below high = {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low = {self.low} with log = true: a logarithm needs a low above 0")


@settings
class Search:
    """The `tune` section with `kind = "optuna"`: for each arm and setting, Optuna's tree-structured Parzen estimator
    (Bergstra et al. 2011) proposes `trials` combinations, one after the other, each from the mean validation accuracies
    of those before; the best is chosen. The same accuracies give the same proposals, so a study goes on where it was.

    search   for each key its values: a list, or { low = 1e-5, high = 1e-2, log = true }
    trials   how many are tried
    seeds    none of the final seeds
    seed     of the proposals
    """

    kind: Literal["optuna"]
    search: Annotated[dict[str, Range | Values], Field(min_length=1)]
    trials: Annotated[int, Field(ge=2, le=1000)] = 20
    seeds: Seeds = (1000,)
    seed: CountOrZero = 0

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(self.search)

    @property
    def count(self) -> int:
        """How many trials each arm has at each setting."""
        return self.trials

    def tried(self, scores: Sequence[float | None]) -> list[TuningTrial]:
        """The trials whose scores are given, in their order, None for one that failed; and the next, if there is one.
        Raises ModuleNotFoundError without the extra."""
        try:
            import optuna  # late: an extra
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                "[tune] with kind = \"optuna\" needs Optuna: pip install 'paring[optuna]'", name="optuna"
            ) from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=self.seed))
        trials: list[TuningTrial] = []
        for score in [*scores, None][: self.trials]:
            asked = study.ask()
            proposed: Settings = {key: _suggested(asked, key, values) for key, values in self.search.items()}
            words = ", ".join(f"{key} = {in_words(value)}" for key, value in proposed.items())
            number = len(trials) + 1
            trials.append(TuningTrial(proposed, f"trial-{number}", f"{number}: {words}"))
            if score is None:
                study.tell(asked, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(asked, score)
        return trials

    def value_of(self, trial: TuningTrial) -> JsonValue:
        """The chosen trial as it is recorded."""
        return dict(trial.settings)

    def settings_of(self, value: JsonValue) -> Settings:
        """The settings of a recorded choice."""
        assert isinstance(value, dict)
        return dict(value)

    def as_plain(self) -> dict[str, Json]:
        """As a study file has it."""
        search: dict[str, Json] = {
            key: {"low": values.low, "high": values.high, "log": values.log} if isinstance(values, Range) else [*values]
            for key, values in self.search.items()
        }
        seeds: list[Json] = list(self.seeds)
        return {"kind": self.kind, "search": search, "trials": self.trials, "seeds": seeds, "seed": self.seed}


def label(value: JsonValue) -> str:
    """A value made fit for a path."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", in_words(value)).strip("-.") or "empty"


def in_words(value: JsonValue) -> str:
    """A value as people write it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _suggested(trial: "optuna.Trial", key: str, values: Range | Values) -> JsonValue:
    if not isinstance(values, Range):
        # By their places: Optuna takes no lists among its choices.
        return values[trial.suggest_categorical(key, list(range(len(values))))]
    if isinstance(values.low, int) and isinstance(values.high, int):
        return trial.suggest_int(key, values.low, values.high, log=values.log)
    return float(f"{trial.suggest_float(key, values.low, values.high, log=values.log):.6g}")
