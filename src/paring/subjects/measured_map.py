"""The effect of each adapter of a run on the function, measured now: the map of adapters whose ranks are fixed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from paring.adapters.importance import Seen
from paring.adapters.proposal import Spectrum, proposed_ranks
from paring.policy.model import Policy
from paring.policy.packing import PackedBatch, pack_examples, packed
from paring.policy.sensitivity import seen_by
from paring.rollout.local import LocalEngine
from paring.runtime.faults import Faults
from paring.runtime.folder import RunFolder
from paring.subjects.opening import open_subject
from paring.training.config import Run, SftRun, load_run
from paring.training.sft_setup import labelled
from paring.types import Key

PROBLEMS, ANSWERS = 8, 4
"""For a run by reinforcement: training problems, and the answers that the policy gives to each."""
EXAMPLES = 32
"""Held-out examples of a supervised run."""
MOST = 8
"""A module is proposed at most so many times the rank that it has."""


@dataclass(frozen=True)
class MapEntry:
    """A module's adapter. `worth`: KL in nats a token of removing its update, to second order; `null`: of an update of
    the same norm in a random direction; `cost`: parameters of a rank; `proposed`: the rank for LoRA trained anew, at
    no more parameters than the run has."""

    rank: int
    proposed: int
    worth: float
    null: float
    cost: int


def measured(folder: Path) -> tuple[Mapping[str, MapEntry], int]:
    """By module path, and the number of log-probs that it is measured on, which follow from the run's seed. Raises
    ValueError where the run has no adapter yet, or its model or data are gone."""
    run, policy = load_run(RunFolder(folder).existing_recipe()), open_subject(str(folder)).policy
    sums: dict[str, Seen] = {}
    for number, batch in enumerate(_batches(run, policy)):
        for path, one in seen_by(policy, batch, seed=Key(run.seed, number).number()).items():
            sums[path] = sums[path] + one if path in sums else one
    places = int(next(iter(sums.values())).places)
    spectra = {
        path: Spectrum(
            sums[path].worth_R(),
            sums[path].null(one),
            one.in_features + one.out_features,
            min(MOST * one.rank, one.in_features, one.out_features),
        )
        for path, one in policy.adapters.items()
    }
    ranks = {path: one.rank for path, one in policy.adapters.items()}
    proposed = proposed_ranks(spectra, sum(ranks[path] * one.cost for path, one in spectra.items()))
    return {
        path: MapEntry(ranks[path], proposed[path], sum(one.worth_R), one.null, one.cost)
        for path, one in spectra.items()
    }, places


def _batches(run: Run | SftRun, policy: Policy) -> Iterator[PackedBatch]:
    """A problem with its answers, or an example, at a time."""
    if isinstance(run, Run):
        problems = run.task.problems("train")[:PROBLEMS]
        for group in LocalEngine(policy).sample(problems, ANSWERS, run.rollout.sampling, Key(run.seed, 0)):
            yield packed([group], policy.device)
        return
    _, tested, _ = run.data.split_rows()
    broken, longest = Faults("data.broken", run.data.broken), min(run.data.longest, policy.context)
    for example in tested[:EXAMPLES]:
        for piece in labelled(example, policy.tokenizer, run.data.loss_on, policy.ends, broken):
            if len(piece.tokens) <= longest:
                yield pack_examples([piece], policy.device)
