"""The answers that training sampled: where arms sampled more or fewer, a comparison by steps is not one by budget."""

from paring.report.outcomes import Block, Standing

ALIKE = 0.02
"""Budgets that differ by a smaller share are the same: runs of one arm draw a few problems more or less anew."""


def sampled_by(standing: Standing) -> float | None:
    """Answers a run, the mean over the runs of an arm; None where one sampled none, or does not tell."""
    counts = [run.sampled for run in standing.runs.values()]
    return None if None in counts else sum(counts) / len(counts)


def budget_words(block: Block) -> list[str]:
    """A sentence where the arms of a block did not sample as many answers, the largest budget first."""
    counts = {standing.label: count for standing in block.standings if (count := sampled_by(standing)) is not None}
    if not counts or max(counts.values()) <= min(counts.values()) * (1 + ALIKE):
        return []
    arms: dict[str, list[str]] = {}
    for label, count in sorted(counts.items(), key=lambda item: -item[1]):
        arms.setdefault(f"{count:,.0f}", []).append(label)
    told = "; ".join(f"{', '.join(labels)} {count}" for count, labels in arms.items())
    return [f"Not the same budget: answers sampled in training, a run: {told}."]
