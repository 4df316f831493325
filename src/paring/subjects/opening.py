"""Something that answers, opened for reading: a run, a base model, or a PEFT adapter folder."""

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from paring.adapters.attach import load_state, parameters_by_name, set_ranks
from paring.adapters.peft_format import CONFIG
from paring.policy.loading import Model, base_name, load_base
from paring.policy.model import Policy
from paring.runtime import checkpoint
from paring.runtime.folder import RunFolder
from paring.training.config import Run, load_run
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


def open_subject(name: str, model: Model | None = None) -> Subject:
    """A run's folder, a PEFT adapter's folder, or whatever `model.path` takes; beside `model`, by default its own base.

    For a run that has not ended the newest checkpoint answers. Raises ValueError where there is nothing to open, or
    the base is not the one that the adapter was trained on."""
    folder, model = Path(name).expanduser(), base_of(name) if model is None else model
    if (folder / "run.toml").is_file():
        return _open_run(RunFolder(folder), model)
    base, tokenizer = load_base(model)
    adapters = published_adapters(base, folder, model) if (folder / CONFIG).is_file() else {}
    return Subject(Policy(base, tokenizer, adapters), base_name(model.path))


def _open_run(folder: RunFolder, model: Model) -> Subject:
    run = load_run(folder.existing_recipe())
    base, tokenizer = load_base(model)
    if folder.adapter.is_dir():
        adapters = published_adapters(base, folder.adapter, model)
    else:
        newest, _ = checkpoint.load_newest(folder.checkpoints)
        if newest is None:
            raise ValueError(f"{folder.path} has neither an adapter nor a checkpoint yet: let it train for a while")
        adapters, _ = attach_adapters(base, run)
        set_ranks(adapters, newest.state["ranks"])
        load_state(adapters, newest.tensors["adapter"])
    with_task = run if isinstance(run, Run) else None
    return Subject(Policy(base, tokenizer, adapters), base_name(run.model.path), with_task)
