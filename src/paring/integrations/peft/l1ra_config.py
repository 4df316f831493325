"""The settings of L1RA as PEFT configs: PEFT's names for what every method has, ours for what is L1RA's own."""

from dataclasses import dataclass, field, fields
from typing import ClassVar, Literal

from peft import PeftConfig, PeftType

from paring.adapters.first_rows import FirstA
from paring.adapters.kinds import Gated, L1ra, L1raReference
from paring.adapters.lowrank import plain_scale

OURS = L1ra()
REFERENCE = L1raReference()


@dataclass
class GatedConfig(PeftConfig):
    """The settings of both variants. Names and meanings are those of PEFT's LoraConfig."""

    PEFT_TYPE: ClassVar[str]
    METHOD: ClassVar[type[Gated]]
    """The settings class of paring that holds the method's logic."""

    r: int = OURS.rank
    """The rank in whose budget training ends; L1raConfig starts at slack x r, the reference at r."""
    lora_alpha: float = 8.0
    """s = lora_alpha / r, whatever the ranks become. The default is PEFT's, which gives s = 1, as in the paper."""
    lora_dropout: float = 0.0
    target_modules: set[str] | list[str] | str | None = None
    """None is "all-linear": where ranks find their own places, no module should be left out beforehand."""
    exclude_modules: set[str] | list[str] | str | None = None
    layers_to_transform: list[int] | int | None = None
    layers_pattern: list[str] | str | None = None
    modules_to_save: list[str] | None = None
    bias: Literal["none"] = "none"
    fan_in_fan_out: bool = False
    """Without effect, for those who come from LoRA: whether a base keeps its weight transposed is read off it."""
    init_weights: bool = True
    """False: B is random as well, so that a new adapter changes the model. For tests."""
    init_a: FirstA = OURS.init_a
    """How the first values of A are drawn, and those of components that come in later."""
    rank_pattern: dict[str, int] = field(default_factory=dict)
    """Ranks that are not r, by pattern of the module's path. Rank events and saved adapters keep theirs here."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType[self.PEFT_TYPE]
        if isinstance(self.target_modules, list):
            self.target_modules = set(self.target_modules)
        if isinstance(self.exclude_modules, list):
            self.exclude_modules = set(self.exclude_modules)
        if self.bias != "none":
            raise TypeError(f"bias={self.bias!r}: L1RA trains no biases; leave bias at 'none'")
        if isinstance(self.target_modules, str) and self.layers_to_transform is not None:
            raise ValueError(
                f"`layers_to_transform` cannot be used when `target_modules` is a str ({self.target_modules!r}): "
                "give the last names of the modules as a list"
            )
        if self.layers_pattern and self.layers_to_transform is None:
            raise ValueError("When `layers_pattern` is specified, `layers_to_transform` must also be specified.")
        self.method  # noqa: B018  checks the rest, with the words of our own settings

    @property
    def method(self) -> Gated:
        """The same in our own settings, which hold all of L1RA's logic. Raises ValueError where they do not fit."""
        same = {one.name for one in fields(self)} & {one.name for one in fields(self.METHOD)}
        own = {name: getattr(self, name) for name in same}
        return self.METHOD(rank=self.r, alpha=self.lora_alpha, dropout=self.lora_dropout, **own)

    @property
    def first_rank(self) -> int:
        """The rank of every module at the start that no pattern names."""
        return self.method.first_rank

    @property
    def scale(self) -> float:
        """s = lora_alpha / r."""
        return plain_scale(self.lora_alpha, self.r)


@dataclass
class L1raConfig(GatedConfig):
    """L1RA: low-rank adapters that find their own ranks. The fields from `budget` on are those of the setting
    `adapter` of a paring recipe, with the same defaults; they act through L1raCallback."""

    budget: Literal["parameters", "ranks"] = OURS.budget
    slack: float = OURS.slack
    events: int = OURS.events
    shrink: float = OURS.shrink
    reach: float = OURS.reach
    floor: int = OURS.floor
    cap: int = OURS.cap
    settle: float = OURS.settle

    PEFT_TYPE = "L1RA"
    METHOD = L1ra


@dataclass
class L1raReferenceConfig(GatedConfig):
    """L1RA as its reference code has it, so that its behaviour can be studied (paring.adapters.kinds.L1raReference)."""

    r: int = REFERENCE.rank
    lora_alpha: float = REFERENCE.alpha
    init_a: FirstA = REFERENCE.init_a
    events: int = REFERENCE.events
    l1: float = REFERENCE.l1
    gate_lr: float = REFERENCE.gate_lr
    prune_below: float = REFERENCE.prune_below

    PEFT_TYPE = "L1RA_REFERENCE"
    METHOD = L1raReference
