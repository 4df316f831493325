"""The ranks that a measured adapter proposes to LoRA trained anew, from numbers alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import sqrt

from paring.adapters.water import DECAY


@dataclass(frozen=True)
class Spectrum:
    """The adapter of one module: KL in nats a token of removing each component, largest first; that of an update of the
    same norm in a random direction; the parameters of a rank, and the highest rank that the module can have."""

    worth_R: tuple[float, ...]
    null: float
    cost: int
    most: int

    def bids(self) -> Iterator[float]:
        """The value of each rank for its price, from the first to `most`: v = w sqrt(sum w / null) / cost.

        A module with wide outputs that many tokens pass is worth much in any direction, so that KL alone sends ranks
        there. KL / null measures the direction that training has chosen. Its root, since the ratio of one run is noisy:
        where all modules need the same, the whole ratio moves more ranks than it should. A component that the module
        does not have is worth DECAY of the one before it."""
        if not self.worth_R or not self.null:
            return
        aligned, worth = sqrt(sum(self.worth_R) / self.null), 0.0
        for place in range(self.most):
            worth = self.worth_R[place] if place < len(self.worth_R) else DECAY * worth
            yield worth * aligned / self.cost


def proposed_ranks(spectra: Mapping[str, Spectrum], budget: int) -> dict[str, int]:
    """Ranks of at most `budget` parameters, by module path: one level over all modules, the highest bids first; in ties
    in the model's order. A bid that the rest of the budget cannot pay is passed over. Modules without signal get 0."""
    bids = [(-bid, number, path) for number, path in enumerate(spectra) for bid in spectra[path].bids() if bid > 0]
    ranks = dict.fromkeys(spectra, 0)
    for _, _, path in sorted(bids):
        if spectra[path].cost <= budget:
            ranks[path] += 1
            budget -= spectra[path].cost
    return ranks
