"""A run's job: the settings that decide memory, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Literal

from paring.adapters.kinds import Adalora, Allocated, L1ra, Lora
from paring.planning.hardware import is_on_gpu
from paring.planning.shapes import Linear, Shapes
from paring.planning.teachers import Beside, TeacherModel, beside_of, copies_of
from paring.policy.flex import TILE
from paring.policy.loading import DTYPES, precision
from paring.training.config import AnyRun, Run

Kind = Literal["full", "lora", "dora", "l1ra", "l1ra-reference", "sora", "adalora", "allocated"]
KINDS: tuple[Kind, ...] = ("full", "lora", "l1ra", "l1ra-reference")
PROMPT = 128
"""Tokens of a prompt, by default: GSM8K's questions have 60 to 150."""


@dataclass(frozen=True)
class PackedRow:
    """One packed row: `prompts` runs of `prompt` tokens, and `rows` runs of `own` tokens that look at a prompt."""

    prompts: int
    prompt: int
    rows: int
    own: int
    predicted: int

    @property
    def tokens(self) -> int:
        return self.prompts * self.prompt + self.rows * self.own

    @property
    def keys(self) -> int:
        """Keys, counted once for each run that looks at them."""
        return self.prompts * self.prompt + self.rows * (self.prompt + self.own)

    @property
    def scores(self) -> int:
        """Pairs of a query and a key, of the runs whose mask is written out."""
        return self.rows * self.own * (self.prompt + self.own)


@dataclass(frozen=True)
class Rollouts:
    """Reinforcement learning: completions are sampled, then trained on. All as long as they may become."""

    problems: int
    group: int
    prompt: int
    new_tokens: int
    rows_at_once: int

    @property
    def groups_at_once(self) -> int:
        """As LocalEngine has it: at most `rows_at_once` rows, or one whole group."""
        return min(self.problems, max(1, self.rows_at_once // self.group))

    def share(self, processes: int) -> "Rollouts":
        """Those of the process that has most problems."""
        return replace(self, problems=-(-self.problems // processes))

    def largest_pass(self, tokens_per_pass: int, *, packed: bool = True) -> PackedRow:
        """As many completions as fit; the last one's last token takes no place (policy/packing.py). Where passes are
        not packed each has a row of its own, with its prompt (policy/unpacked.py)."""
        own = self.new_tokens - 1
        if not packed:
            longest = self.prompt + own
            rows = min(self.problems * self.group, max(1, tokens_per_pass // longest))
            return PackedRow(rows, longest, 0, 0, rows * self.new_tokens)
        whole = self.prompt + self.group * own
        groups, room = divmod(tokens_per_pass, whole)
        rest = min(self.group, max(0, room - self.prompt) // max(1, own)) if room > self.prompt else 0
        rows = min(self.problems * self.group, max(1, groups * self.group + rest))
        return PackedRow(-(-rows // self.group), self.prompt, rows, own, rows * self.new_tokens)


@dataclass(frozen=True)
class Batches:
    """Supervised learning: `batch` examples a step. All as long as they may be, and every token learned."""

    batch: int
    longest: int

    def share(self, processes: int) -> "Batches":
        """Those of the process that has most examples."""
        return replace(self, batch=-(-self.batch // processes))

    def largest_pass(self, tokens_per_pass: int, *, packed: bool = True) -> PackedRow:
        """A sequence's last token is a target only. Rows of one length are not padded, so packing changes nothing."""
        tokens = max(1, self.longest - 1)
        count = min(self.batch, max(1, tokens_per_pass // tokens))
        return PackedRow(count, tokens, 0, 0, count * tokens)


@dataclass(frozen=True)
class Job:
    """`targets` carry the adapters, of `rank` or, by path, of their `ranks`. `budget`, `floor`, `cap` and `slack` are
    of the kinds whose ranks move, as in adapters/kinds.py.

    `folds`: whether a rollout holds the weights anew, folded and packed for the CPU's matrix library, or runs the
    modules as they stand. `itemsize` is of the base's weights, `state_itemsize` of the hidden states
    between its products. `record_bytes`: the most that it keeps of its forward pass; 0 where none is kept.
    `steps`: of the optimiser on each rollout. `on_gpu`: rollouts have fixed sizes, chunks of logits are larger, and
    adapters multiply in the type of the base. `fused`: attention as one kernel, without padded copies, as a GPU has it
    for rows of more than a tile. `packed`: whether a prompt stands once for its completions in a pass.
    `beside`, `teacher`, `copies_kept`: what the objective needs (teachers.py). `is_served`: servers sample.
    `processes`: how many train together; `work` is then that of the one that has most. `is_divided`: each has its part
    of the base."""

    kind: Kind
    rank: int
    targets: tuple[Linear, ...]
    work: Rollouts | Batches
    tokens_per_pass: int
    activation_bytes: float = inf
    itemsize: int = 4
    state_itemsize: int = 4
    quantisation: Literal["none", "4bit", "8bit"] = "none"
    folds: bool = False
    record_bytes: float = 0.0
    steps: int = 1
    on_gpu: bool = False
    fused: bool = False
    packed: bool = True
    budget: Literal["parameters", "ranks"] = "parameters"
    floor: int = 1
    cap: int = 0
    slack: float = 1.0
    ranks: Mapping[str, int] = field(default_factory=dict)
    beside: Beside = "nothing"
    teacher: TeacherModel | None = None
    copies_kept: int = 0
    is_served: bool = False
    processes: int = 1
    is_divided: bool = False

    @property
    def samples(self) -> Rollouts | None:
        """The rollouts that this process samples itself; None without any."""
        return None if self.is_served or isinstance(self.work, Batches) else self.work

    @property
    def is_gated(self) -> bool:
        """Whether adapters have gates."""
        return self.kind in ("l1ra", "l1ra-reference", "sora")

    @property
    def looks(self) -> bool:
        """Whether rank events look at what components do, by a pass of their own."""
        return self.is_gated or self.kind in ("adalora", "allocated")

    def first_rank_of(self, module: Linear) -> int:
        """The rank of a module at the start."""
        return self.ranks.get(module.path, max(self.rank, round(self.slack * self.rank)))

    @property
    def largest_pass(self) -> PackedRow:
        return self.work.largest_pass(self.tokens_per_pass, packed=self.packed)


def job_of(
    run: AnyRun,
    shapes: Shapes,
    targets: tuple[Linear, ...],
    kind: Kind,
    *,
    prompt: int | None,
    teacher: TeacherModel | None = None,
    processes: int = 1,
) -> Job:
    """The run's work on a model of these shapes, with adapters of `kind`. L1RA's own settings are the run's where it
    has them, else the defaults of the kind; and so are the ranks of LoRA. `processes`: see Job. Raises ValueError where
    those do not fit."""
    model, adapter, on_gpu = run.model, run.adapter, is_on_gpu(run)
    dtype = DTYPES[precision(model, "cuda" if on_gpu else "cpu")]
    is_served = isinstance(run, Run) and run.rollout.engine == "served"
    folds = shapes.written_out and model.quantisation == "none" and not on_gpu and not is_served
    work = work_of(run, shapes, prompt).share(processes)
    own = adapter if kind == adapter.kind else None
    bounded = own if isinstance(own, L1ra | Allocated) else L1ra()
    started = own if isinstance(own, L1ra | Adalora) else L1ra()
    ranks: dict[str, int] = {}
    if kind == "lora" and isinstance(adapter, Lora) and adapter.ranks is not None:
        ranks = adapter.ranks_on({module.path: (module.inputs, module.outputs) for module in targets})
        targets = tuple(module for module in targets if module.path in ranks)
    return Job(
        kind=kind,
        rank=adapter.rank,
        targets=targets,
        work=work,
        tokens_per_pass=run.optimiser.tokens_per_pass,
        activation_bytes=run.optimiser.activation_bytes if shapes.written_out else inf,
        itemsize=dtype.itemsize,
        state_itemsize=4 if shapes.written_out and not on_gpu else dtype.itemsize,
        quantisation=model.quantisation if kind != "full" else "none",
        folds=folds,
        record_bytes=run.record_bytes if isinstance(run, Run) and folds and kind != "dora" else 0.0,
        steps=run.rollout.optimiser_steps if isinstance(run, Run) else 1,
        on_gpu=on_gpu,
        fused=on_gpu and work.largest_pass(run.optimiser.tokens_per_pass, packed=shapes.packed).tokens > TILE,
        packed=shapes.packed,
        budget="ranks" if kind == "l1ra-reference" else bounded.budget,
        floor=1 if kind == "l1ra-reference" else bounded.floor if isinstance(bounded, L1ra) else 0,
        cap=bounded.cap,
        slack=started.slack if kind in ("l1ra", "adalora") else 1.0,
        ranks=ranks,
        beside=beside_of(run),
        teacher=teacher,
        copies_kept=copies_of(run) if kind != "full" else 0,
        is_served=is_served,
        processes=processes,
        is_divided=run.parallel.shard != "none" and kind != "full",
    )


def work_of(run: AnyRun, shapes: Shapes, prompt: int | None) -> Rollouts | Batches:
    """Raises ValueError where prompt and answer do not fit the model's context."""
    if not isinstance(run, Run):
        return Batches(run.batch, min(run.data.longest, shapes.context))
    rollout = run.rollout
    room = shapes.context - rollout.max_new_tokens
    if room < max(1, prompt or 1):
        raise ValueError(
            f"prompts of {prompt or 1} tokens and rollout.max_new_tokens = {rollout.max_new_tokens} exceed the model's "
            f"context of {shapes.context} tokens: lower max_new_tokens"
        )
    prompt = prompt or min(PROMPT, room)
    return Rollouts(rollout.problems, rollout.group_size, prompt, rollout.max_new_tokens, rollout.rows)
