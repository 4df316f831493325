"""The protocol of rollout engines, and the settings of sampling."""

from collections.abc import Sequence
from typing import Annotated, Literal, Protocol

from pydantic import Field, Strict

from paring.maths.mismatch import Correction, CorrectionKind
from paring.runtime.client import check_address
from paring.settings.complaints import RunBroken
from paring.settings.declare import LARGEST, Count, CountOrZero, NotNegative, Positive, Share, settings
from paring.types import Group, Key, Problem

Stop = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=200)], ...], Field(max_length=16)]
"""Stop strings."""


@settings
class Sampling:
    """How a token is drawn. temperature 0 is greedy; top_k 0, top_p 1 and min_p 0 leave the distribution whole. An
    answer ends with the token that completes one of the strings `stop`; its text goes up to that string, or with
    `keep_stop` to the end of it."""

    max_new_tokens: Count
    temperature: NotNegative = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: CountOrZero = 0
    min_p: Annotated[float, Field(ge=0, le=1)] = 0.0
    stop: Stop = ()
    keep_stop: bool = False


@settings
class Rollout:
    """The `rollout` section of a recipe: what is sampled before each update."""

    problems: Count
    """Problems a step."""
    group_size: Annotated[int, Field(ge=2, description="the group is its own baseline")]
    """Completions of each problem, G."""
    max_new_tokens: Count
    only: str | None = None
    """A file that `paring filter` wrote: training draws its problems alone. Validation and test stay whole."""
    temperature: Annotated[Positive, Field(description="training needs chance; evaluation may be greedy")] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: CountOrZero = 0
    min_p: Annotated[float, Field(ge=0, le=1)] = 0.0
    stop: Stop = ()
    """Strings that end an answer, also in evaluations. Its text goes up to the first of them; all tokens that were
    sampled are learned."""
    keep_stop: bool = False
    """Whether the string that ended an answer is a part of its text."""
    rows: Count = 512
    """Completions decoded at once; it bounds memory and does not change them."""
    record_gb: NotNegative = 4.0
    """At most so many 10^9 bytes of the rollout's forward pass are kept for the first update, which else computes it
    again (policy/replay.py): on a CPU with fp32 weights. 0: none."""
    updates: Count = 1
    """Times that training goes through each rollout."""
    minibatches: Count = 1
    """Optimiser steps each time: the problems are divided among them."""
    sync_every: Count = 1
    """The policy that samples is refreshed every so many steps; 1: it is always the one that is trained."""
    ahead: Annotated[int, Field(ge=0, le=64)] = 0
    """Steps whose answers are sampled before they are trained on: step n learns answers of the policy before step
    n - ahead. Servers sample them while the steps between train (docs/asynchronous.md)."""
    old_logprobs: Literal["recomputed", "sampler"] = "recomputed"
    """The log-probs of the policy that sampled, for ratios and clips: recomputed by training, with the adapters of that
    policy; or those at which the engine drew the tokens, which takes no pass."""
    redraws: Annotated[int, Field(ge=0, le=1000)] | None = None
    """How often problems without signal are replaced by others in a step, at most, whatever the objective; without it
    as the objective has it."""
    redraw_by: Literal["correct", "reward"] = "correct"
    """The signal that is missed: answers that are all right or all wrong, or whose rewards are all the same."""
    mask_truncated: bool = False
    """Whether answers that were cut off count for their group and are not learned, whatever the objective."""
    truncate_ratio: Annotated[float, Field(ge=1, le=LARGEST)] | Literal["off"] = "off"
    """The bound of the importance weights of answers that the trained policy has not sampled itself; "off": no weights
    (docs/objectives.md)."""
    correction: CorrectionKind = "tis"
    """Where a weight passes the bound, tis and sequence-tis hold it there, mis and icepop make it 0."""
    least_ratio: Share = 0.5
    """The lower bound of icepop, below which a weight is 0."""
    engine: Literal["local", "served"] = "local"
    """What samples and evaluates: this process, or vLLM servers over HTTP (docs/serving.md)."""
    servers: Annotated[tuple[str, ...], Strict(False)] = ()
    """The addresses of the servers, such as http://node3:8000; none: the run starts one on its own machine."""
    published: str = "published"
    """The folder from which servers read adapters; a relative one is below the run's folder."""
    servers_see: str | None = None
    """The path of `published` on the servers, where it is another there."""
    patience: Positive = 600.0
    """Seconds that a server may be away before the run gives it up, and ends where no other is left."""
    canary: Positive | Literal["auto"] = "auto"
    """Nats a token by which log-probs of a server and of the trainer may differ; auto: 0.001 where the base is in fp32,
    else 0.1."""

    def __post_init__(self) -> None:
        self._check_servers()
        if self.ahead and self.sync_every > 1:
            raise ValueError(
                f"ahead = {self.ahead} and sync_every = {self.sync_every}: both make the policy that samples older; "
                "leave one out"
            )
        restricted = self.top_p < 1 or self.top_k or self.min_p
        if self.old_logprobs == "sampler" and self.engine == "served" and restricted:
            raise ValueError(
                "old_logprobs = sampler: with top_p, top_k or min_p servers give the log-probs of what is left, and "
                "training those of the whole distribution; take recomputed"
            )
        if self.truncate_ratio == "off" and self.correction != "tis":
            raise ValueError(
                f"correction = {self.correction} needs truncate_ratio, the bound of its weights; 2 is usual"
            )
        if self.correction != "icepop" and self.least_ratio != 0.5:
            raise ValueError(f"least_ratio = {self.least_ratio}: only correction = icepop has a lower bound")
        if self.minibatches > self.problems:
            raise ValueError(
                f"minibatches = {self.minibatches} of {self.problems} problems: each needs one at least; lower "
                "minibatches or raise problems"
            )

    def _check_servers(self) -> None:
        given = {"servers": self.servers, "servers_see": self.servers_see}
        if self.engine == "local" and (odd := [name for name, value in given.items() if value]):
            value = given[odd[0]]
            raise ValueError(f'{odd[0]} = {value!r}: engine = "local" asks no server; set engine = "served"')
        if len({url.rstrip("/").lower() for url in self.servers}) < len(self.servers):
            raise ValueError(f"servers = {list(self.servers)}: one stands there twice; name each once")
        for url in self.servers:
            check_address(url, "servers", key="VLLM_API_KEY in the environment")

    @property
    def optimiser_steps(self) -> int:
        """Optimiser steps taken on each rollout."""
        return self.updates * self.minibatches

    @property
    def versions(self) -> int:
        """Adapters that are in use at once: of the rollouts under way, and of what is measured."""
        return self.ahead + 2

    @property
    def importance(self) -> Correction | None:
        """The weights of answers that another policy has sampled; None: they have none."""
        if self.truncate_ratio == "off":
            return None
        return Correction(self.correction, self.truncate_ratio, self.least_ratio)

    @property
    def sampling(self) -> Sampling:
        return Sampling(
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            min_p=self.min_p,
            stop=self.stop,
            keep_stop=self.keep_stop,
        )


Reproduces = Literal["bytes", "tokens", "nothing"]


class EngineFailed(RunBroken):
    """An engine cannot go on: its servers are gone, refuse, or answer as another policy. What is trained is intact."""


class Engine(Protocol):
    """Samples answers of a policy as it is at each call. The result is a pure function of the weights and the
    arguments: how rows are batched, which leave early, and on how many processes, does not show."""

    @property
    def reproduces(self) -> Reproduces:
        """What equal weights and arguments give again: tokens and log-probs to the byte; tokens, with log-probs equal
        up to rounding; or neither."""
        ...

    def publish(self) -> "Engine":
        """An engine that samples from the policy as it is at this moment, whatever training does to it later."""
        ...

    def sample(self, problems: Sequence[Problem], group_size: int, sampling: Sampling, key: Key) -> list[Group]:
        """`group_size` completions of each problem, in the order of the problems.

        Raises ValueError where a prompt leaves no room for an answer in the model's context, NotFinite, and
        EngineFailed."""
        ...


def check_length(problem: Problem, prompt: int, max_new_tokens: int, context: int) -> None:
    """Raises ValueError where prompt and answer do not fit the context, all in tokens, or the prompt is empty."""
    if prompt == 0:
        raise ValueError(f"problem {problem.id}: its prompt has no tokens, and an answer must follow something")
    if prompt + max_new_tokens > context:
        raise ValueError(
            f"problem {problem.id}: its prompt of {prompt} tokens and rollout.max_new_tokens = {max_new_tokens} exceed "
            f"the model's context of {context} tokens: lower max_new_tokens or leave the problem out"
        )
