"""Something that answers, opened for reading: a run, a base model, or a PEFT adapter folder."""

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from transformers import PreTrainedModel

from paring.adapters.attach import load_state, parameters_by_name, set_ranks
from paring.adapters.lowrank import LowRankLinear
from paring.adapters.peft_format import CONFIG
from paring.adapters.peft_reading import attach_from_peft, read_peft_folder
from paring.policy.bases import check_base, is_relative, referenced
from paring.policy.loading import Model, base_name, load_base
from paring.policy.model import Policy
from paring.policy.publishing import read_published
from paring.runtime import checkpoint
from paring.runtime.folder import RunFolder
from paring.runtime.text import one_line
from paring.training.config import Run, load_run
from paring.training.start import attach_adapters


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


def base_of(name: str) -> Model:
    """The base model of a run, of a PEFT adapter's folder, or the model itself. Raises ValueError."""
    folder = Path(name).expanduser()
    if (folder / "run.toml").is_file():
        return load_run(RunFolder(folder).existing_recipe()).model
    if not (folder / CONFIG).is_file():
        return Model(path=name)
    base = read_peft_folder(folder).base_model
    if base is None:
        raise ValueError(f"{folder / CONFIG} names no base model: set base_model_name_or_path")
    if is_relative(base) and not any((place / base).exists() for place in (folder, Path())):
        raise ValueError(
            f"{folder / CONFIG}: its base model {one_line(base, 200)} is not there, neither beside the adapter nor "
            "here: set base_model_name_or_path to where it is"
        )
    return Model(path=referenced(base, folder))


def open_subject(name: str, model: Model | None = None) -> Subject:
    """A run's folder, a PEFT adapter's folder, or whatever `model.path` takes; beside `model`, by default its own base.

    For a run that has not ended the newest checkpoint answers. Raises ValueError where there is nothing to open, or
    the base is not the one that the adapter was trained on."""
    folder, model = Path(name).expanduser(), base_of(name) if model is None else model
    if (folder / "run.toml").is_file():
        return _open_run(RunFolder(folder), model)
    base, tokenizer = load_base(model)
    adapters = _read(base, folder, model) if (folder / CONFIG).is_file() else {}
    return Subject(Policy(base, tokenizer, adapters), base_name(model.path))


def _open_run(folder: RunFolder, model: Model) -> Subject:
    run = load_run(folder.existing_recipe())
    base, tokenizer = load_base(model)
    if folder.adapter.is_dir():
        adapters = _read(base, folder.adapter, model)
    else:
        newest, _ = checkpoint.load_newest(folder.checkpoints)
        if newest is None:
            raise ValueError(f"{folder.path} has neither an adapter nor a checkpoint yet: let it train for a while")
        adapters, _ = attach_adapters(base, run)
        set_ranks(adapters, newest.state["ranks"])
        load_state(adapters, newest.tensors["adapter"])
    with_task = run if isinstance(run, Run) else None
    return Subject(Policy(base, tokenizer, adapters), base_name(run.model.path), with_task)


def _read(base: PreTrainedModel, folder: Path, model: Model) -> dict[str, LowRankLinear]:
    """The adapters of a folder on their base. Raises ValueError."""
    adapters = attach_from_peft(base, read_published(base, folder))
    check_base(base, folder, model.path, model.path)
    return adapters
