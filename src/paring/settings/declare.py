"""The decorator of settings classes: frozen, checked when made, no unknown keys."""

from typing import Annotated, dataclass_transform

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

MOST, LARGEST = 10**9, 1e30
"""Beyond these no count and no size means anything, and arithmetic with it may overflow."""
Count = Annotated[int, Field(ge=1, le=MOST)]
CountOrZero = Annotated[int, Field(ge=0, le=MOST)]
Positive = Annotated[float, Field(gt=0, le=LARGEST)]
NotNegative = Annotated[float, Field(ge=0, le=LARGEST)]
Share = Annotated[float, Field(ge=0, lt=1)]
TopShare = Annotated[float, Field(gt=0, le=1)]


@dataclass_transform(frozen_default=True, kw_only_default=True)
def settings(cls: type) -> type:
    """Decorate a class as settings. A bad value raises pydantic's ValidationError, a ValueError."""
    strict = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    return dataclass(frozen=True, kw_only=True, config=strict)(cls)
