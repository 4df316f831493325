"""`paring gc`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from paring.commands.shared import Json


def gc(
    places: Annotated[
        list[Path] | None, typer.Argument(metavar="FOLDER...", help="Where to look; by default runs and studies.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be removed, and remove nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Remove what killed processes left, damaged checkpoints, and all but the newest checkpoint of ended runs."""
    from paring.runtime.leavings import collect

    found, busy = [], []
    for place in places or [path for path in map(Path, ("runs", "studies")) if path.is_dir()]:
        here, at_work = collect(place, remove=not dry_run)
        found, busy = found + here, busy + at_work
    total = sum(leaving.size for leaving in found)
    if as_json:
        left = [{"path": str(leaving.path), "bytes": leaving.size, "why": leaving.why} for leaving in found]
        print(json.dumps({"removed": not dry_run, "bytes": total, "left": left, "busy": busy}))
        return
    lines = [f"{leaving.path}: {leaving.size:,} bytes, {leaving.why}" for leaving in found]
    lines += [f"left out: {words}" for words in busy]
    done = "would be removed" if dry_run else "removed"
    print("\n".join([*lines, f"{total:,} bytes in {len(found)} files and folders {done}"]))
