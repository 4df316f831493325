"""Where data are: a file, a folder or the hub. The one place that decides it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from paring.runtime.data_files import EXTRA, SUFFIXES, file_values, is_data_name
from paring.runtime.json_files import Values
from paring.runtime.plain_values import as_plain

SAVED = ("dataset_dict.json", "state.json")
"""Files of a folder that `save_to_disk` of the datasets package has written."""


@dataclass(frozen=True)
class Source:
    """Data by name, as the user gives it under `setting`, with the configuration and the revision of a data set on the
    hub."""

    name: str
    setting: str
    config: str | None = None
    revision: str | None = None

    @property
    def path(self) -> Path:
        return Path(self.name).expanduser()

    @property
    def is_file(self) -> bool:
        return self.path.is_file() or (not self.path.exists() and is_data_name(self.path))

    @property
    def is_on_hub(self) -> bool:
        named = self.name.count("/") == 1 and not self.name.startswith((".", "/", "~"))
        return named and not self.path.exists() and not self.is_file

    @property
    def short_name(self) -> str:
        """The last part of the name, for people."""
        return self.name.rpartition("/")[2] if self.is_on_hub else self.path.resolve().stem

    def has(self, split: str) -> bool:
        """Whether there is such a split; a file is one split, whatever it is called."""
        if self.is_file:
            return True
        if self.is_on_hub:
            names = _hub_splits(self)
            return names is None or split in names
        if self.path.is_dir():
            return split in _saved(self.path) if _is_saved(self.path) else bool(_files_of(self.path, split))
        return False

    def values(self, split: str, fields: Sequence[str]) -> Values:
        """The rows of a split, not yet checked, and their places. `fields` serve errors alone.

        Raises FileNotFoundError where there are no data, ValueError where they cannot be read, ModuleNotFoundError
        without the extra `data` where it is needed."""
        if self.is_file:
            return file_values(self.path, fields)
        if self.is_on_hub:
            return hub_values(self.name, self.config, split, self.revision)
        if not self.path.is_dir():
            raise FileNotFoundError(
                f"{self.setting} = {self.name!r}: no such file or folder. Give a file ({', '.join(SUFFIXES)}), "
                f'a folder with {split}.jsonl, or a name on the hub such as "openai/gsm8k"'
            )
        if _is_saved(self.path):
            return _saved_values(self.path, split)
        return _folder_values(self.path, split, fields)


def _folder_values(folder: Path, split: str, fields: Sequence[str]) -> Values:
    files = _files_of(folder, split)
    others = sorted(path.name for path in folder.iterdir() if path.is_file() and is_data_name(path))
    if not files and others:
        raise FileNotFoundError(
            f"{folder}: no file of the split {split!r}; there are: {', '.join(others[:5])}. Name a file "
            f"itself, such as {folder / others[0]}"
        )
    for path in files or [folder / f"{split}.jsonl"]:
        yield from file_values(path, fields)


def _files_of(folder: Path, split: str) -> list[Path]:
    """`train.jsonl`, or the pieces of a split as the hub names them: `train-00000-of-00002.parquet`."""
    for place in (folder, folder / "data"):
        files = sorted(path for path in place.glob(f"{split}*") if path.is_file() and is_data_name(path))
        if whole := [path for path in files if path.name.partition(".")[0] == split]:
            return whole[:1]
        if pieces := [path for path in files if path.name.startswith(f"{split}-")]:
            return pieces
    return []


def _is_saved(folder: Path) -> bool:
    return any((folder / name).is_file() for name in SAVED)


def _saved(folder: Path) -> list[str]:
    """The splits of a folder that was saved; one alone is called `train`."""
    if (folder / "state.json").is_file():
        return ["train"]
    return sorted(path.parent.name for path in folder.glob("*/state.json"))


def _saved_values(folder: Path, split: str) -> Values:
    splits = _saved(folder)
    if split not in splits:
        raise FileNotFoundError(f"{folder}: there is no split {split!r}; there are: {', '.join(splits)}")
    try:
        from datasets import load_from_disk
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"reading the saved data set {folder} needs: {EXTRA}") from error
    part = folder if (folder / "state.json").is_file() else folder / split
    for index, row in enumerate(load_from_disk(str(part))):
        yield as_plain(row), f"{part}:{index + 1}"


def _hub_splits(source: Source) -> list[str] | None:
    """The names of the splits; None where the hub does not say, as without a network."""
    try:
        from datasets import get_dataset_split_names
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"reading {source.name} from the hub needs: {EXTRA}") from error
    try:
        return list(get_dataset_split_names(source.name, source.config, revision=source.revision))
    except Exception:  # of the network or the hub's libraries, whose kinds differ by version
        return None


def hub_values(name: str, config: str | None, split: str, revision: str | None = None) -> Values:
    """The rows of a data set on the Hugging Face hub, not yet checked, and their places. Needs the `data` extra.

    Raises ModuleNotFoundError without that extra, FileNotFoundError if the data set cannot be had."""
    try:
        from datasets import load_dataset
        from datasets.exceptions import DatasetsError
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"reading {name} from the hub needs: {EXTRA}") from error
    try:
        rows = load_dataset(name, config, split=split, revision=revision)
    except (DatasetsError, OSError, ValueError) as error:
        raise FileNotFoundError(f"{name}: no such folder here, and the hub did not give it: {error}") from error
    for index, row in enumerate(rows):
        yield as_plain(row), f"{name} {split}[{index}]"
