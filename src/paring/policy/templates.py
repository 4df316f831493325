"""Which chat template a model has: its own, a file's or one that ships; its arguments and date in its first lines.

What is trained is what is served: an export carries the template with these lines.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TypeAlias

from transformers import PreTrainedTokenizerBase

FOLDER = Path(__file__).with_name("chat_templates")
Argument: TypeAlias = bool | int | float | str
RESERVED = {"messages", "tools", "documents", "add_generation_prompt", "bos_token", "eos_token"}
VERBATIM = "{{ messages[0]['content'] }}"
"""The chat template of a prompt that is finished: its one message is the text."""
DIRECTIVES = "Y y m d e -d B b A a j H I M S p".split()
"""Codes of strftime that a template may use."""


def template_names() -> list[str]:
    """The templates that ship."""
    return sorted(path.stem for path in FOLDER.glob("*.jinja"))


@dataclass(frozen=True)
class Template:
    """What the settings of a model say of its chat template: a file or a name of `template_names`, or None for the
    model's own; its arguments; and the `day` (2024-07-26) for templates that ask for today's date."""

    chosen: str | None
    arguments: Mapping[str, Argument]
    day: str


def set_template(tokenizer: PreTrainedTokenizerBase, wanted: Template) -> None:
    """Give the tokenizer the template, with arguments and date fixed in its first lines.

    Raises ValueError for a template that is not there, or an argument that it does not have."""
    chosen, arguments, day = wanted.chosen, wanted.arguments, wanted.day
    if chosen is not None:
        tokenizer.chat_template = _text_of(chosen)
    template = tokenizer.chat_template
    if template is None:
        if arguments:
            raise ValueError(
                f"model.template_arguments = {dict(arguments)}: the model has no chat template, so there is nothing "
                f"that takes them; choose one by model.chat_template: a file, or {', '.join(template_names())}"
            )
        return

    # A few models have several templates by name.
    texts = template if isinstance(template, dict) else {"default": template}
    for name in arguments:
        _check_argument(name, texts)
    lines = _argument_lines(arguments)
    fixed = {name: "".join([*_date_lines(text, day), *lines, text]) for name, text in texts.items()}
    tokenizer.chat_template = fixed if isinstance(template, dict) else fixed["default"]


def set_verbatim(tokenizer: PreTrainedTokenizerBase) -> None:
    """Put prompts as they stand, after the token with which the tokenizer begins a text, if it has one."""
    begins = tokenizer.bos_token_id is not None and tokenizer("x")["input_ids"][0] == tokenizer.bos_token_id
    tokenizer.chat_template = ("{{ bos_token }}" if begins else "") + VERBATIM


def _text_of(chosen: str) -> str:
    path = FOLDER / f"{chosen}.jinja" if chosen in template_names() else Path(chosen).expanduser()
    if not path.is_file():
        raise ValueError(
            f"model.chat_template = {chosen!r}: there is no such file; give one, or a template that ships: "
            f"{', '.join(template_names())}"
        )
    try:
        return path.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise ValueError(f"model.chat_template = {chosen!r}: it cannot be read as UTF-8 text ({error})") from error


def _check_argument(name: str, texts: Mapping[str, str]) -> None:
    place = f"model.template_arguments.{name}"
    if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) or name in RESERVED:
        raise ValueError(f"{place}: this is no name that a template's argument can have")
    if not any(re.search(rf"\b{name}\b", text) for text in texts.values()):
        raise ValueError(f"{place}: the model's chat template has no argument of this name, so it would do nothing")


def _argument_lines(arguments: Mapping[str, Argument]) -> list[str]:
    """Defaults that a server may still overrule. trim_blocks takes the line break after each."""
    return [
        f"{{%- if {name} is not defined %}}{{%- set {name} = {value} %}}{{%- endif %}}\n"
        for name, value in ((name, json.dumps(value, ensure_ascii=False)) for name, value in arguments.items())
    ]


def _date_lines(template: str, day: str) -> list[str]:
    """A macro in the place of the function that gives today's date."""
    if "strftime_now" not in template:
        return []
    on: Callable[[str], str] = date.fromisoformat(day).strftime
    filters = " | ".join(f'replace("%{letter}", "{_written(on, letter)}")' for letter in DIRECTIVES)
    return [f"{{%- macro strftime_now(format) -%}}{{{{- format | {filters} -}}}}{{%- endmacro %}}\n"]


def _written(on: Callable[[str], str], letter: str) -> str:
    """`%-d` and `%e` are not known on every system."""
    return str(int(on("%d"))) if letter == "-d" else f"{int(on('%d')):>2}" if letter == "e" else on(f"%{letter}")
