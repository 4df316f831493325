"""What goes wrong, in words: of a recipe every fault at once, with the nearest valid name and its section."""

from dataclasses import is_dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

if TYPE_CHECKING:
    from pydantic import ValidationError

LONGEST_VALUE = 60


class RunFailed(RuntimeError):
    """A run that began well and could not go on."""


class RecipeError(ValueError):
    """What is wrong with a recipe or its overrides, one line a fault."""

    def __init__(self, source: str, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("\n".join(f"{source}: {fault}" for fault in faults))


def complaints(error: "ValidationError", data: dict[str, Any], root: type) -> list[str]:
    """One line for each fault that pydantic found in the plain values of a `root` settings class."""
    lines = []
    for fault in error.errors():
        key = _key(fault["loc"], data)
        if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            lines.append(_unknown(key, root))
        elif fault["type"] in ("missing", "missing_argument", "union_tag_not_found"):
            lines.append(f"{key}: required, but not given")
        elif fault["type"] == "union_tag_invalid":
            lines.append(_unknown_choice(key, fault["ctx"]))
        else:
            lines.append(f"{key} = {_shown(fault['input'])}: {_bound(fault)}{_reason(key, root)}")
    return list(dict.fromkeys(lines))


def valid_keys(root: type, prefix: str = "") -> dict[str, list[str]]:
    """Every dotted key of a settings class, with the descriptions of its field (for a union, of all its members)."""
    keys: dict[str, list[str]] = {}
    for name, hint in get_type_hints(root, include_extras=True).items():
        keys.setdefault(f"{prefix}{name}", []).extend(_descriptions(hint))
        for member in _settings_classes(hint):
            for key, descriptions in valid_keys(member, f"{prefix}{name}.").items():
                keys.setdefault(key, []).extend(descriptions)
    return {key: keys[key] for key in keys if "__" not in key}


def _key(location: tuple[int | str, ...], data: Any) -> str:
    """The dotted key of a fault. pydantic's location also names the chosen member of a union: that is left out."""
    parts = []
    for position, part in enumerate(location):
        inner = data.get(part) if isinstance(data, dict) else None
        is_last = position == len(location) - 1
        if isinstance(part, str) and (is_last or inner is not None) and not (is_last and _is_tag(part, data)):
            parts.append(part)
            data = inner
    return ".".join(parts)


def _is_tag(part: str, data: Any) -> bool:
    return isinstance(data, dict) and part in (data.get("kind"), data.get("name"))


def _unknown(key: str, root: type) -> str:
    known = list(valid_keys(root))
    section, _, name = key.rpartition(".")
    if key in known:
        return f"{key}: exists, but not for the kind that is chosen in [{section}]"
    names = {name.rpartition(".")[2]: name for name in reversed(known)}
    here = [k.rpartition(".")[2] for k in known if k.rpartition(".")[0] == section]
    near = get_close_matches(name.replace("-", "_").lower(), here, n=1)
    if near:
        return f"{key}: unknown; did you mean {section + '.' if section else ''}{near[0]}?"
    near = get_close_matches(name.replace("-", "_").lower(), names, n=1)
    return f"{key}: unknown; " + (f"did you mean {names[near[0]]}?" if near else f"known here: {', '.join(here)}")


def _unknown_choice(key: str, context: dict[str, Any]) -> str:
    choices = [choice.strip("'") for choice in context["expected_tags"].split(", ")]
    near = get_close_matches(context["tag"], choices, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    selector = context["discriminator"].strip("'")
    return f"{key}.{selector} = {context['tag']!r}: unknown; {hint}Choices: {', '.join(choices)}"


def _bound(fault: Any) -> str:
    message = fault["msg"].replace("Input should be", "must be").replace("Input", "it")
    return message[0].lower() + message[1:]


def _reason(key: str, root: type) -> str:
    descriptions = valid_keys(root).get(key, [])
    return f" ({descriptions[0]})" if descriptions else ""


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "…"


def _settings_classes(hint: Any) -> list[type]:
    """The settings classes within an annotation, through Annotated and unions."""
    if is_dataclass(hint):
        return [hint]
    return [member for argument in get_args(hint) for member in _settings_classes(argument)]


def _descriptions(hint: Any) -> list[str]:
    metadata = [item for item in getattr(hint, "__metadata__", ()) if getattr(item, "description", None)]
    return [item.description for item in metadata]
