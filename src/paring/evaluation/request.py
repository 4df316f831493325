"""The request of an evaluation: everything that determines its answers."""

import re
from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from paring.evaluation.benchmarks.benchmark_task import Broken
from paring.rollout.engine import Sampling, Stop
from paring.runtime.client import check_address
from paring.settings.complaints import complaints
from paring.settings.declare import Count, CountOrZero, NotNegative, settings
from paring.settings.options import Naming, OptionError

Long = Literal["stop", "skip"]
"""The treatment of problems that do not fit the model's context with their answer."""
_FAULT = re.compile(r"^(\w+) = ")


@settings
class Request:
    """The subject, what it is compared with, the tasks and how they are put to both. None: see the field.

    tasks            names, each with a limit of its own where one is given: "gsm8k" or "gsm8k:200"; none: the run's own
    task_settings    of the tasks, over those of the run where a task is its own
    limit            problems of each task, the first ones; None: all
    top_p, top_k, min_p   as for a rollout
    stop             strings that end an answer, in the place of the run's; those of a prompt's style end one too
    max_new_tokens   None: for a run's own task as in the run, else what exam.py gives the model
    system           the system prompt, in the place of the style's or the task's; empty: none
    template_arguments   of the chat template, over those of the run
    style            of prompts, "boxed", "think-answer", for gsm8k "lm-eval"; None: as the run trained, else boxed
    shots            worked examples before a benchmark's question; None: as the benchmark says
    long             "stop" refuses problems that do not fit the context with their answer, "skip" leaves them out
    data             DIR of DIR/benchmark/test.jsonl; None: the run's own data for its own task, else the hub
    checkpoint       of the subject, a run: "best" or the number of a step; None: its end, or its newest
    rows             answers decoded at once; the answers on record grow by so many
    server           addresses of vLLM servers that answer; none: this process does
    """

    subject: str
    compare: str | None = None
    tasks: tuple[str, ...] = ()
    task_settings: dict[str, object] = field(default_factory=dict)
    limit: Count | None = None
    samples: Count = 1
    temperature: NotNegative = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: CountOrZero = 0
    min_p: Annotated[float, Field(ge=0, le=1)] = 0.0
    stop: Stop = ()
    max_new_tokens: Count | None = None
    system: str | None = None
    template_arguments: dict[str, bool | int | float | str] = field(default_factory=dict)
    style: str | None = None
    shots: CountOrZero | None = None
    broken: Broken = "mend"
    long: Long = "stop"
    data: str | None = None
    seed: CountOrZero = 0
    checkpoint: str | None = None
    rows: Count = 32
    server: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for url in self.server:
            check_address(url, "server", key="VLLM_API_KEY in the environment")

    def sampling(self, max_new_tokens: int, stop: tuple[str, ...] = (), *, keep_stop: bool = False) -> Sampling:
        """How an answer of at most so many tokens is drawn, which ends with one of the strings `stop`."""
        return Sampling(
            max_new_tokens=max_new_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            min_p=self.min_p,
            stop=stop,
            keep_stop=keep_stop,
        )

    @property
    def drawn(self) -> str:
        """The way of drawing a token, in words."""
        if self.temperature == 0:
            return "greedy"
        others = {"top-p": (self.top_p, 1), "top-k": (self.top_k, 0), "min-p": (self.min_p, 0)}
        words = [f"{name} {value:g}" for name, (value, whole) in others.items() if value != whole]
        return ", ".join([f"temperature {self.temperature:g}", *words])

    @property
    def how(self) -> str:
        """The way of sampling, in words."""
        return self.drawn + (f", {self.samples} answers a problem" if self.samples > 1 else "")


def _as_option(fault: str, name: Naming) -> str:
    """`samples = 0: must be ...`, as the option is written."""
    return _FAULT.sub(lambda found: f"{name(found[1])} ", fault, count=1) if name.as_flags else f"evaluate: {fault}"


def request_of(**values: Any) -> Request:
    """Raises OptionError (a ValueError) naming each value, its bound and the remedy."""
    try:
        request = Request(**values)
    except ValidationError as error:
        faults = complaints(error, values, Request)
        raise OptionError(lambda name: "\n".join(_as_option(fault, name) for fault in faults)) from None
    if request.samples > 1 and request.temperature == 0:
        raise OptionError(
            lambda name: (
                f"{name.given('samples', request.samples)} at temperature 0 would all be the same answer: set "
                f"{name('temperature')} above 0"
            )
        )
    if request.temperature == 0 and (request.top_p, request.top_k, request.min_p) != (1, 0, 0):
        raise OptionError(
            lambda name: (
                f"{name('top_p')}, {name('top_k')} and {name('min_p')} change nothing at temperature 0, which takes "
                f"the likeliest token: set {name('temperature')} above 0"
            )
        )
    return request
