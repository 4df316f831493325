"""Versions of the adapter for servers: named by their content, written once, and removed when no server needs them."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch.nn import functional

from paring.adapters.attach import state
from paring.adapters.peft_format import CONFIG, WEIGHTS, write_peft_folder
from paring.policy.bases import reference
from paring.policy.model import Policy
from paring.policy.wrappers import path_in_checkpoint
from paring.rollout.engine import EngineFailed
from paring.rollout.served.canary import Continuation
from paring.runtime.files import remove_folder, remove_staging, staged_folder
from paring.runtime.folder import PUBLISHED
from paring.settings.complaints import NotFinite


@dataclass
class Version:
    """An adapter as servers read it: its name, its folder here and as servers see it, and its files. `expected`: what a
    server that has it replies to the canary, once that is proved. Without a folder it is the base alone."""

    name: str
    folder: Path | None = None
    seen: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    expected: Continuation | None = None
    users: int = 0

    @contextmanager
    def used(self, lock: AbstractContextManager[object]) -> Iterator[None]:
        """Within it no server is to forget this version. `lock`: held while versions are forgotten."""
        with lock:
            self.users += 1
        try:
            yield
        finally:
            with lock:
                self.users -= 1

    def restore(self) -> None:
        """Put the folder back where somebody has removed it. Raises EngineFailed where the disk refuses."""
        if self.folder is not None and not self.folder.is_dir():
            with _written(self.folder) as staging:
                for name, content in self.files.items():
                    (staging / name).write_bytes(content)


@dataclass(frozen=True)
class Shelf:
    """The folder from which servers read versions. `base`: the `model.path`; `seen`: the folder's path on the servers,
    None where it is the same."""

    place: Path
    base: str
    seen: str | None = None

    def name_of(self, policy: Policy, rank: int = 0) -> str:
        """The name of the adapters that a policy has at this moment: a digest of their numbers. Equal adapters have one
        name, and a name never stands for others, whose keys and values a server may have kept. Raises NotFinite."""
        scales = [adapter.scale for adapter in policy.adapters.values()]
        digest = hashlib.sha256(json.dumps([self.base, rank, scales]).encode())
        for path, tensor in state(policy.adapters).items():
            if not tensor.isfinite().all():
                raise NotFinite(f"the adapter is not published: {path} holds numbers that are not finite")
            digest.update(f"{path} {tuple(tensor.shape)} {tensor.dtype} ".encode())
            digest.update(tensor.cpu().contiguous().view(torch.uint8).numpy().data)
        return PUBLISHED + digest.hexdigest()[:20]

    def write(self, policy: Policy, rank: int = 0) -> Version:
        """The version of a policy's adapters, its folder written. `rank`: the least rank that its file declares, to
        which it is padded with zeros; that changes nothing else. Raises EngineFailed where the disk refuses."""
        name = self.name_of(policy, rank)
        folder = self.place / name
        adapters = {path_in_checkpoint(policy.model, path): one for path, one in policy.adapters.items()}
        with _written(folder) as staging:
            layout = "portable" if rank else "compact"
            write_peft_folder(staging, adapters, base_model=reference(self.base, folder), layout=layout)
            _pad(staging, rank)
            files = {path.name: path.read_bytes() for path in staging.iterdir()}
        return Version(name, folder, self.seen_by_servers(name), files)

    def seen_by_servers(self, name: str) -> str:
        """The path of a version on the servers; of the base alone there is none."""
        return f"{self.seen or self.place.resolve()}/{name}" if name else ""

    def names(self) -> list[str]:
        """The versions whose folders are there, also those that a killed process has left."""
        return sorted(path.name for path in self.place.glob(f"{PUBLISHED}*")) if self.place.is_dir() else []

    def remove_staging(self) -> None:
        """Remove what a killed process has half written here. Nobody else publishes in this folder."""
        with suppress(OSError):
            remove_staging(self.place)

    def remove(self, name: str) -> None:
        """Remove a version that no server has: vLLM may read its folder at any time, and dies where it is gone."""
        with suppress(OSError):
            remove_folder(self.place / name)

    def clear_away(self) -> None:
        """Remove the folder, where nothing is left in it."""
        with suppress(OSError):
            self.place.rmdir()

    @contextmanager
    def visiting(self) -> Iterator[None]:
        """Within it the folder is used; afterwards the parents that were made for it are gone, where nothing is left in
        them."""
        made = [one for one in self.place.parents if not one.exists()]
        try:
            yield
        finally:
            with suppress(OSError):
                for one in made:
                    one.rmdir()


@contextmanager
def _written(folder: Path) -> Iterator[Path]:
    """An empty folder that becomes `folder`. Raises EngineFailed where the disk refuses."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with staged_folder(folder) as staging:
            yield staging
    except OSError as error:
        raise EngineFailed(
            f"the adapter cannot be published in {folder.parent}: {error.strerror}. Make room there, or set "
            "rollout.published to another folder"
        ) from error


def _pad(folder: Path, rank: int) -> None:
    """Pad a portable adapter with zeros, in place, where its rank is below this one."""
    config = json.loads((folder / CONFIG).read_bytes())
    missing = rank - config["r"]
    if missing <= 0:
        return
    tensors = load((folder / WEIGHTS).read_bytes())
    for name, tensor in tensors.items():
        tensors[name] = functional.pad(tensor, (0, 0, 0, missing) if ".lora_A." in name else (0, missing)).contiguous()
    config |= {"r": rank, "lora_alpha": config["lora_alpha"] / config["r"] * rank}
    (folder / CONFIG).write_bytes(f"{json.dumps(config, indent=2, sort_keys=True)}\n".encode())
    (folder / WEIGHTS).write_bytes(save(tensors, metadata={"format": "pt"}))
