"""Put a run's adapter, or its merged model, on the Hugging Face hub, with its card; or see what would be put there."""

import json
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from paring.adapters.peft_format import CONFIG
from paring.policy.bases import reference, shipped_name
from paring.runtime.text import one_line
from paring.subjects.card import HUB_NAME, CardFacts, write_card
from paring.subjects.export import Export, check_source, exported
from paring.subjects.opening import base_of


class HubClient(Protocol):
    """The two calls of huggingface_hub.HfApi that a push makes."""

    def create_repo(self, repo_id: str, *, private: bool | None = None, exist_ok: bool = False) -> object: ...

    def upload_folder(self, *, repo_id: str, folder_path: str | Path, commit_message: str | None = None) -> object: ...


@dataclass(frozen=True)
class Pushed:
    """What was put on the hub, or would be: each file with its bytes, and the card."""

    to: str
    files: dict[str, int]
    card: str
    export: Export
    is_there: bool

    def __str__(self) -> str:
        size = sum(self.files.values()) / 1e6
        head = f"{'pushed' if self.is_there else 'would be pushed'} to {self.to}: {self.export.kind}, {size:.2f} MB"
        lines = [head, *(f"  {name}  {count:,} bytes" for name, count in self.files.items())]
        if self.is_there:
            return "\n".join([*lines, f"see  https://huggingface.co/{self.to}"])
        return "\n".join([*lines, "", "README.md:", "", self.card.rstrip("\n"), "", "nothing was pushed"])


def push(
    run: str | Path,
    to: str,
    *,
    merged: bool = False,
    base: str | None = None,
    licence: str | None = None,
    private: bool = False,
    dry_run: bool = False,
    hub: HubClient | None = None,
) -> Pushed:
    """Write the export with its card to a folder for the time being, check it, and put it on the hub as `to`.

    base        the name on the hub of the adapter's base, where the run has it in a local folder
    licence     its identifier on the hub, for the card
    private     a new repository is seen by its owner alone
    hub         by default huggingface_hub's

    Raises ValueError where `to` is no name of the hub, the base is nowhere that a reader could find it, or the hub
    refuses."""
    for setting, name in (("--to", to), ("--base", base)):
        if name is not None:
            _check_name(setting, name)
    check_source(Path(run).expanduser())
    model = base_of(str(run))
    with TemporaryDirectory() as place:
        folder = Path(place) / to.rpartition("/")[2]
        named = base or reference(model.path, folder)
        if not merged and not (HUB_NAME.fullmatch(named) or shipped_name(named)):
            raise ValueError(
                f"the base of {run} is the local folder {one_line(model.path, 200)}, which no reader of the hub has: "
                "name the same model on the hub with --base ORG/NAME, or push the whole model with --merged"
            )
        export = exported(run, folder, merged=merged)
        if base is not None and not merged:
            _name_base(folder / CONFIG, base)
        lines = [export.size, str(export.check), *([] if export.note is None else [export.note])]
        named_base = replace(model, path=base or model.path)
        facts = CardFacts.of(Path(run).expanduser(), folder, export.kind, named_base, lines, export.loader)
        write_card(folder, replace(facts, licence=licence))
        files = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
        card = (folder / "README.md").read_text(encoding="utf-8")
        if not dry_run:
            _upload(_hub() if hub is None else hub, to, folder, private=private)
        return Pushed(to, files, card, export, not dry_run)


def _check_name(setting: str, name: str) -> None:
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise ValueError(f"{setting} {one_line(name, 200)}: no name of the hub, such as ORG/NAME ({error})") from None
    if "/" not in name:
        raise ValueError(f"{setting} {name}: name its owner too: ORG/{name}")


def _name_base(config: Path, base: str) -> None:
    held = json.loads(config.read_text(encoding="utf-8"))
    held["base_model_name_or_path"] = base
    config.write_text(json.dumps(held, indent=2) + "\n", encoding="utf-8")


def _hub() -> HubClient:
    from huggingface_hub import HfApi

    return HfApi()


def _upload(hub: HubClient, to: str, folder: Path, *, private: bool) -> None:
    try:
        hub.create_repo(to, private=private or None, exist_ok=True)
        hub.upload_folder(repo_id=to, folder_path=folder, commit_message="Pushed by paring")
    except Exception as error:  # whatever the hub's client raises: of its own, of the connection, of the token
        code = getattr(getattr(error, "response", None), "status_code", None)
        status = next((f"{one.value} {one.phrase}" for one in HTTPStatus if one == code), type(error).__name__)
        said = getattr(error, "server_message", None) or str(error)
        raise ValueError(f"the hub did not take {to} ({status}: {one_line(said, 300)}): {_remedy(code, to)}") from error


def _remedy(code: object, to: str) -> str:
    if code == 401:
        return "log in with  hf auth login  or set HF_TOKEN"
    if code in (403, 404):
        return f"is there a {to.partition('/')[0]}, and has the token the right to write to it?"
    if code == 429:
        return "it takes no more requests for a while: push again later"
    if isinstance(code, int) and code >= 500:
        return "it fails itself: push again later"
    return "is the network there, and HF_HUB_OFFLINE not set? Try --dry-run to see what would be pushed"
