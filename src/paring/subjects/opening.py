"""Something that answers, opened for reading: a run, a base model, or a PEFT adapter folder."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from paring.adapters.attach import load_state, merge, set_ranks
from paring.adapters.peft_format import Layout, write_peft_folder
from paring.adapters.peft_reading import attach_from_peft, read_peft_folder
from paring.config import Run, load_run, task_named, task_names
from paring.evaluation.measuring import Evaluation, measure
from paring.policy.chat import prompt_tokens
from paring.policy.loading import Model, base_name, load_base, without_bars
from paring.policy.model import Policy
from paring.rollout.engine import Sampling
from paring.rollout.local import LocalEngine
from paring.runtime import checkpoint
from paring.runtime.files import staged_folder
from paring.runtime.folder import RunFolder, check_empty
from paring.settings.complaints import RecipeError, complaints
from paring.tasks.base import Task
from paring.training.setup import attach_adapters
from paring.types import Key

LONGEST_ANSWER = 512
VLLM_RANKS = (16, 32, 64, 128, 256, 320, 512)
"""Its default of --max-lora-rank, and the larger values that it takes."""


@dataclass(frozen=True)
class Subject:
    """A policy, and the run of a task that it comes from, if it does."""

    policy: Policy
    base: str
    run: Run | None = None


def open_subject(name: str) -> Subject:
    """A run's folder, a PEFT adapter's folder, or whatever `model.path` takes.

    Of a run that has not ended the newest checkpoint answers. Raises ValueError where there is nothing to open."""
    folder = Path(name).expanduser()
    if (folder / "run.toml").is_file():
        return _open_run(RunFolder(folder))
    if (folder / "adapter_config.json").is_file():
        base = read_peft_folder(folder).base_model
        if base is None:
            raise ValueError(f"{folder / 'adapter_config.json'} names no base model: set base_model_name_or_path")
        model, tokenizer = load_base(Model(path=base))
        return Subject(Policy(model, tokenizer, attach_from_peft(model, folder)), base_name(base))
    model, tokenizer = load_base(Model(path=name))
    return Subject(Policy(model, tokenizer, {}), base_name(name))


def evaluate(
    subject: str | Path,
    task: str | Task | None = None,
    *,
    limit: int | None = None,
    samples: int = 1,
    temperature: float = 0.0,
    max_new_tokens: int | None = None,
    seed: int = 0,
    task_settings: dict[str, Any] | None = None,
) -> Evaluation:
    """Measure a run, model or adapter on the test split of a task, by name or as an object; of a run, by default on
    its own. Greedy by default; with `samples` > 1 give a temperature. Answers have at most `max_new_tokens` tokens, by
    default as many as in the run, else as the context holds, up to 512. Raises ValueError."""
    if samples < 1 or (limit is not None and limit < 1):
        raise ValueError(f"samples = {samples}, limit = {limit}: both must be at least 1")
    if samples > 1 and temperature == 0:
        raise ValueError(
            f"samples = {samples} at temperature 0 would all be the same answer: set a temperature above 0"
        )
    opened = open_subject(str(subject))
    chosen = _task(task, opened.run, task_settings or {})
    problems = chosen.problems("test")[:limit]
    if max_new_tokens is None:
        is_own = opened.run is not None and opened.run.task.name == chosen.name
        longest = max(len(prompt_tokens(opened.policy.tokenizer, problem.messages)) for problem in problems)
        max_new_tokens = opened.run.rollout.max_new_tokens if is_own else room_for_answers(opened.policy, longest)
    sampling = _sampling(max_new_tokens=max_new_tokens, temperature=float(temperature))
    engine, key = LocalEngine(opened.policy), Key(seed, step=0)
    return measure(engine, chosen, "test", limit=len(problems), sampling=sampling, samples=samples, key=key)[0]


def export(subject: str | Path, to: str | Path, *, merged: bool = False, layout: Layout = "compact") -> Path:
    """Write a run's adapter as a PEFT folder with its tokenizer, or `merged` into a whole Hugging Face model. `layout`
    matters where the modules' ranks differ: see peft_format.Layout.

    Complete or not at all. Raises ValueError where `to` is not free or cannot be written, or there is no adapter."""
    source, target = Path(subject).expanduser(), Path(to).expanduser()
    if not any((source / name).is_file() for name in ("run.toml", "adapter_config.json")):
        raise ValueError(f"{source} holds no adapter: give the folder of a run or of a PEFT adapter")
    check_empty(target)
    opened = open_subject(str(subject))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with staged_folder(target) as staging:
            _write(opened, staging, merged=merged, layout=layout)
    except OSError as error:
        raise ValueError(f"{target} cannot be written: {error.strerror}. Choose another folder") from error
    return target


def engine_note(adapter: Path) -> str | None:
    """What to tell an engine of the ranks of an exported adapter; None where its defaults take them.

    vLLM takes ranks up to 16 unless told otherwise, and as a limit only the sizes that it has kernels for."""
    largest = max(len(A_RI) for A_RI, _ in read_peft_folder(adapter).tensors.values())
    if largest <= VLLM_RANKS[0]:
        return None
    fitting = next((size for size in VLLM_RANKS if size >= largest), None)
    if fitting is None:
        return f"the largest rank is {largest}, and vLLM takes {VLLM_RANKS[-1]} at most: export --merged for it"
    return f"the largest rank is {largest}: start vLLM with --max-lora-rank {fitting}"


def _write(opened: Subject, folder: Path, *, merged: bool, layout: Layout) -> None:
    policy = opened.policy
    policy.tokenizer.save_pretrained(folder)
    if merged:
        merge(policy.model)
        with without_bars():
            policy.model.save_pretrained(folder)
    else:
        write_peft_folder(folder, policy.adapters, base_model=opened.base, layout=layout)


def _open_run(folder: RunFolder) -> Subject:
    run = load_run(folder.existing_recipe())
    model, tokenizer = load_base(run.model)
    if folder.adapter.is_dir():
        adapters = attach_from_peft(model, folder.adapter)
    else:
        found, _ = checkpoint.load_newest(folder.checkpoints)
        if found is None:
            raise ValueError(f"{folder.path} has neither an adapter nor a checkpoint yet: let it train for a while")
        adapters = attach_adapters(model, run.adapter, seed=run.seed)
        set_ranks(adapters, found.state["ranks"])
        load_state(adapters, found.tensors["adapter"])
    with_task = run if isinstance(run, Run) else None
    return Subject(Policy(model, tokenizer, adapters), base_name(run.model.path), with_task)


def own_task(run: Run, settings: dict[str, Any]) -> Task:
    """The task that a run trains on, with these settings put over its own. Raises RecipeError."""
    held = {key: value for key, value in asdict(run.task).items() if value is not None}
    return task_named(run.task.name, held | settings)


def room_for_answers(policy: Policy, longest_prompt: int) -> int:
    """Tokens that the context leaves for an answer to a prompt of so many, at most 512."""
    return max(1, min(LONGEST_ANSWER, policy.context - longest_prompt))


def _task(task: str | Task | None, run: Run | None, settings: dict[str, Any]) -> Task:
    if task is not None and not isinstance(task, str):
        return task
    if run is not None and task in (None, run.task.name):
        return own_task(run, settings)
    if task is None:
        raise ValueError(f"name a task: {', '.join(task_names())}")
    return task_named(task, settings)


def _sampling(**wanted: float) -> Sampling:
    try:
        return Sampling(**wanted)
    except ValidationError as error:
        raise RecipeError("evaluate", complaints(error, wanted, Sampling)) from None
