"""Faults in words: every fault of a recipe at once, with the nearest valid name and its section."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, get_args, get_origin, get_type_hints

from paring.settings.foreign import NOT_OFFERED, foreign_answer

if TYPE_CHECKING:
    from pydantic import ValidationError

    from paring.types import Json

LONGEST_VALUE = 60
OF_SEVERAL = ".tasks.task"
"""The end of the key of one of several tasks, whose settings are those of a single one."""
NEAR = 0.7
"""How alike a misspelt name and the one that is meant must be, 0 to 1 (difflib)."""
WORDS = {
    "Input should be": "must be",
    "Tuple should have": "must have",
    " after validation": "",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "a valid array": "a list",
    "an object": "a section",
    "a valid ": "a ",
    "a integer": "an integer",
}


RENAMED = {"task.train": "task.data", "task.test_data": "task.test", "data.path": "data.data"}
"""Settings by the names that they had."""
GONE = {
    "adapter.nominate": "L1 acts on what the next budget has no room for, and takes no such setting: leave it out. The "
    "adapter of a run that had it can be opened, exported and trained on as the PEFT folder RUN/adapter"
}
"""Settings that are no more, and what there is in their place."""


class RunFailed(RuntimeError):
    """A run that began well and could not go on."""


class RunBroken(RunFailed):
    """A run that could not go on for a reason outside it. Once that is mended, it goes on from its last checkpoint."""


class NotFinite(RunFailed):
    """The model gives probabilities that are no finite numbers: its weights, or its adapters', have diverged."""


class DataError(ValueError):
    """Rows of a data file that cannot be used."""


class RecipeError(ValueError):
    """Faults of a recipe or its overrides, one line each."""

    def __init__(self, source: str, faults: list[str]) -> None:
        self.source = source
        self.faults = faults
        super().__init__("\n".join(f"{source}: {fault}" for fault in faults))


def reason_of(error: Exception) -> str:
    """The words of an error on one line; where pydantic found faults in something that is no recipe, of the first."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error)
    fault = error.errors()[0]
    return f"{'.'.join(map(str, fault['loc'])) or 'it'}: {fault['msg']}"


def complaints(
    error: "ValidationError",
    data: "Mapping[str, Json]",
    root: type,
    others: "Mapping[str, type]" = MappingProxyType({}),
) -> list[str]:
    """One line for each fault that pydantic found in the plain values of a `root` settings class. `others`: those of
    other methods, by name, whose keys are told from unknown ones."""
    lines: list[str] = []
    reasons: dict[tuple[str, str], list[str]] = {}
    faults = error.errors()
    for fault in faults:
        key, kind, context = _key(fault["loc"], data), fault["type"], fault.get("ctx", {})
        if isinstance(fault["input"], dict) and kind == "string_type":
            # A section, or a text in its place: a section is not told that it is no text.
            if any(other["loc"][:-1] == fault["loc"][:-1] + other["loc"][-2:-1] for other in faults):
                continue
            key = key.rpartition(".")[0]
        if kind in ("extra_forbidden", "unexpected_keyword_argument"):
            lines.append(_unknown(key, data, root, others))
        elif kind == "missing" and isinstance(fault["loc"][-1], int):
            lines.append(f"{key} = {_shown(fault['input'])}: must have more items")
        elif kind == "union_tag_not_found":
            lines.append(f"{key}.{context['discriminator']}: required, but not given".replace("'", ""))
        elif kind in ("missing", "missing_argument"):
            lines.append(f"{key}: required, but not given")
        elif kind == "value_error" and (isinstance(fault["input"], dict) or not fault["loc"]):
            lines.append(": ".join(filter(None, (key, str(context["error"])))))  # of several settings of a section
        elif kind == "union_tag_invalid":
            lines.append(_unknown_choice(key, context))
        else:
            # A value that may be of two kinds has a fault as each of them: one line joins them.
            reasons.setdefault((key, _shown(fault["input"])), []).append(_bound(fault["msg"]))
    for (key, value), bounds in reasons.items():
        joined = " or ".join(dict.fromkeys(bounds)).replace(" or must be ", " or ")
        description = "".join(f" ({text})" for text in valid_keys(root).get(key, [])[:1])
        lines.append(f"{key} = {value}: {joined}{description}")
    return list(dict.fromkeys(lines))


def valid_keys(root: type, data: object = None, prefix: str = "") -> dict[str, list[str]]:
    """Every dotted key of a settings class, with the descriptions of its field; where there is a choice, the keys of
    the kind that the plain values `data` choose, else of all kinds."""
    from pydantic.fields import FieldInfo  # late: `paring --help` needs no pydantic

    keys: dict[str, list[str]] = {}
    for name, hint in get_type_hints(root, include_extras=True).items():
        notes = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
        keys.setdefault(f"{prefix}{name}", []).extend(
            note.description for note in notes if isinstance(note, FieldInfo) and note.description
        )
        section = data.get(name) if isinstance(data, dict) else None
        if f"{prefix}{name}".endswith(OF_SEVERAL):
            continue
        for member in _chosen(settings_classes(hint), section):
            for key, descriptions in valid_keys(member, section, f"{prefix}{name}.").items():
                keys.setdefault(key, []).extend(descriptions)
    return {key: keys[key] for key in keys if "__" not in key}


def _nearest(name: str, choices: Iterable[str]) -> str | None:
    """The choice that a misspelt name most likely means; None where none is near."""
    near = get_close_matches(name.replace("-", "_").lower(), choices, n=1, cutoff=NEAR)
    return near[0] if near else None


def _key(location: tuple[int | str, ...], data: object) -> str:
    """The dotted key of a fault. pydantic's location also names the chosen member of a union: that is left out."""
    key = ""
    for position, part in enumerate(location):
        is_last = position == len(location) - 1
        if isinstance(data, list) and isinstance(part, int) and part < len(data):
            key, data = f"{key}[{part}]", data[part]
        elif isinstance(data, dict) and (
            part in data or (is_last and part not in (data.get("kind"), data.get("name")))
        ):
            key, data = f"{key}.{part}" if key else str(part), data.get(part)
    return key


def _chosen(members: list[type], section: object) -> list[type]:
    """Those members of a choice whose kind, or name, is the one given in the section; all where none is."""
    given = section if isinstance(section, dict) else {}
    fitting = [
        member
        for member in members
        if all(
            given.get(one.name, one.default) == one.default for one in fields(member) if one.name in ("kind", "name")
        )
    ]
    return fitting or members


def _unknown(key: str, data: "Mapping[str, Json]", root: type, others: "Mapping[str, type]") -> str:
    section = key.rpartition(".")[0]
    if key in RENAMED:
        return f"{key}: is called {RENAMED[key]}"
    if key in GONE:
        return f"{key}: {GONE[key]}"
    if key in valid_keys(root):
        return f"{key}: exists, but not for the kind that is chosen in [{section}]"
    if methods := [method for method, other in others.items() if key in valid_keys(other)]:
        return f"{key}: belongs to runs of method = {methods[0]!r}, which this one is not"
    return f"{key}: unknown; {key_hint(key, valid_keys(root, data))}"


def key_hint(key: str, known: Collection[str]) -> str:
    """The words after "unknown" of a key that is not among the dotted keys `known`: the nearest name of its own
    section, the name here of what another library calls so, the same name in another section, or all of its section."""
    section, _, name = key.rpartition(".")
    here = [one.rpartition(".")[2] for one in known if one.rpartition(".")[0] == section]
    if near := _nearest(name, here):
        return f"did you mean {section + '.' if section else ''}{near}?"
    if answer := foreign_answer(name, known):
        return answer
    if elsewhere := next((one for one in known if one.rpartition(".")[2] == name.lower()), None):
        return f"did you mean {elsewhere}?"
    return f"known here: {', '.join(here or [one for one in known if '.' not in one])}"


def _unknown_choice(key: str, context: "Mapping[str, object]") -> str:
    tag, selector = str(context["tag"]), str(context["discriminator"]).strip("'")
    choices = [choice.strip("'") for choice in str(context["expected_tags"]).split(", ")]
    near = get_close_matches(tag.lower(), choices, n=1)
    hint = f"did you mean {near[0]!r}? Choices" if near else "choices"
    if selector == "kind" and (instead := NOT_OFFERED.get(tag.lower())):
        hint = f"{instead}. Choices"
    return f"{key}.{selector} = {tag!r}: unknown; {hint}: {', '.join(choices)}"


def _bound(message: str) -> str:
    """pydantic's words in those of a recipe."""
    for theirs, ours in WORDS.items():
        message = message.replace(theirs, ours)
    return message[0].lower() + message[1:]


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "…"


def settings_classes(hint: object) -> list[type]:
    """The settings classes within an annotation, through Annotated and unions."""
    if isinstance(hint, type) and is_dataclass(hint):
        return [hint]
    return [member for argument in get_args(hint) for member in settings_classes(argument)]
