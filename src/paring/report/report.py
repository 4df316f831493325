"""What run and study folders say, worked out once and before it is laid out."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from paring.report.answer import Passage, answer
from paring.report.comparing import Comparison, compare
from paring.report.effects import Effect, effects_of
from paring.report.gathering import Gathered, gather
from paring.report.outcomes import Block, blocks_of


@dataclass(frozen=True)
class Report:
    """Everything is made from what was gathered, when it is first asked for."""

    gathered: Gathered

    @cached_property
    def blocks(self) -> list[Block]:
        return blocks_of(self.gathered)

    @cached_property
    def comparisons(self) -> list[Comparison]:
        return compare(self.blocks)

    @cached_property
    def effects(self) -> list[Effect]:
        return effects_of(self.gathered, self.blocks)

    @cached_property
    def answer(self) -> list[Passage]:
        return answer(self.gathered, self.blocks, self.comparisons, self.effects)


def read_report(folders: Sequence[Path]) -> Report:
    """The report on these run and study folders. Raises ValueError where there is nothing to report on."""
    return Report(gather(folders))
