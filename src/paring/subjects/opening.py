"""Something that answers, opened for reading: a run, a base model, or a PEFT adapter folder."""

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from paring.adapters.attach import parameters_by_name
from paring.adapters.peft_format import CONFIG
from paring.policy.loading import Model, base_name, load_base
from paring.policy.model import Policy
from paring.runtime.checkpoint import Checkpoint, load_newest, load_step
from paring.runtime.folder import RunFolder
from paring.runtime.kept import best_of
from paring.settings.options import OptionError
from paring.training.config import Run, load_run
from paring.training.progress import restore_adapters
from paring.training.start import attach_adapters, base_of, published_adapters


@dataclass(frozen=True)
class Subject:
    """A policy, and the run of a task that it comes from, if it does."""

    policy: Policy
    base: str
    run: Run | None = None

    def identity(self) -> dict[str, str]:
        """The base by name, and the adapters by their numbers: a run that goes on training is no longer the same."""
        digest = blake2b(digest_size=8)
        for name, parameter in sorted(parameters_by_name(self.policy.adapters).items()):
            digest.update(name.encode())
            digest.update(parameter.detach().float().cpu().numpy().tobytes())
        return {"base": self.base, "adapters": digest.hexdigest()}


def open_subject(name: str, model: Model | None = None, checkpoint: str | None = None) -> Subject:
    """A run's folder, a PEFT adapter's folder, or whatever `model.path` takes; beside `model`, by default its own base.

    `checkpoint`: of a run, "best" or the number of a step; None: what it ended with, or of a run that has not ended the
    newest. Raises ValueError where there is nothing to open, or
    the base is not the one that the adapter was trained on."""
    folder, model = Path(name).expanduser(), base_of(name) if model is None else model
    if (folder / "run.toml").is_file():
        return _open_run(RunFolder(folder), model, checkpoint)
    if checkpoint is not None:
        raise OptionError(lambda option: f"{option('checkpoint')} is for runs: {name} is none")
    base, tokenizer = load_base(model)
    adapters = published_adapters(base, folder, model) if (folder / CONFIG).is_file() else {}
    return Subject(Policy(base, tokenizer, adapters), base_name(model.path))


def _open_run(folder: RunFolder, model: Model, chosen: str | None) -> Subject:
    run = load_run(folder.existing_recipe())
    base, tokenizer = load_base(model)
    if chosen is None and folder.adapter.is_dir():
        adapters = published_adapters(base, folder.adapter, model)
    else:
        held = _checkpoint(folder, chosen)
        adapters, _ = attach_adapters(base, run)
        restore_adapters(adapters, held)
    with_task = run if isinstance(run, Run) else None
    return Subject(Policy(base, tokenizer, adapters), base_name(run.model.path), with_task)


def _nothing_to_open(folder: RunFolder) -> str:
    none = f"{folder.path} has neither an adapter nor a checkpoint"
    if folder.result.is_file():
        return f"{none}, though it has ended: put them back, or make it again:  paring train {folder.path} --out NEW"
    return f"{none} yet: let it train for a while, or go on with it:  paring train --resume {folder.path}"


def _checkpoint(folder: RunFolder, chosen: str | None) -> Checkpoint:
    """Raises ValueError where there is none."""
    if chosen is None:
        newest, _ = load_newest(folder.checkpoints)
        if newest is None:
            raise ValueError(_nothing_to_open(folder))
        return newest
    if chosen != "best":
        if not chosen.isascii() or not chosen.isdecimal():
            raise OptionError(
                lambda option: f"{option.given('checkpoint', chosen)}: give best, or the number of a step"
            )
        return load_step(folder.checkpoints, int(chosen))
    best = best_of(folder.checkpoints)
    if best is None:
        raise ValueError(
            f"{folder.path} has no best checkpoint: a run keeps one with save.best=validation and evaluate.every, once "
            "it has measured"
        )
    return load_step(folder.checkpoints, best.step)
