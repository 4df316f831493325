"""Plain values as YAML. All texts are quoted or stand as blocks, so that each is read as what it is."""

import json
import re
from collections.abc import Mapping, Sequence

Tree = Mapping[str, "Tree"] | Sequence["Tree"] | str | int | bool | None
"""Values of a YAML file, its keys in their order."""
_KEY = re.compile(r"(?!(?i:y|n|yes|no|on|off|true|false|null)$)[A-Za-z][A-Za-z0-9_./-]*")
"""Keys that need no quotes."""


def yaml_text(document: Mapping[str, Tree]) -> str:
    """A document."""
    return "".join(f"{line}\n" for line in _lines(document))


def _lines(value: Tree) -> list[str]:
    if isinstance(value, Mapping) and value:
        return [
            line
            for key, one in value.items()
            for line in _beside(f"{key if _KEY.fullmatch(key) else _scalar(key)}:", one)
        ]
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        return [line for one in value for line in _entry(one)]
    return [_scalar(value)]


def _beside(key: str, value: Tree) -> list[str]:
    if isinstance(value, str) and _is_block(value):
        return [f"{key} |", *(f"  {line}" if line else "" for line in value.removesuffix("\n").split("\n"))]
    if isinstance(value, str) or not isinstance(value, Mapping | Sequence) or not value:
        return [f"{key} {_scalar(value)}"]
    return [key, *(f"  {line}" for line in _lines(value))]


def _entry(value: Tree) -> list[str]:
    if isinstance(value, str):
        return _beside("-", value)
    first, *rest = _lines(value)
    return [f"- {first}", *(f"  {line}" for line in rest)]


def _is_block(text: str) -> bool:
    """Whether a literal block gives the text again: several lines that YAML changes nothing of."""
    lines = text.split("\n")
    is_plain = all(line.replace("\t", " ").isprintable() for line in lines)
    return is_plain and text.endswith("\n") and not text.endswith("\n\n") and not lines[0].startswith((" ", "\t"))


def _scalar(value: Tree) -> str:
    # JSON's escapes of characters beyond U+FFFF are not YAML's, which also takes some for the end of a line.
    text = json.dumps(value, ensure_ascii=False)
    return "".join(one if one.isprintable() else f"\\U{ord(one):08x}" for one in text)
