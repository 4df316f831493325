"""Claim: a training step on L1RA adapters takes as long as one on LoRA of the same ranks.

Three sides take turns on the same examples: LoRA and L1RA of ours on a packed batch, and PEFT's AdaLoRA on a padded
one, as its users have it. A rank event is timed apart: there are few of them in a run."""

import time
from statistics import median

import torch

from l1ra_arms import ARMS, AdaLora, Shape, run_of
from measuring import in_turn, median_ratio, options, report, seconds
from paring.adapters.attach import parameters_by_name
from paring.config import SftRun
from paring.policy.packing import Labelled, pack_examples
from paring.training.optim import Optimiser
from paring.training.ranks import gate_rule, rank_event
from paring.training.setup import load_policy
from paring.training.sft import fit

STEPS = 100
"""Of the run that the steps are taken from: it decides learning rates and events, and is not run."""


class Ours:
    """A policy with its optimiser, that makes steps on command."""

    def __init__(self, run: SftRun) -> None:
        self.run, self.policy = run, load_policy(run)
        named = parameters_by_name(self.policy.adapters)
        self.optimiser = Optimiser(named, run.optimiser, gate_rule(run.adapter, run.steps))

    def step(self, examples: list[Labelled]) -> None:
        fit(self.policy, self.optimiser, examples, lr=self.run.optimiser.lr, tokens_per_pass=4096, seed=0)

    def event(self, examples: list[Labelled]) -> None:
        rank_event(self.run, self.policy, self.optimiser, pack_examples(examples[:1], self.policy.device), STEPS // 2)


def main() -> None:
    arguments = options(__doc__, "model", at_least=0.97, batch=4, length=128, rank=16, pairs=7).parse_args()
    shape = Shape(arguments.model, "none", STEPS, arguments.batch, arguments.length, 1, arguments.rank, 10)
    runs = {arm: run_of(shape, ARMS[arm], lr=1e-4, seed=0) for arm in ("lora", "l1ra")}
    lora, l1ra, peer = Ours(runs["lora"]), Ours(runs["l1ra"]), AdaLora(runs["lora"])
    examples = random_examples(arguments.batch, arguments.length, lora.policy.model.config.vocab_size)
    steps = iter(range(1, STEPS))
    sides = (
        lambda: seconds(lambda: lora.step(examples)),
        lambda: seconds(lambda: l1ra.step(examples)),
        lambda: seconds(lambda: peer.step(examples, next(steps))),
    )
    of_lora, of_l1ra, of_peer = (times[1:] for times in in_turn(arguments.pairs + 1, *sides))
    start = time.perf_counter()
    l1ra.event(examples)
    of_event = time.perf_counter() - start
    report(
        arguments,
        "a training step, seconds: LoRA / L1RA of the same ranks",
        median_ratio(of_lora, of_l1ra),
        ratio_l1ra_to_lora=median_ratio(of_l1ra, of_lora),
        ratio_adalora_to_l1ra=median_ratio(of_peer, of_l1ra),
        seconds_lora=median(of_lora),
        seconds_l1ra=median(of_l1ra),
        seconds_adalora=median(of_peer),
        seconds_event=of_event,
        all_seconds_lora=list(of_lora),
        all_seconds_l1ra=list(of_l1ra),
    )


def random_examples(batch: int, length: int, vocabulary: int) -> list[Labelled]:
    """Half of each is learned."""
    tokens_BN = torch.randint(vocabulary, (batch, length), generator=torch.Generator().manual_seed(0))
    learned = tuple(place >= length // 2 for place in range(length))
    return [Labelled(tuple(tokens), learned) for tokens in tokens_BN.tolist()]


if __name__ == "__main__":
    main()
