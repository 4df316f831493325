"""What run and study folders show, worked out once and before it is laid out."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from paring.report.answer import answer
from paring.report.contests import Contest, contests_of
from paring.report.contrasts import Contrast, contrasts_of
from paring.report.effects import Effect, effects_of
from paring.report.gathering import Gathered, gather
from paring.report.passages import Passage


@dataclass(frozen=True)
class Findings:
    """Everything is made from what was gathered, at its first use."""

    gathered: Gathered

    @cached_property
    def contests(self) -> list[Contest]:
        return contests_of(self.gathered)

    @cached_property
    def contrasts(self) -> list[Contrast]:
        return contrasts_of(self.contests)

    @cached_property
    def effects(self) -> list[Effect]:
        return effects_of(self.gathered, self.contests)

    @cached_property
    def answer(self) -> list[Passage]:
        return answer(self.gathered, self.contests, self.contrasts, self.effects)


def find(folders: Sequence[Path]) -> Findings:
    """The findings in these run and study folders. Raises ValueError where there is nothing to report on."""
    return Findings(gather(folders))
