"""The request of an evaluation: everything that determines its answers."""

from dataclasses import field
from typing import Any

from pydantic import ValidationError

from paring.evaluation.benchmarks.benchmark_task import Broken
from paring.settings.complaints import RecipeError, complaints
from paring.settings.declare import Count, CountOrZero, NotNegative, settings


@settings
class Request:
    """The subject, what it is compared with, the tasks and how they are put to both. None: see the field.

    tasks            names, each with a limit of its own where one is given: "gsm8k" or "gsm8k:200"; none: the run's own
    task_settings    of the tasks, over those of the run where a task is its own
    limit            problems of each task, the first ones; None: all
    max_new_tokens   None: for a run's own task as in the run, else what the context leaves, up to 512
    style            of prompts, "boxed" or "think-answer"; None: as the run was trained, else boxed
    shots            worked examples before a benchmark's question; None: as the benchmark says
    data             DIR of DIR/benchmark/test.jsonl; None: the run's own data for its own task, else the hub
    rows             answers decoded at once; the answers on record grow by so many
    """

    subject: str
    compare: str | None = None
    tasks: tuple[str, ...] = ()
    task_settings: dict[str, object] = field(default_factory=dict)
    limit: Count | None = None
    samples: Count = 1
    temperature: NotNegative = 0.0
    max_new_tokens: Count | None = None
    style: str | None = None
    shots: CountOrZero | None = None
    broken: Broken = "mend"
    data: str | None = None
    seed: CountOrZero = 0
    rows: Count = 32

    @property
    def problems_at_once(self) -> int:
        return max(1, self.rows // self.samples)

    @property
    def how(self) -> str:
        """The way of sampling, in words."""
        return sampling_words(self.temperature) + (f", {self.samples} answers a problem" if self.samples > 1 else "")


def request_of(**values: Any) -> Request:
    """Raises RecipeError (a ValueError) naming each value, its bound and the remedy."""
    try:
        request = Request(**values)
    except ValidationError as error:
        raise RecipeError("evaluate", complaints(error, values, Request)) from None
    if request.samples > 1 and request.temperature == 0:
        raise ValueError(
            f"samples = {request.samples} at temperature 0 would all be the same answer: set a temperature above 0"
        )
    return request


def sampling_words(temperature: float) -> str:
    return "greedy" if temperature == 0 else f"temperature {temperature:g}"
