"""What is to be done with a model: the settings that decide memory, as plain values."""

from dataclasses import dataclass, replace
from math import inf
from typing import Literal

from paring.planning.shapes import Linear

Kind = Literal["full", "lora", "l1ra", "l1ra-reference"]
KINDS: tuple[Kind, ...] = ("full", "lora", "l1ra", "l1ra-reference")


@dataclass(frozen=True)
class Pass:
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

    def largest_pass(self, tokens_per_pass: int) -> Pass:
        """As many completions as fit; the last one's last token takes no place (policy/packing.py)."""
        own = self.new_tokens - 1
        whole = self.prompt + self.group * own
        groups, room = divmod(tokens_per_pass, whole)
        rest = min(self.group, max(0, room - self.prompt) // max(1, own)) if room > self.prompt else 0
        rows = min(self.problems * self.group, max(1, groups * self.group + rest))
        return Pass(-(-rows // self.group), self.prompt, rows, own, rows * self.new_tokens)

    @property
    def batch(self) -> int:
        return self.problems

    def of_batch(self, problems: int) -> "Rollouts":
        return replace(self, problems=problems)


@dataclass(frozen=True)
class Examples:
    """Supervised learning: `batch` examples a step. All as long as they may be, and every token learned."""

    batch: int
    longest: int

    def largest_pass(self, tokens_per_pass: int) -> Pass:
        """A sequence's last token is a target only."""
        tokens = max(1, self.longest - 1)
        count = min(self.batch, max(1, tokens_per_pass // tokens))
        return Pass(count, tokens, 0, 0, count * tokens)

    def of_batch(self, batch: int) -> "Examples":
        return replace(self, batch=batch)


@dataclass(frozen=True)
class Job:
    """`targets` carry the adapters. `budget`, `floor` and `cap` are of L1RA alone, as in adapters/kinds.py.

    `copies`: how many times a rollout holds the weights anew, folded and packed for the CPU's matrix library; 0 where
    it runs the modules as they stand. `record_bytes`: the most that it keeps of its forward pass; 0 where none is kept.
    `steps`: of the optimiser on each rollout. `fused`: attention as one kernel, without padded copies, as on a GPU."""

    kind: Kind
    rank: int
    targets: tuple[Linear, ...]
    work: Rollouts | Examples
    tokens_per_pass: int
    activation_bytes: float = inf
    itemsize: int = 4
    quantisation: Literal["none", "4bit", "8bit"] = "none"
    copies: int = 0
    record_bytes: float = 0.0
    steps: int = 1
    fused: bool = False
    budget: Literal["parameters", "ranks"] = "parameters"
    floor: int = 1
    cap: int = 0

    @property
    def greatest_rank(self) -> float:
        """What L1RA may give to one module: the reference knows no cap, and 0 is four times the start."""
        return inf if self.kind == "l1ra-reference" else max(self.rank, self.cap or 4 * self.rank)

    @property
    def largest_pass(self) -> Pass:
        return self.work.largest_pass(self.tokens_per_pass)
