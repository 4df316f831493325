"""The ranks that a measured adapter proposes to LoRA trained anew, from numbers alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from paring.adapters.water import DECAY, valued


@dataclass(frozen=True)
class Spectrum:
    """The adapter of one module: KL in nats a token of removing each component, largest first; that of an update of the
    same norm in a random direction; the parameters of a rank, and the highest rank that the module can have."""

    worth_R: tuple[float, ...]
    null: float
    cost: int
    most: int

    def bids(self) -> Iterator[float]:
        """The value of each rank for its price, from the first to `most`. A component that the module does not have is
        worth DECAY of the one before it."""
        value_R, value = valued(self.worth_R, self.null), 0.0
        for place in range(self.most):
            value = value_R[place] if place < len(value_R) else DECAY * value
            yield value / self.cost


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
