"""How far a run is: what a checkpoint holds, and going on from one."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor

from paring.adapters.attach import Adapters, load_state, ranks_of, set_ranks, state
from paring.adapters.earlier import EarlierAdapters
from paring.evaluation.items import Item
from paring.evaluation.measuring import Evaluation
from paring.policy.model import Policy
from paring.rollout.lagged import LaggedEngine
from paring.runtime import checkpoint
from paring.runtime.checkpoint import Checkpoint, Damage
from paring.runtime.files import remove_staging
from paring.runtime.folder import RunFolder
from paring.runtime.journal import Journal
from paring.runtime.kept import Best, check_never_saved, newest_first
from paring.runtime.machine import versions
from paring.runtime.screen import Screen
from paring.runtime.text import one_line
from paring.settings.complaints import reason_of
from paring.training.collapse import Watch
from paring.training.config import AnyRun, load_run
from paring.training.inputs import changed_inputs, check_goes_on, refuse_changed
from paring.training.optim import Optimiser, Update
from paring.training.world import ALONE, World
from paring.types import Json

EXAMPLES = 20
LONGEST_WORDS = 300
_MISFITS = (ValueError, LookupError, TypeError, AttributeError, RuntimeError, AssertionError, MemoryError)


@dataclass(frozen=True)
class ShownAnswer:
    """One answer of an evaluation, for people to read."""

    problem: str
    question: str
    gold: str
    answer: str
    correct: bool


@dataclass(frozen=True)
class Examined:
    """An evaluation as plain values, with the part of sampled answers if it has one, and the first of its answers."""

    evaluation: Mapping[str, object]
    examples: list[ShownAnswer] = field(default_factory=list)

    @classmethod
    def of(cls, evaluation: Evaluation, items: Sequence[Item], sampled: Mapping[str, Json]) -> "Examined":
        examples = [
            ShownAnswer(item.problem, item.question, item.gold, item.answers[0].text, item.answers[0].correct)
            for item in items[:EXAMPLES]
        ]
        return cls({**evaluation.as_plain(), **sampled}, examples)


@dataclass
class Progress:
    """How far a run is, and what it has measured."""

    step: int = 0
    updates: int = 0
    dropped: int = 0
    dropped_in_a_row: int = 0
    seconds: float = 0.0
    watch: Watch = field(default_factory=Watch)
    entropy_coef: float | None = None
    """The coefficient of the next step's bonus; None where no target moves it."""
    before: Examined | None = None
    best: Best | None = None
    """The step that does best on what is held out, of those that were measured; None where the run does not ask."""

    def count(self, update: Update, seconds: float) -> None:
        """A step has been made."""
        self.step += 1
        self.updates += update.applied
        self.dropped += update.dropped
        self.dropped_in_a_row = self.dropped_in_a_row + 1 if update.dropped else 0
        self.seconds += seconds

    def is_best(self, measured: Mapping[str, object]) -> bool:
        """Whether the step just made did best of all that were measured; it is noted then."""
        found = Best.of(self.step, measured)
        self.best = found if found.beats(self.best) else self.best
        return self.best is found


@dataclass(frozen=True)
class State:
    """The part of a checkpoint that is not tensors. There is no generator state: noise is a function of the step."""

    progress: Progress
    ranks: dict[str, int]
    versions: dict[str, str]
    threads: int

    @classmethod
    def of(cls, progress: Progress, adapters: Adapters, world: World) -> "State":
        processes = {"processes": str(world.size)} if world.size > 1 else {}
        return cls(progress, ranks_of(adapters), versions() | processes, torch.get_num_threads())


@dataclass(frozen=True)
class Trained:
    """The moving parts of a run: the policy, the optimiser, the engine that samples, the adapters that teach."""

    policy: Policy
    optimiser: Optimiser
    sampler: LaggedEngine | None = None
    teacher: EarlierAdapters | None = None

    @property
    def earlier(self) -> dict[str, EarlierAdapters]:
        """The copies of the adapters, by their names in a checkpoint."""
        copies = {} if self.sampler is None else {self.sampler.name: self.sampler.earlier}
        return copies if self.teacher is None else copies | {"teacher": self.teacher}


def save(folder: RunFolder, trained: Trained, progress: Progress, journal: Journal, world: World, *, keep: int) -> None:
    """Save a checkpoint, after the journal is on the disk, so that no saved step lacks its record."""
    journal.sync()
    adapters = trained.policy.adapters
    earlier = {name: held for name, one in trained.earlier.items() if (held := one.tensors())}
    tensors = {"adapter": state(adapters)} | earlier | {"optimiser": trained.optimiser.state()}
    checkpoint.save(folder.checkpoints, progress.step, tensors, asdict(State.of(progress, adapters, world)), keep=keep)


def restore(
    folder: RunFolder, trained: Trained, journal: Journal | None, screen: Screen, world: World = ALONE
) -> Progress:
    """Go on from the newest complete checkpoint, or from step 0 if the run was ended before its first.

    The first process reads it, and holds the journal, which is cut back to it; the others are told. Damaged newer
    checkpoints are named, passed over and put aside. Raises DamagedCheckpoints (a ValueError) if all are damaged, and
    ValueError where one does not fit, or where checkpoints and journal do not belong together."""
    found, damages = list[Checkpoint](), list[Damage]()

    def read() -> Json:
        for place in filter(Path.is_dir, (folder.path, folder.checkpoints)):
            remove_staging(place)
        newest, damaged = checkpoint.load_newest(folder.checkpoints)
        if newest is None:
            check_never_saved(folder, load_run(folder.existing_recipe()).save.every)
            return None
        found.append(newest)
        damages.extend(damaged)
        return asdict(_ToldCheckpoint(str(newest.path), newest.step, newest.state, list(newest.tensors)))

    if (told := world.from_first(read)) is None:
        if journal is not None:
            journal.rewind(0)
        screen.note(f"{folder.path} has no checkpoint yet: starting from step 0")
        return Progress()
    newest = _whole(TypeAdapter(_ToldCheckpoint).validate_python(told), found[0].tensors if found else {}, world)
    held = world.together(lambda: _fitted(newest, trained))
    if journal is not None:
        journal.check_whole(newest.step, answers=trained.sampler is not None)
        journal.rewind(newest.step)
    for damage in damages:
        aside = checkpoint.put_aside(damage.path)
        screen.note(f"passed over a damaged checkpoint: {damage.path}: {damage.why}; it is in {aside} now")
    now = State.of(held.progress, trained.policy.adapters, world)
    pairs = {"versions": (held.versions, now.versions), "threads": (held.threads, now.threads)}
    if changed := [f"{name}: {old} -> {new}" for name, (old, new) in pairs.items() if old != new]:
        screen.note("not the same machine, so the last bits may differ: " + "; ".join(changed))
    screen.note(f"resumed from {newest.path}: {newest.step} steps made")
    return held.progress


@dataclass(frozen=True)
class _ToldCheckpoint:
    """The words of the first process to the others about a checkpoint, before its tensors."""

    path: str
    step: int
    state: dict[str, Any]
    stems: list[str]


def _whole(told: _ToldCheckpoint, own: Mapping[str, dict[str, Tensor]], world: World) -> Checkpoint:
    """The checkpoint with its tensors, which only the first process has read: `own`."""
    tensors = {stem: world.tensors_from_first(own.get(stem, {})) for stem in told.stems}
    return Checkpoint(Path(told.path), told.step, tensors, told.state)


def _fitted(newest: Checkpoint, trained: Trained) -> State:
    """Put a checkpoint's tensors in their places; its state. Raises ValueError where it does not fit."""
    held = restore_adapters(trained.policy.adapters, newest)
    with _fitting(newest.path):
        for name, one in trained.earlier.items():
            one.load_tensors(newest.tensors.get(name, {}))
        trained.optimiser.load_state(newest.tensors["optimiser"])
        return held


def restore_adapters(adapters: Adapters, saved: Checkpoint) -> State:
    """Put a checkpoint's ranks and numbers into the adapters; its state. Raises ValueError where it does not fit."""
    with _fitting(saved.path):
        held = TypeAdapter(State).validate_python(saved.state)
        if held.progress.step != saved.step:
            raise ValueError(f"state.json is of step {held.progress.step}")
        # The ranks first: tensors and moments are of the shapes that the ranks had become.
        _check_ranks(adapters, held.ranks)
        set_ranks(adapters, held.ranks)
        load_state(adapters, saved.tensors["adapter"])
        return held


def resumed(folder: RunFolder, run: AnyRun, *, allow_changed: bool = False) -> AnyRun:
    """The run to go on with; what it leaves open to the machine, such as the kernel, is what the run began with. Raises
    ValueError where the folder holds no run, where the run has fewer steps than are made, and where its inputs are not
    those that it began with, unless that is allowed."""
    begun = load_run(folder.existing_recipe())
    left_open = [name for name in ("dtype", "kernel", "fused") if getattr(run.model, name) == "auto"]
    run = replace(run, model=replace(run.model, **{name: getattr(begun.model, name) for name in left_open}))
    check_goes_on(begun.save, run.save)
    done = next((step for step, _ in newest_first(folder.checkpoints)), 0)
    refuse_changed(folder, [line for line in changed_inputs(folder, run, done) if not allow_changed])
    return run


@contextmanager
def _fitting(path: Path) -> Iterator[None]:
    """What a checkpoint's content makes fail, as a ValueError that names it: it was written for another run."""
    try:
        yield
    except _MISFITS as error:
        words = one_line(f"{type(error).__name__}: {reason_of(error)}", LONGEST_WORDS)
        raise ValueError(
            f"{path} does not fit this run ({words}): put the run's own checkpoint back, or begin a new run with --out"
        ) from error


def _check_ranks(adapters: Adapters, ranks: Mapping[str, int]) -> None:
    """Raises ValueError for a rank that no event gives: all that a run has to give are its adapters' first ranks."""
    most = sum(adapter.rank for adapter in adapters.values())
    for module, rank in ranks.items():
        if not 0 <= rank <= most:
            raise ValueError(f"the rank of {module} is {rank}, of {most} in all")
