"""A run as data: collects the settings of every room, and checks a recipe against them."""

import json
import re
from copy import deepcopy
from dataclasses import asdict, field
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tomli_w
from pydantic import Field, TypeAdapter, ValidationError

from paring.adapters.beginning import Beginning
from paring.adapters.kinds import Adapter, Lora
from paring.evaluation.measuring import Evaluate
from paring.maths.objectives import AnyObjective, Rgra
from paring.policy.loading import Model
from paring.policy.sharding import Parallel
from paring.rollout.engine import Rollout
from paring.runtime.checkpoint import Save
from paring.settings.complaints import RecipeError, complaints, valid_keys
from paring.settings.declare import Count, CountOrZero, NotNegative, settings
from paring.settings.recipes import changes, is_record, override, read_recipe
from paring.tasks.examples import Examples
from paring.tasks.mixture import Mixture, OneTask
from paring.tracking.trackers import TrackerName
from paring.training.collapse import Collapse
from paring.training.heldout import EvaluateLoss
from paring.training.optim import Adam
from paring.training.unsaid import leave_old_data, name_rows
from paring.types import Json

AnyTask = Annotated[OneTask | Mixture, Field(discriminator="name")]


@settings
class _AnyMethod:
    """The first fields of every run, whatever its method."""

    method: str
    description: str = ""
    seed: CountOrZero = 0
    steps: Count
    threads: CountOrZero = 0
    """Threads of the matrix library; 0: the number that is best for the machine and the model."""
    track: tuple[TrackerName, ...] = ()
    """Where the figures are sent too, beside the run's own record (docs/tracking.md)."""
    model: Model = Model()
    parallel: Parallel = Parallel()


@settings
class Run(_AnyMethod):
    """Everything that determines a run. Same run, versions and thread count: same bytes on the CPU."""

    method: Literal["rl"] = "rl"
    task: AnyTask
    rewards: dict[str, NotNegative] = field(default_factory=dict)
    """Weights of the parts of the task's reward by name; a part that is not named weighs 1."""
    rollout: Rollout
    objective: AnyObjective = Rgra()
    adapter: Adapter = Lora()
    optimiser: Adam = Adam()
    evaluate: Evaluate = Evaluate()
    collapse: Collapse = Collapse()
    save: Save = Save()

    def __post_init__(self) -> None:
        _check_best(self.save, self.evaluate)

    @property
    def record_bytes(self) -> float:
        """The most that is kept of a rollout's forward pass for the update. 0 where that needs another one: an older
        policy has sampled, servers do, or dropout acts."""
        is_older = self.rollout.sync_every > 1 or self.rollout.ahead > 0
        of_use = not is_older and self.rollout.engine == "local" and not self.adapter.dropout
        return self.rollout.record_gb * 1e9 if of_use else 0.0


@settings
class SftRun(_AnyMethod):
    """The same of a supervised run."""

    method: Literal["sft"] = "sft"
    data: Examples
    batch: Count = 8
    """Examples a step."""
    adapter: Adapter = Lora()
    optimiser: Adam = Adam()
    evaluate: EvaluateLoss = EvaluateLoss()
    save: Save = Save()

    def __post_init__(self) -> None:
        _check_best(self.save, self.evaluate)
        if isinstance(self.adapter, Beginning) and self.adapter.reference == "start":
            raise ValueError('adapter.reference = "start": supervised runs have no KL term; leave it out')


def _check_best(save: Save, evaluate: Evaluate | EvaluateLoss) -> None:
    if save.best == "validation" and not evaluate.every:
        raise ValueError("save.best = validation: nothing is measured on the way; set evaluate.every")


AnyRun = Run | SftRun
Plain = dict[str, Any]
"""A recipe or a run as TOML holds it, before it is checked or after."""
_ENTRY = re.compile(r"\btask\.tasks\[(\d+)\](?:\.task\b)?")
"""The place of a fault in one of several tasks, which a recipe writes as `[[tasks]]`."""
OWN_TASKS = {"path": "custom", "reward": "reward-functions"}
METHODS: dict[str, type[AnyRun]] = {"rl": Run, "sft": SftRun}


def load_run(name_or_path: str | Path, **overrides: Json) -> AnyRun:
    """A shipped recipe by name, or a TOML file, with overrides: `load_run("quickstart", seed=1,
    rollout={"group_size": 4})`, or with dotted names, `**{"rollout.group_size": 4}`. Without a `method` the run is
    reinforcement learning. If an override changes the kind of a section, the recipe's settings that the new kind
    shares are kept and the others are dropped.

    Raises RecipeError (a ValueError) that lists everything wrong at once."""
    data, given = read_recipe(name_or_path), {}
    for key, value in overrides.items():
        override(given, key, value)
    _join_tasks(given, str(name_or_path))
    _name_own_task(given)
    name_rows(given, data)
    if "tasks" in data and "task" in given:
        del data["tasks"]
    _join_tasks(data, str(name_or_path))
    recipe = deepcopy(data)
    leave_old_data(data, given)
    for key, value in given.items():
        override(data, key, value)
    _drop_what_no_longer_applies(data, recipe, given)
    try:
        return validate(data, source=str(name_or_path))
    except RecipeError as error:
        if given or not is_record(name_or_path):
            raise
        own = "the record of a run: leave it as it was, and open the run with the version in its starts.jsonl"
        raise RecipeError(error.source, [*error.faults, own]) from None


def _drop_what_no_longer_applies(data: Plain, recipe: Plain, given: Plain) -> None:
    """Where `given` overrides chose another kind of a section than its `recipe`, in place."""
    known = valid_keys(METHODS.get(data.get("method", "rl"), Run), data)

    def drop(section: Plain, old: Plain, chosen: Plain, prefix: str) -> None:
        if any(key in chosen and chosen[key] != old.get(key) for key in ("kind", "name")):
            for key in old.keys() - chosen.keys():
                if f"{prefix}{key}" not in known:
                    del section[key]
        for name, inner in chosen.items():
            if isinstance(inner, dict) and isinstance(before := old.get(name), dict):
                drop(section[name], before, inner, f"{prefix}{name}.")

    drop(data, recipe, given, "")


def validate(data: Plain, *, source: str) -> AnyRun:
    """A run from nested plain values. Raises RecipeError."""
    method = data.get("method", "rl")
    if not isinstance(method, str) or method not in METHODS:
        near = get_close_matches(str(method).lower(), METHODS, n=1)
        hint = f"did you mean {near[0]!r}? Choices" if near else "choices"
        raise RecipeError(source, [f"method = {method!r}: unknown; {hint}: {', '.join(METHODS)}"])
    kind = METHODS[method]
    _join_tasks(data, source)
    _name_own_task(data)
    name_rows(data)
    try:
        # By way of JSON: there, strict types take an object for a settings class and an array for a tuple.
        return TypeAdapter(kind).validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        faults = complaints(error, data, kind, METHODS)
        raise RecipeError(source, [_ENTRY.sub(r"tasks[\1]", fault) for fault in faults]) from None


def _join_tasks(data: Plain, source: str) -> None:
    """In place: `tasks`, a list of tasks with weights, becomes one task that holds them. Raises RecipeError."""
    if "tasks" not in data:
        return
    if "task" in data:
        raise RecipeError(source, ["task and tasks: give one of them"])
    entries = data.pop("tasks")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise RecipeError(source, ["tasks: give a list of tasks, each a section: [[tasks]]"])
    if len(entries) == 1:
        data["task"] = {key: value for key, value in entries[0].items() if key not in ("weight", "label")}
        return
    parts = []
    for entry in entries:
        part = {key: entry[key] for key in ("weight", "label") if key in entry}
        part["task"] = {key: value for key, value in entry.items() if key not in part}
        if "weight" in part and isinstance(part["weight"], int) and not isinstance(part["weight"], bool):
            part["weight"] = float(part["weight"])
        _name_own_task(part)
        parts.append(part)
    data["task"] = {"name": "mixture", "tasks": parts}


def _name_own_task(data: Plain) -> None:
    """In place: a `task` of one's own need not be named, since `path` or `reward` says which it is."""
    task = data.get("task")
    if isinstance(task, dict) and "name" not in task:
        task |= next(({"name": name} for key, name in OWN_TASKS.items() if key in task), {})


def task_names() -> list[str]:
    return sorted(choice.name for choice in get_args(get_args(AnyTask)[0]))


def task_named(name: str, task_settings: Plain) -> AnyTask:
    """A task by name, with what else it needs. Raises RecipeError."""
    data = {"task": {"name": name, **task_settings}}
    try:
        return TypeAdapter(_TaskAlone).validate_json(json.dumps(data)).task
    except ValidationError as error:
        raise RecipeError("task", complaints(error, data, _TaskAlone)) from None


@settings
class _TaskAlone:
    task: AnyTask


def to_toml(run: AnyRun) -> str:
    """The resolved run; reading it back gives an equal one."""
    return tomli_w.dumps(as_plain(run))


def as_plain(run: AnyRun) -> Plain:
    """Nested plain values, without those that are None."""
    return {key: _plain(value) for key, value in asdict(run).items() if value is not None}


def differences(old: AnyRun, new: AnyRun) -> list[str]:
    """One line for each setting that is not the same."""
    return changes(as_plain(old), as_plain(new))


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
