"""The adapters that a run begins with: new ones, or those of a folder, checked against the base that they stand on."""

from pathlib import Path

from transformers import PreTrainedModel

from paring.adapters.attach import attach, targeted_modules
from paring.adapters.kinds import Adapter, Allocator, Dora, Gated, Lora
from paring.adapters.linear import features_of
from paring.adapters.lowrank import LowRankLinear
from paring.adapters.peft_format import CONFIG
from paring.adapters.peft_reading import PeftLora, attach_from_peft, read_peft_folder
from paring.policy.bases import check_base, is_relative, referenced
from paring.policy.loading import Model
from paring.policy.publishing import read_published
from paring.runtime.folder import RunFolder
from paring.runtime.text import one_line
from paring.training.config import AnyRun, load_run

MOST_TIMES_WIDEST = 8
"""Ranks up to so many times the widest side of a module are taken."""


def attach_adapters(base: PreTrainedModel, run: AnyRun) -> tuple[dict[str, LowRankLinear], list[str]]:
    """New adapters, or those of the folder `adapter.start`, whose ranks, dropout and targets then hold, and their
    scales where they are not gated; and notes that say so where the recipe says otherwise.

    Raises ValueError, among others where the folder's adapter was trained on another base."""
    adapter = run.adapter
    if isinstance(adapter, Allocator | Dora) or adapter.start is None:
        _check_rank(base, adapter)
        return attach(base, adapter, seed=run.seed), []
    folder = Path(adapter.start).expanduser()
    if (folder / "run.toml").is_file():
        raise ValueError(f"adapter.start = {adapter.start!r} is a run: name its adapter, {folder / 'adapter'}")
    stored = read_published(base, folder)
    if stored.magnitudes:
        raise ValueError(
            f"adapter.start = {str(folder)!r} is a DoRA adapter, which kind = {adapter.kind!r} cannot go on from: "
            "merge it (paring export --merged) and start from the merged model"
        )
    notes = _overridden(adapter, stored, base)
    adapters = attach_from_peft(base, stored, adapter if isinstance(adapter, Gated) else None)
    if (note := check_base(base, folder, run.model.path, stored.base_model)) is not None:
        notes.insert(0, note)
    return adapters, notes


def base_of(name: str) -> Model:
    """The base model of a run, of a PEFT adapter's folder, or the model itself. Raises ValueError."""
    folder = Path(name).expanduser()
    if (folder / "run.toml").is_file():
        return load_run(RunFolder(folder).existing_recipe()).model
    if not (folder / CONFIG).is_file():
        if folder.is_dir() and not (folder / "config.json").is_file():
            raise ValueError(
                f"{name} holds no run (run.toml), no PEFT adapter ({CONFIG}) and no model (config.json): name a folder "
                "that does"
            )
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


def published_adapters(base: PreTrainedModel, folder: Path, model: Model) -> dict[str, LowRankLinear]:
    """The adapters of a folder on their base, which is `model`. Raises ValueError."""
    adapters = attach_from_peft(base, read_published(base, folder))
    check_base(base, folder, model.path, model.path)
    return adapters


def _check_rank(base: PreTrainedModel, adapter: Adapter) -> None:
    """A rank far above the widest side of every module adds nothing but memory. Raises ValueError."""
    sides = [side for module in targeted_modules(base, adapter.targets).values() for side in features_of(module) or ()]
    most = MOST_TIMES_WIDEST * max(sides, default=adapter.rank)
    if adapter.rank > most:
        raise ValueError(f"adapter.rank = {adapter.rank}: at most {most}, {MOST_TIMES_WIDEST} times the widest module")


def _overridden(adapter: Lora | Gated, stored: PeftLora, base: PreTrainedModel) -> list[str]:
    """A note for each setting of the recipe that does not act, since the folder to start from says otherwise."""
    notes, place = [], "adapter.start"
    ranks, is_gated = sorted(set(stored.ranks.values())), isinstance(adapter, Gated)
    if ranks != [adapter.rank]:
        acts = "the budget alone is that of" if is_gated else "not"
        notes.append(f"{place}: its ranks hold, {_range(ranks)}; {acts} adapter.rank = {adapter.rank}")
    scales = sorted(set(stored.scales.values()))
    if not is_gated and scales != [adapter.scale]:
        said = f"adapter.alpha = {adapter.alpha:g}, which is a scale of {adapter.scale:.4g}"
        notes.append(f"{place}: its scale holds, {_range(scales)}; not {said}")
    if stored.dropout != adapter.dropout:
        notes.append(f"{place}: its dropout holds, {stored.dropout:g}; not adapter.dropout = {adapter.dropout:g}")
    chosen = targeted_modules(base, adapter.targets).keys()
    if chosen != stored.tensors.keys():
        named = adapter.targets if isinstance(adapter.targets, str) else ", ".join(adapter.targets)
        notes.append(
            f"{place}: its {len(stored.tensors)} modules are adapted; not the {len(chosen)} of "
            f"adapter.targets = {named}"
        )
    return notes


def _range(values: list[float] | list[int]) -> str:
    return f"{values[0]:.4g}" if len(values) == 1 else f"{values[0]:.4g} to {values[-1]:.4g}"
