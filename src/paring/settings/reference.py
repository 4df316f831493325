"""The reference of settings: every key with its type, default, bound, meaning and version, from their classes."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from functools import cache
from itertools import pairwise
from types import NoneType, UnionType
from typing import Annotated, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from paring.settings.complaints import OF_SEVERAL, settings_classes
from paring.settings.meanings import SHARED
from paring.settings.since import since

SELECTORS = ("kind", "name")
"""The settings that choose the kind of a section."""
_PLAIN = {int: "integer", float: "number", str: "text", bool: "true or false", NoneType: "nothing"}
_TABLE_ROW = re.compile(r"(?P<names>[a-z_]+(?:, [a-z_]+)*) {2,}(?P<text>\S.*)")
_PATH = "`file.py:Name` of your own; the file is run."


@dataclass(frozen=True)
class Setting:
    """One key as a person reads it. `kinds`: those of its section that have it so; none: the section has no kinds.
    `since`: the version that brought it."""

    key: str
    kinds: tuple[str, ...]
    type: str
    default: str
    bound: str
    meaning: str
    since: str = ""


def settings_of(root: type, prefix: str = "") -> list[Setting]:
    """Every setting of a class and its sections, in the order of declaration; kinds that agree are one setting."""
    found: dict[tuple[str, str, str, str, str], tuple[str, ...]] = {}
    for one in _walk(root, prefix, ()):
        same = (one.key, one.type, one.default, one.bound, one.meaning)
        found[same] = (*found.get(same, ()), *one.kinds)
    versions = since()
    rows = [
        Setting(key, tuple(dict.fromkeys(kinds)), kind, default, bound, meaning, versions.get(key, ""))
        for (key, kind, default, bound, meaning), kinds in found.items()
    ]
    order = {key: place for place, key in enumerate(dict.fromkeys(row.key for row in rows))}
    return sorted(rows, key=lambda row: order[row.key])


def sections(roots: Mapping[str, type]) -> dict[str, list[Setting]]:
    """The settings by section, those outside of one under "run". A section that methods do not share, or have of other
    settings, is named with its method: `evaluate (sft)`."""
    found: dict[str, dict[str, list[Setting]]] = {}
    for method, root in roots.items():
        for one in settings_of(root):
            section = one.key.partition(".")[0] if "." in one.key else "run"
            found.setdefault(section, {}).setdefault(method, []).append(one)
    named: dict[str, list[Setting]] = {}
    for section, by_method in found.items():
        rows = list(by_method.values())
        if len(rows) == len(roots) and all(one == rows[0] for one in rows):
            named[section] = rows[0]
        else:
            named |= {f"{section} ({method})": rows for method, rows in by_method.items()}
    return named


def _walk(root: type, prefix: str, kinds: tuple[str, ...]) -> Iterator[Setting]:
    hints, own = get_type_hints(root, include_extras=True), _own_meanings(root)
    for field in fields(root):
        key, hint = f"{prefix}{field.name}", hints[field.name]
        members = settings_classes(hint)
        if key.endswith(OF_SEVERAL):
            words = "Each of `[[tasks]]` has the settings of a `[task]` beside its weight and label."
            yield Setting(key, kinds, "a task", "required", "", words)
            continue
        if len(members) > 1:
            yield _choice(key, members, field)
        for member in members:
            kind = tuple(str(one.default) for one in fields(member) if one.name in SELECTORS)
            yield from _walk(member, f"{key}.", kind if len(members) > 1 else ())
        if not members and not (kinds and field.name in SELECTORS):
            meaning = own.get(field.name) or SHARED.get(key) or (_PATH if field.name == "path" else "")
            yield Setting(key, kinds, _type(hint), _default(field), _bound(hint), meaning)


def _choice(key: str, members: Sequence[type], field: "Field[object]") -> Setting:
    """The setting that chooses the kind of a section."""
    [selector] = {one.name for member in members for one in fields(member) if one.name in SELECTORS}
    choices = [str(one.default) for member in members for one in fields(member) if one.name == selector]
    chosen = "required" if field.default is MISSING else f'"{getattr(field.default, selector)}"'
    words = " or ".join(f'"{choice}"' for choice in choices)
    return Setting(f"{key}.{selector}", (), words, chosen, "", "Chooses what the section is, and its other settings.")


def _type(hint: object) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if isinstance(hint, type) and hint in _PLAIN:
        return _PLAIN[hint]
    if origin is Annotated:
        return _type(arguments[0])
    if origin is Literal:
        return " or ".join(f'"{value}"' for value in arguments)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_type(one) for one in arguments if one is not NoneType))
    if origin is tuple:
        return "list of " + " and ".join(dict.fromkeys(_type(one) for one in arguments if one is not Ellipsis))
    if origin is dict:
        return f"section of {_type(arguments[1])}s"
    return "value"


def _default(field: "Field[object]") -> str:
    if field.default is MISSING and field.default_factory is MISSING:
        return "required"
    value = field.default if field.default_factory is MISSING else field.default_factory()
    if isinstance(value, FieldInfo):
        value = value.get_default(call_default_factory=True)
    if value is None or value == {} or value == ():
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return f'"{value}"' if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)


def _bound(hint: object) -> str:
    """The bounds of a value, or of the items of a list."""
    words: list[str] = []
    if get_origin(hint) is Annotated:
        for note in get_args(hint)[1:]:
            for limit in note.metadata if isinstance(note, FieldInfo) else ():
                if isinstance(limit, Ge):
                    words.append(f"at least {limit.ge}")
                elif isinstance(limit, Gt):
                    words.append(f"above {limit.gt}")
                elif isinstance(limit, Le):
                    words.append(f"at most {limit.le}")
                elif isinstance(limit, Lt):
                    words.append(f"below {limit.lt}")
    inner = [_bound(one) for one in get_args(hint) if one is not Ellipsis] if get_origin(hint) is not Literal else []
    return ", ".join(dict.fromkeys([*words, *filter(None, inner)]))


def _own_meanings(root: type) -> dict[str, str]:
    """What a class says of each of its fields: the text below it, else a line of the table in the class's docstring."""
    said: dict[str, str] = {}
    for owner in reversed(root.__mro__):
        if owner is not object and owner.__module__.startswith("paring."):
            said |= _table(inspect.getdoc(owner) or "") | _below_fields(owner)
    return said


def _table(docstring: str) -> dict[str, str]:
    """`name, name    text`, with further lines of the text indented."""
    said, names = {}, []
    for line in docstring.split("\n"):
        if row := _TABLE_ROW.fullmatch(line):
            names = row["names"].split(", ")
            said |= dict.fromkeys(names, row["text"])
        elif names and line.startswith("    "):
            said |= {name: f"{said[name]} {line.strip()}" for name in names}
        else:
            names = []
    return {name: _sentence(text) for name, text in said.items()}


@cache  # methods share sections, and kinds their fields
def _below_fields(owner: type) -> dict[str, str]:
    try:
        source = textwrap.dedent(inspect.getsource(owner))
    except (OSError, TypeError):
        return {}
    body: Sequence[ast.stmt] = next(node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)).body
    said = {}
    for above, below in pairwise(body):
        if isinstance(above, ast.AnnAssign) and isinstance(above.target, ast.Name) and isinstance(below, ast.Expr):
            if isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
                said[above.target.id] = _sentence(below.value.value)
    return said


def _sentence(text: str) -> str:
    one = " ".join(text.split())
    if one.split(maxsplit=1)[0].isalpha():
        one = one[0].upper() + one[1:]
    return one if one.endswith((".", '."', ")")) else f"{one}."
