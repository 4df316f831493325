"""Something that answers, opened for reading: a run, a base model, or a PEFT adapter folder."""

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from paring.adapters.attach import load_state, parameters_by_name, set_ranks
from paring.adapters.peft_reading import attach_from_peft, read_peft_folder
from paring.policy.loading import Model, base_name, load_base
from paring.policy.model import Policy
from paring.runtime import checkpoint
from paring.runtime.folder import RunFolder
from paring.training.config import Run, load_run
from paring.training.setup import attach_adapters


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


def open_subject(name: str) -> Subject:
    """A run's folder, a PEFT adapter's folder, or whatever `model.path` takes.

    For a run that has not ended the newest checkpoint answers. Raises ValueError where there is nothing to open."""
    folder = Path(name).expanduser()
    if (folder / "run.toml").is_file():
        return _open_run(RunFolder(folder))
    if (folder / "adapter_config.json").is_file():
        base = read_peft_folder(folder).base_model
        if base is None:
            raise ValueError(f"{folder / 'adapter_config.json'} names no base model: set base_model_name_or_path")
        model, tokenizer = load_base(Model(path=base))
        return Subject(Policy(model, tokenizer, attach_from_peft(model, folder)), base_name(base))
    model, tokenizer = load_base(Model(path=name))
    return Subject(Policy(model, tokenizer, {}), base_name(name))


def _open_run(folder: RunFolder) -> Subject:
    run = load_run(folder.existing_recipe())
    model, tokenizer = load_base(run.model)
    if folder.adapter.is_dir():
        adapters = attach_from_peft(model, folder.adapter)
    else:
        newest, _ = checkpoint.load_newest(folder.checkpoints)
        if newest is None:
            raise ValueError(f"{folder.path} has neither an adapter nor a checkpoint yet: let it train for a while")
        adapters = attach_adapters(model, run.adapter, seed=run.seed)
        set_ranks(adapters, newest.state["ranks"])
        load_state(adapters, newest.tensors["adapter"])
    with_task = run if isinstance(run, Run) else None
    return Subject(Policy(model, tokenizer, adapters), base_name(run.model.path), with_task)
