"""The manifest of a checkpoint: size and SHA-256 of its files, written last and checked before anything is believed."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from paring.runtime.files import sha256_of

FORMAT = 3
_FILE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


class Unusable(Exception):
    """Why a checkpoint cannot be used."""


def manifest_of(folder: Path, step: int) -> bytes:
    """The manifest of the files that lie in `folder` now."""
    files = {path.name: {"bytes": path.stat().st_size, "sha256": sha256_of(path)} for path in sorted(folder.iterdir())}
    assert all(_FILE.fullmatch(name) for name in files), list(files)
    return json_bytes({"format": FORMAT, "step": step, "files": files})


def checked_names(folder: Path, step: int) -> list[str]:
    """The names of the files that the manifest lists, each found to be of its size and hash. Raises Unusable."""
    match read_json(folder / "manifest.json"):
        case {"format": int(version)} if version > FORMAT:
            raise Unusable(f"written in format {version}, this paring reads up to format {FORMAT}: update paring")
        case {"format": int(version)} if version < FORMAT:
            raise Unusable(f"written in format {version}, this paring reads format {FORMAT}: resume with the older one")
        case {"format": int(), "step": int(written), "files": {"state.json": _} as files} if written == step:
            for name, entry in files.items():
                _check_file(folder, name, entry)
            return list(files)
        case _:
            raise Unusable(f"manifest.json does not describe a checkpoint of step {step}")


def read_json(path: Path) -> object:
    """The value in a JSON file. Raises Unusable if it is missing, unreadable or not strict JSON."""
    try:
        return json.loads(path.read_bytes(), parse_constant=_refuse_constant)
    except FileNotFoundError as error:
        raise Unusable(f"{path.name} is missing") from error
    except OSError as error:
        raise Unusable(f"{path.name} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise Unusable(f"{path.name} is not JSON: {error}") from error


def json_bytes(value: Mapping[str, object]) -> bytes:
    """Strict JSON that reads back as the same value. Raises ValueError on a number that is not finite."""
    text = json.dumps(value, allow_nan=False, indent=1)
    assert json.loads(text) == value, "JSON would change this value: it keeps no tuples and no keys but strings"
    return text.encode()


def _check_file(folder: Path, name: str, entry: object) -> None:
    match entry:
        case {"bytes": int(size), "sha256": str(digest)} if _FILE.fullmatch(name):
            pass
        case _:
            raise Unusable(f"manifest.json does not describe {name!a}")
    try:
        held = (folder / name).stat().st_size
        if held != size:
            raise Unusable(f"{name} has {held} bytes where {size} were written")
        if sha256_of(folder / name) != digest:
            raise Unusable(f"{name} is not what was written: its SHA-256 differs")
    except OSError as error:
        raise Unusable(f"{name} cannot be read: {error.strerror}") from error


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")
