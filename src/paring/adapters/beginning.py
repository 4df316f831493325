"""The folder that a run's adapters may begin with, and what its KL reference then is: settings of several kinds."""

from typing import Literal

from paring.settings.declare import settings


@settings
class Beginning:
    """New adapters, or those of a folder; and the policy that a KL term and the metric `kl` are measured to."""

    start: str | None = None
    """A PEFT LoRA folder to start from. Its ranks, dropout and targets then hold."""
    reference: Literal["base", "start"] = "base"
    """The reference of the KL divergence: the base without adapters, or with those of `start`."""

    def __post_init__(self) -> None:
        if self.reference == "start" and self.start is None:
            raise ValueError('reference = "start": there is no `start`; name the folder to start from, or leave "base"')
