"""Fixed ranks, module by module: as a recipe has them, or the file of `paring ranks --json`."""

import json
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from paring.adapters.paths import matches
from paring.settings.declare import CountOrZero

LARGEST_FILE = 1 << 26
SETTING = "adapter.ranks"


def _joined(ranks: object) -> object:
    """A table within the table is the beginning of paths, as in `model.layers.0.mlp.up_proj = 4` without quotes."""
    if not isinstance(ranks, dict):
        return ranks
    flat: dict[object, object] = {}
    for name, value in ranks.items():
        inner = _joined(value)
        flat |= {f"{name}.{rest}": one for rest, one in inner.items()} if isinstance(inner, dict) else {name: inner}
    return flat


RankTable = Annotated[dict[str, CountOrZero], BeforeValidator(_joined)]
"""Module -> rank. A module by its whole path, its last components, or a pattern with `*`."""
_FILE = TypeAdapter(Annotated[dict[str, CountOrZero], Field(min_length=1)], config=ConfigDict(strict=True))


def stated_ranks(ranks: "Mapping[str, int] | str") -> dict[str, int]:
    """The table itself; or that of a file, which speaks for all modules: one that it does not name has rank 0.

    A file is what `paring ranks RUN --json` prints, or an object of whole paths and ranks. The former gives the ranks
    at the end of the run, or for a run of fixed ranks those that it proposes. Raises ValueError where it is neither."""
    return dict(ranks) if not isinstance(ranks, str) else {"*": 0} | _read(Path(ranks).expanduser())


def module_ranks(
    stated: Mapping[str, int], features: Mapping[str, tuple[int, int]], *, default: int, most_parameters: int = 0
) -> dict[str, int]:
    """The rank of each module of `features`, path -> (inputs, outputs), in its order; without the modules of rank 0.

    A whole path goes before a pattern, and a pattern before one that fits more modules. A module that nothing fits has
    the rank `default`. Raises ValueError where a name fits no module, where two patterns disagree on one, for a rank
    above a module's smaller side, where all ranks are 0, and where they come to more than `most_parameters`, if that
    is not 0."""
    fitting = {
        name: frozenset({name} if name in features else (path for path in features if matches(path, name)))
        for name in stated
    }
    if strangers := [name for name, paths in fitting.items() if not paths and name != "*"]:
        raise ValueError(f"{SETTING}: {_strange(strangers, features)}")
    ranks = {path: _rank(path, stated, fitting, default) for path in features}
    named = frozenset[str]().union(*fitting.values())
    if high := [path for path in ranks if path in named and ranks[path] > min(features[path])]:
        path = high[0]
        raise ValueError(
            f"{SETTING}: {path} has rank {ranks[path]}, and its smaller side is {min(features[path])}: a higher rank "
            f"adds nothing{_and_more(high)}; lower it"
        )
    kept = {path: rank for path, rank in ranks.items() if rank}
    if not kept:
        raise ValueError(f"{SETTING}: all {len(ranks)} modules have rank 0, so that nothing would be trained")
    parameters = sum(rank * sum(features[path]) for path, rank in kept.items())
    if most_parameters and parameters > most_parameters:
        raise ValueError(
            f"{SETTING} come to {parameters:,} parameters, above adapter.most_parameters = {most_parameters:,}: lower "
            "ranks, or raise it"
        )
    return kept


def _rank(path: str, stated: Mapping[str, int], fitting: Mapping[str, frozenset[str]], default: int) -> int:
    if path in stated:
        return stated[path]
    names = sorted((name for name, paths in fitting.items() if path in paths), key=lambda name: len(fitting[name]))
    for name in names[1:]:
        if stated[name] != stated[names[0]] and not fitting[names[0]] < fitting[name]:
            raise ValueError(
                f"{SETTING}: {path} is fitted by {names[0]!r} = {stated[names[0]]} and {name!r} = {stated[name]}, of "
                "which neither is a part of the other: give its rank by its whole path"
            )
    return stated[names[0]] if names else default


def _strange(names: list[str], features: Mapping[str, object]) -> str:
    """In words that the first of these names fits no module."""
    lasts = sorted({path.rpartition(".")[2] for path in features})
    near = get_close_matches(names[0], [*features, *lasts], n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"the last names of their paths: {', '.join(lasts)}"
    return f"{names[0]!r} fits none of the {len(features)} modules of adapter.targets{_and_more(names)}; {hint}"


def _and_more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more such)" if len(names) > 1 else ""


def _read(file: Path) -> dict[str, int]:
    if not file.is_file():
        raise ValueError(f"{SETTING} = {str(file)!r}: no such file; write it with: paring ranks RUN --json > {file}")
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise ValueError(f"more than {LARGEST_FILE:,} bytes")
        held = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{SETTING} = {str(file)!r} is not JSON: {error}") from error
    if isinstance(held, dict) and isinstance(modules := held.get("modules"), list):
        held = {one.get("module"): one.get("proposed", one.get("end")) for one in modules if isinstance(one, dict)}
    try:
        return _FILE.validate_python(held)
    except ValidationError:
        raise ValueError(
            f"{SETTING} = {str(file)!r}: neither what `paring ranks RUN --json` prints nor an object of modules and "
            "their ranks, each a whole number from 0"
        ) from None
