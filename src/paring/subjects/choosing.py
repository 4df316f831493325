"""From the names of a request to exams: which task a name means, and in which style it is put."""

from collections.abc import Sequence
from dataclasses import asdict, fields, is_dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from paring.evaluation.benchmarks import lm_eval
from paring.evaluation.benchmarks.benchmark import AnyBenchmark
from paring.evaluation.benchmarks.benchmark_task import BenchmarkTask
from paring.evaluation.benchmarks.catalogue import BENCHMARKS, benchmark_named
from paring.evaluation.benchmarks.gsm8k import GSM8K
from paring.evaluation.exam import Exam, exam_of
from paring.evaluation.request import Request
from paring.runtime.sources import Source
from paring.settings.options import OptionError
from paring.tasks.base import Task
from paring.tasks.gsm8k import Gsm8k
from paring.tasks.mixture import Mixture
from paring.tasks.own_data import OwnData
from paring.tasks.own_task import OwnTask
from paring.tasks.reward_functions import RewardFunctions
from paring.tasks.styles import STYLES, Boxed, Style, style_of
from paring.training.config import AnyTask, Run, load_run, task_named, task_names
from paring.verifier import Verifier


def exams_of(request: Request, run: Run | None, style: Style, verifier: Verifier) -> list[Exam]:
    """The tasks of an evaluation; `run` is the subject's where it is one of reinforcement learning. All benchmarks
    share the verifier, and so its workers.

    Raises ValueError for an unknown task (with the nearest name), a limit above a task's size, a task twice;
    FileNotFoundError where data are missing, saying how to get them; ModuleNotFoundError without an extra it needs."""
    names = request.tasks or (() if run is None else (run.task.name,))
    if not names:
        raise OptionError(lambda name: f"name a task with {name('task')}: {', '.join(known_tasks())}")
    exams = []
    for given in names:
        name, colon, own_limit = given.partition(":")
        if colon and not (own_limit.isdecimal() and int(own_limit)):
            words = f"{given!r}: behind the colon a number from 1 is its limit, such as {name}:100"
            raise OptionError(lambda option, words=words: f"{option('task')} {words}")
        limit = int(own_limit) if colon else request.limit
        benchmark = benchmark_named(name)
        if request.style == lm_eval.STYLE:
            exams.append(_as_lm_eval(name, benchmark, request, limit))
            continue
        own = None if run is None else own_task(run, benchmark.name if benchmark else name) or own_task(run, name)
        if benchmark is not None and own is not None and own.name != benchmark.name:
            benchmark = None  # a label that is called as a benchmark is
        task = _task(name, benchmark, request, run, own, style, verifier)
        exam = exam_of(task, limit=limit, shots=request.shots, benchmark=benchmark, system=request.system)
        exams.append(replace(exam, label=name) if run is not None and name in labels_of(run) else exam)
    chosen = [exam.name for exam in exams]
    if repeated := {name for name in chosen if chosen.count(name) > 1}:
        raise OptionError(lambda name: f"{name('task')}: {', '.join(sorted(repeated))} stands there twice")
    _check_heeded(request, exams)
    return exams


def _check_heeded(request: Request, exams: Sequence[Exam]) -> None:
    """Raises OptionError for an option that none of the exams heeds."""
    tasks = ", ".join(exam.name for exam in exams)
    if request.style in STYLES and not any(exam.benchmark or "style" in _settings(exam.task) for exam in exams):
        words = f"changes nothing for {tasks}, whose prompts are their own"
        raise OptionError(lambda name: f"{name.given('style', request.style)} {words}")
    if request.shots and not any(exam.benchmark for exam in exams):
        words = f"is for benchmarks: {tasks} shows no examples"
        raise OptionError(lambda name: f"{name.given('shots', request.shots)} {words}")


def _settings(task: Task) -> list[str]:
    return [one.name for one in fields(task)] if is_dataclass(task) else []


def _in_style(task: AnyTask, request: Request) -> AnyTask:
    """The task in the style that is asked for, where it has several."""
    if request.style is None or "style" in request.task_settings or "style" not in _settings(task):
        return task
    held = {key: value for key, value in asdict(task).items() if value is not None}
    return task_named(task.name, held | {"style": request.style})


def labels_of(run: Run) -> list[str]:
    """The names of the tasks of a run with several; none for a single one."""
    return list(run.task.by_label) if isinstance(run.task, Mixture) else []


def own_task(run: Run, name: str) -> AnyTask | None:
    """The task of this name that a run trained on, by its label where it trained on several."""
    if isinstance(run.task, Mixture) and name in run.task.by_label:
        return run.task.by_label[name]
    return run.task if name == run.task.name else None


def known_tasks() -> list[str]:
    return sorted({*task_names(), *(benchmark.name for benchmark in BENCHMARKS)})


def style_for(request: Request, run: Run | None) -> tuple[Style, list[str]]:
    """The style of prompts, and what the results must say of it: given, else as the run was trained, else boxed."""
    if request.style == lm_eval.STYLE:
        return Boxed(), []
    if request.style is not None and request.style not in STYLES:
        raise OptionError(
            lambda name: (
                f"{name.given('style', request.style)}: unknown; choices: {', '.join([*STYLES, lm_eval.STYLE])}"
            )
        )
    given = STYLES[request.style] if request.style else None
    if run is None:
        return given or Boxed(), []
    own = run.task
    asked = [name.partition(":")[0] for name in request.tasks]
    if isinstance(own, OwnTask | RewardFunctions) and asked and own.name not in asked:
        return given or Boxed(), [f"the code of {own.name} is not run for other tasks, so its style is not known"]
    try:
        trained = STYLES[own.style] if isinstance(own, Gsm8k) else style_of(own.problems("train")[0].messages)
    except (FileNotFoundError, ModuleNotFoundError):
        return given or Boxed(), ["the data of the run are not here, so the style of its prompts is not known"]
    style = given or trained or Boxed()
    if trained is None:
        return style, [f"{own.name} trained with other prompts than benchmarks have: {style.kind}"]
    notes = [f"{own.name} trained in the style {trained.kind}, and is measured in {style.kind}"]
    return style, [] if style == trained else notes


def _as_lm_eval(name: str, benchmark: AnyBenchmark | None, request: Request, limit: int | None) -> Exam:
    """GSM8K as lm-evaluation-harness has it. Raises OptionError for another task, and for what it does not take."""
    if benchmark is not GSM8K:
        raise OptionError(lambda option: f"{option.given('style', lm_eval.STYLE)} is for gsm8k, not for {name}")
    if request.task_settings or request.system is not None or request.template_arguments:
        raise OptionError(
            lambda option: (
                f"{option.given('style', lm_eval.STYLE)} puts plain text: leave {option('system')}, "
                f"{option('template_arguments')} and settings of the task away; {option('data')} says where data are"
            )
        )
    shots = lm_eval.SHOTS if request.shots is None else request.shots
    if request.data is not None:
        task = lm_eval.LmEvalGsm8k(str(GSM8K.file(request.data).parent), shots=shots)
    else:
        assert GSM8K.hub is not None
        task = lm_eval.LmEvalGsm8k(GSM8K.hub.name, GSM8K.hub.configs[0], shots)
    exam = replace(exam_of(task, limit=limit), style=lm_eval.STYLE, shots=shots, benchmark=GSM8K)
    return replace(exam, longest=lm_eval.LONGEST_ANSWER, stop=lm_eval.STOP)


def _all_as_test(task: Task, trained: Sequence[OwnData]) -> Task:
    """A task of one's own data, all of whose rows are put where none is held out, and no run has trained on them."""
    if not isinstance(task, OwnData) or task.test is not None or any(_data(task) == _data(one) for one in trained):
        return task
    source = Source(task.data, "task.data", task.hub_config, task.revision)
    if source.is_file:
        return replace(task, test=task.data)
    if task.test_split is None and not source.has("test"):
        return replace(task, test_split=task.split)
    return task


def _data(task: OwnData) -> tuple[str, str | None]:
    path = Path(task.data).expanduser()
    return str(path.resolve() if path.exists() else task.data), task.hub_config


def _trained_on(request: Request, run: Run | None) -> list[OwnData]:
    """The data of the runs that are measured."""
    folder = None if request.compare is None else Path(request.compare).expanduser()
    runs = [run, None if folder is None or not (folder / "run.toml").is_file() else load_run(folder / "run.toml")]
    tasks = [one.task for one in runs if isinstance(one, Run)]
    single = [part for task in tasks for part in (task.by_label.values() if isinstance(task, Mixture) else (task,))]
    return [task for task in single if isinstance(task, OwnData)]


def _task(
    name: str,
    benchmark: AnyBenchmark | None,
    request: Request,
    run: Run | None,
    own: AnyTask | None,
    style: Style,
    verifier: Verifier,
) -> Task:
    """The run's `own` task, with its own settings; else a task of a recipe; else a benchmark. Settings of the request
    stand over all others."""
    name, settings = own.name if own else benchmark.name if benchmark else name, request.task_settings
    if name == GSM8K.name:  # trained on too, it takes the style and the data of benchmarks
        given = {} if request.data is None else {"data": str(GSM8K.file(request.data).parent), "test": None}
        settings = {"style": style.kind} | given | settings
    if own is not None:
        held = {key: value for key, value in asdict(own).items() if value is not None}
        return _all_as_test(_in_style(task_named(name, held | settings), request), _trained_on(request, run))
    if name in task_names():
        return _all_as_test(_in_style(task_named(name, settings), request), _trained_on(request, run))
    if benchmark is not None:
        if settings:
            raise OptionError(
                lambda option: (
                    f"{name} is a benchmark and takes no {'KEY=VALUE' if option.as_flags else 'task_settings'}: see "
                    + ", ".join(map(option, ("style", "shots", "data", "broken")))
                )
            )
        return BenchmarkTask(benchmark, style, request.data, request.broken, verifier)
    known = sorted({*known_tasks(), *(labels_of(run) if run else ())})
    near = get_close_matches(name.lower().replace("-", "_"), known, n=1) or get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise OptionError(lambda option: f"{option('task')} {name!r}: unknown; {hint}Choices: {', '.join(known)}")
