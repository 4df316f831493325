"""The folder of a run: the names of its files, begun once, never mixed with another run, read by every command."""

import json
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

from paring.runtime.files import is_free, write_durably
from paring.settings.recipes import toml_values
from paring.types import Json

STUDY_RECORD = "study.json"
"""The record of a study, in its folder."""
PACKED = ".gz"
"""The ending of a compressed file of rows."""
PUBLISHED = "paring-"
"""How the name of an adapter's folder begins that is published for servers."""


class RunFolder:
    """Where everything of a run lies. The folder is the interface: reports and scripts read these files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe = path / "run.toml"
        self.checkpoints = path / "checkpoints"
        self.adapter = path / "adapter"
        self.starts = path / "starts.jsonl"
        self.metrics = path / "metrics.jsonl"
        self.plain_samples = path / "samples.jsonl"
        self.packed_samples = path / f"samples.jsonl{PACKED}"
        self.ranks = path / "ranks.jsonl"
        self.items = path / "items.jsonl"
        self.skipped = path / "skipped.jsonl"
        self.result = path / "result.json"
        self.inputs = path / "inputs.json"
        self.changes = path / "changes.jsonl"
        self.save_now = path / "save-now"

    @property
    def samples(self) -> Path:
        """The answers that the run sampled, in the form in which they are kept."""
        return self.packed_samples if self.packed_samples.is_file() else self.plain_samples

    def begin(self, recipe: str) -> None:
        """Write the resolved recipe into the folder, which is there and locked. Raises ValueError if it holds anything
        already, or cannot be written."""
        check_free(self.path)
        with in_words_of(self.path):
            write_durably(self.recipe, recipe.encode())

    def make(self) -> None:
        """Make the folder, for its lock to stand in. Raises ValueError if it cannot be."""
        with in_words_of(self.path):
            self.path.mkdir(parents=True, exist_ok=True)

    def existing_recipe(self) -> Path:
        """The file of the resolved recipe. Raises ValueError if there is no run here, or one that is not plain."""
        if not self.recipe.is_file():
            raise ValueError(f"{self.path} holds no run: there is no {self.recipe.name} in it")
        self.check_plain()
        return self.recipe

    def check_plain(self) -> None:
        """Raises ValueError for a link or a special file, such as a pipe, in the place of anything that is the run's:
        neither is followed."""
        folders = (self.checkpoints, self.adapter)
        for path in (*vars(self).values(), self.path / ".lock"):
            if path not in (self.path, *folders):
                check_plain(path, stat.S_ISREG)
        for folder in folders:
            check_plain(folder, stat.S_ISDIR)
            for path in folder.rglob("*") if folder.is_dir() else ():
                check_plain(path, lambda mode: stat.S_ISREG(mode) or stat.S_ISDIR(mode))

    def read_recipe(self) -> dict[str, Json]:
        """The resolved recipe. Raises ValueError where there is no run, or the file is damaged."""
        path = self.existing_recipe()
        try:
            return toml_values(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{self.recipe}: damaged ({error})") from error

    def add_start(self, facts: dict[str, Json]) -> None:
        """A line for this start of the run, or for going on with it."""
        before = self.starts.read_bytes() if self.starts.is_file() else b""
        write_durably(self.starts, before + json.dumps(facts).encode() + b"\n")

    def write_items(self, rows: Sequence[dict[str, Json]]) -> None:
        """Write the answers to the test split after training, one JSON object a line."""
        write_durably(self.items, "".join(json.dumps(row) + "\n" for row in rows).encode())

    def write_skipped(self, rows: Sequence[dict[str, Json]]) -> None:
        """Write the rows of the data that are left out, one JSON object a line."""
        write_durably(self.skipped, "".join(json.dumps(row) + "\n" for row in rows).encode())

    def write_result(self, result: dict[str, Json]) -> None:
        write_durably(self.result, (json.dumps(result, indent=2, allow_nan=False) + "\n").encode())

    def read_result(self) -> dict[str, Json] | None:
        """The result of a run that came to its end, else None. Raises ValueError where the file is damaged."""
        if not self.result.is_file():
            return None
        try:
            result = json.loads(self.result.read_text(encoding="utf-8"))
            if not isinstance(result, dict) or not result:
                raise ValueError("it holds no results")
        except (ValueError, RecursionError) as error:
            raise self.damaged_result(str(error)) from error
        return result

    def damaged_result(self, why: str) -> ValueError:
        return ValueError(
            f"{self.result}: damaged ({why}). Remove it, and  paring train --resume {quote(str(self.path))}  writes it "
            "again from the newest checkpoint"
        )


def check_plain(path: Path, is_plain: Callable[[int], bool] = stat.S_ISREG) -> None:
    """Raises ValueError where something stands there that is not of the kind that is expected: links are not followed,
    and a pipe or a device might never end."""
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    if not is_plain(mode):
        kinds = {stat.S_ISLNK: "a link", stat.S_ISDIR: "a folder", stat.S_ISREG: "a file", stat.S_ISFIFO: "a pipe"}
        what = next((words for is_kind, words in kinds.items() if is_kind(mode)), "a device or a socket")
        raise ValueError(f"{path} is {what}, and is not read: remove it, or put the run's own back")


@contextmanager
def in_words_of(folder: Path) -> Iterator[None]:
    """What the disk refuses, as a ValueError that names the folder and the way out."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"{folder} cannot be written: {error.strerror}. Choose another with --out") from error


def check_free(path: Path) -> None:
    """Raises ValueError if a new run cannot begin there."""
    if (path / "run.toml").exists():
        raise ValueError(
            f"{path} already holds a run: go on with it by --resume {path}, or choose another folder with --out"
        )
    if not is_free(path, also=_is_published):
        raise _taken(path)


def check_empty(path: Path) -> None:
    """Raises ValueError if something is there already, other than the leftovers of a kill."""
    if not is_free(path):
        raise _taken(path)


def _is_published(path: Path) -> bool:
    """An adapter that was published for servers, which are checked before a run begins, or a folder of such alone."""
    if not path.is_dir() or path.is_symlink():
        return False
    return path.name.startswith(PUBLISHED) or is_free(path, also=_is_published)


def _taken(path: Path) -> ValueError:
    return ValueError(f"{path} exists and is not an empty folder: choose another")


def free_folder(name: str) -> Path:
    """runs/<name>, or runs/<name>-2, -3 ... if that holds a run."""
    taken = Path("runs") / name
    number = 1
    while taken.exists():
        number += 1
        taken = Path("runs") / f"{name}-{number}"
    return taken
