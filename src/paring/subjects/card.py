"""The model card of an export: what it is, how it came about, what was measured, and how it is loaded."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath, PureWindowsPath
from shlex import quote
from typing import Literal

from huggingface_hub import EvalResult, ModelCardData
from pydantic import TypeAdapter, ValidationError

from paring.policy.bases import reference, shipped_name
from paring.policy.loading import Model
from paring.runtime.folder import RunFolder
from paring.runtime.machine import versions
from paring.runtime.tables import Table, escaped
from paring.runtime.text import accuracy_words, one_line, percent_interval
from paring.types import Json

HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
SHOWN = ("task", "data", "rewards", "rollout", "objective", "adapter", "optimiser")
"""The sections of a recipe that a card tells, beside its first lines."""


@dataclass(frozen=True)
class _Measured:
    """What a card says of an evaluation, or of a loss on held-out examples."""

    accuracy: float | None = None
    interval: tuple[float, float] = (0.0, 1.0)
    problems: int = 0
    loss: float | None = None
    perplexity: float | None = None
    examples: int = 0

    @property
    def words(self) -> str:
        if self.accuracy is not None:
            return accuracy_words(self.accuracy, *self.interval)
        return "" if self.loss is None else f"{self.loss:.4f} nats a token (perplexity {self.perplexity or 0:.4g})"


@dataclass(frozen=True)
class CardFacts:
    """What is known of a trained policy. Without a run, `recipe` and `result` are empty."""

    kind: Literal["adapter", "model"]
    name: str
    base: str
    recipe: Mapping[str, Json]
    result: Mapping[str, Json]
    lines: Sequence[str]
    """Size of the export, and how it was checked."""
    loader: str = "AutoModelForCausalLM"
    """The class of transformers that loads the base, or the whole model."""
    licence: str | None = None
    """Its identifier on the hub, where the user gave one."""

    @classmethod
    def of(
        cls,
        source: Path,
        target: Path,
        kind: Literal["adapter", "model"],
        base: Model,
        lines: Sequence[str],
        loader: str,
    ) -> "CardFacts":
        folder, is_run = RunFolder(source), (source / "run.toml").is_file()
        recipe = folder.read_recipe() if is_run else {}
        result = (folder.read_result() if is_run else None) or {}
        return cls(kind, one_line(target.name, 100), reference(base.path, target), recipe, result, lines, loader)


def write_card(folder: Path, facts: CardFacts) -> None:
    """README.md in the form of the Hugging Face hub. No text of a run is markup in it, and no path of this machine."""
    parts = [
        f"---\n{_front_matter(facts)}\n---\n\n# {escaped(facts.name)}\n",
        _about(facts),
        *_tables(facts),
        f"## Loading\n\n{_loading(facts)}",
        f"## Versions\n\n{_versions(facts)}",
    ]
    (folder / "README.md").write_text("\n\n".join(part.strip("\n") for part in parts) + "\n", encoding="utf-8")


def _front_matter(facts: CardFacts) -> str:
    """The metadata that the hub reads; a licence only where somebody has told us."""
    adapter = facts.recipe.get("adapter")
    kind = str(adapter.get("kind", "lora")) if isinstance(adapter, dict) else "lora"
    method = [] if not facts.recipe else ["sft"] if "data" in facts.recipe else ["reinforcement-learning"]
    data = ModelCardData(
        base_model=facts.base if HUB_NAME.fullmatch(facts.base) else None,
        library_name="peft" if facts.kind == "adapter" else "transformers",
        pipeline_tag="text-generation",
        tags=["paring", one_line(kind, 40), *method],
        model_name=facts.name,
        license=facts.licence,
        eval_results=list(_eval_results(facts)) or None,
    )
    return data.to_yaml()


def _eval_results(facts: CardFacts) -> Iterator[EvalResult]:
    after, data = _measured(facts.result.get("after")), _data_name(facts)
    figures: dict[str, tuple[float, str]] = {}
    if after.accuracy is not None:
        interval = f"95 % interval {percent_interval(*after.interval)}, {after.problems} problems, greedy"
        figures["accuracy"] = (round(after.accuracy, 6), f"accuracy ({interval})")
    elif after.loss is not None:
        figures["loss"] = (round(after.loss, 6), f"nats a token on {after.examples} held-out examples")
    for kind, (value, words) in figures.items():
        yield EvalResult(
            task_type="text-generation",
            dataset_type=re.sub(r"[^\w.-]+", "-", data).strip("-") or "data",
            dataset_name=data,
            metric_type=kind,
            metric_value=value,
            metric_name=words,
        )


def _about(facts: CardFacts) -> str:
    what = "LoRA adapter for" if facts.kind == "adapter" else "model, made by merging a LoRA adapter into"
    base = escaped(facts.base)
    if own := shipped_name(facts.base):
        base += f", a tiny model that ships with paring: `{own}`"
    elif not HUB_NAME.fullmatch(facts.base):
        base += ", a local folder, given relative to this one"
    lines = [f"A {what} {base}.", *map(escaped, facts.lines)]
    if description := facts.recipe.get("description"):
        lines.insert(1, escaped(str(description)))
    if not facts.recipe:
        lines.append("Nothing is known of how the adapter was trained: it came as a PEFT folder, without its run.")
    known = "" if facts.licence else "; nothing is said of a licence here, for none is known"
    lines.append(f"The terms of the base model hold{known}.")
    return "\n\n".join(lines)


def _tables(facts: CardFacts) -> Iterator[str]:
    """Results and recipe, where there is a run."""
    before, after = _measured(facts.result.get("before")), _measured(facts.result.get("after"))
    if after.words:
        count = f"{after.problems} problems" if after.accuracy is not None else f"{after.examples} examples"
        what = "accuracy, 95 % interval" if after.accuracy is not None else "loss"
        head = ("data", "measured", "base model", "trained", "on")
        row = (f"{_data_name(facts)}, held out", what, before.words, after.words, count)
        yield "\n".join(["## Results", "", *Table(head, [row], words=frozenset({1})).as_markdown()])
    elif facts.recipe:
        yield "## Results\n\nNone: the run has not come to its end."
    rows = [[key, _plain(value)] for key, value in _settings(facts)]
    if rows:
        yield "\n".join(["## Training", "", *Table(("setting", "value"), rows, words=frozenset({1})).as_markdown()])


def _settings(facts: CardFacts) -> Iterator[tuple[str, Json]]:
    for key in ("method", "steps", "seed", "batch"):
        if key in facts.recipe:
            yield key, facts.recipe[key]
    for steps in ("updates", "training_seconds"):
        if steps in facts.result:
            yield steps.replace("_", " "), facts.result[steps]
    model = facts.recipe.get("model")
    for key, value in model.items() if isinstance(model, dict) else ():
        if key in ("dtype", "quantisation"):
            yield f"model.{key}", value
    for name in SHOWN:
        section = facts.recipe.get(name)
        for key, value in section.items() if isinstance(section, dict) else ():
            yield f"{name}.{key}", value


def _loading(facts: CardFacts) -> str:
    own, name, model = shipped_name(facts.base), one_line(facts.base, 300), facts.recipe.get("model")
    base, served, loader = json.dumps(name), quote(name), facts.loader
    shipped = "from paring.policy.loading import SHIPPED"
    if own:
        base, served = f'SHIPPED["{own}"]', f'"$(python -c \'{shipped}; print(SHIPPED["{own}"])\')"'
    dtype = f", dtype={json.dumps(model['dtype'])}" if isinstance(model, dict) and "dtype" in model else ""
    if facts.kind == "adapter":
        code = [
            *([shipped] if own else []),
            "from peft import PeftModel",
            f"from transformers import {loader}, AutoTokenizer",
            "",
            f"base = {loader}.from_pretrained({base}{dtype})",
            'model = PeftModel.from_pretrained(base, "path/to/this/folder")',
            'tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")',
        ]
        vllm = f"vllm serve {served} --enable-lora --lora-modules trained=path/to/this/folder"
    else:
        code = [
            f"from transformers import {loader}, AutoTokenizer",
            "",
            f'model = {loader}.from_pretrained("path/to/this/folder")',
            'tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")',
        ]
        vllm = "vllm serve path/to/this/folder"
    blocks = ["```python\n" + "\n".join(code) + "\n```", f"With vLLM:\n\n```\n{vllm}\n```"]
    if facts.base.startswith("."):
        blocks.append("transformers takes a relative folder from where it is started: start it in this folder.")
    return "\n\n".join([*blocks, "With paring:\n\n```\nparing eval path/to/this/folder --task TASK\n```"])


def _versions(facts: CardFacts) -> str:
    known = facts.result.get("versions")
    trained = dict(known) if isinstance(known, dict) else {}
    written = versions()
    try:
        written["peft"] = version("peft")
    except PackageNotFoundError:
        pass
    rows = [[name, str(trained.get(name, "")), written.get(name, "")] for name in {**trained, **written}]
    return "\n".join(Table(("package", "trained with", "written with"), rows, words=frozenset({1, 2})).as_markdown())


def _data_name(facts: CardFacts) -> str:
    for name in ("task", "data"):
        if isinstance(known := facts.result.get(name), str):
            return one_line(known, 100)
    return "data"


def _measured(plain: Json) -> _Measured:
    try:
        return TypeAdapter(_Measured).validate_json(json.dumps(plain))
    except ValidationError:
        return _Measured()


def _plain(value: Json) -> str:
    """A value of a recipe as text; of a path, its last part alone."""
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    if isinstance(value, dict):
        return ", ".join(f"{key} = {_plain(inner)}" for key, inner in value.items())
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)
    for kind in (PurePosixPath, PureWindowsPath):
        if kind(text).is_absolute() or text.startswith("~"):
            return kind(text).name
    return text
