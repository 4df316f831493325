"""Claim: a rollout gives more tokens a second than transformers' generate, whatever its cache.

With --share instead: which share of the machine's rate of large matrix products the decoding reaches."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from statistics import median

import torch

from adapted import adapted_policy, lora_of, peft_twin
from generating import CACHES, Rolled, generated, sampled
from measuring import in_turn, median_ratio, options, report, seconds
from paring.policy.head import linear_head
from paring.policy.model import Policy
from paring.types import Problem
from questions import questions

RATIO, SHARE = 3.0, 0.45
"""Bounds of the two claims."""
PRODUCT = (4096, 1536, 1536)
PRODUCT_RUNS = 10
WARM_UP_TOKENS = 2


def against_generate(arguments: Namespace, policy: Policy, problems: Sequence[Problem]) -> None:
    """Ours against generate with each cache, on PEFT's model and on the merged one, which decodes faster."""
    models = {
        "peft": peft_twin(policy, arguments.model).eval(),
        "merged": peft_twin(policy, arguments.model).merge_and_unload().eval(),
    }
    sides = {"ours": partial(sampled, policy, problems, arguments.group)} | {
        f"{name}_{cache}": partial(generated, model, policy, problems, arguments.group, cache=cache)
        for name, model in models.items()
        for cache in CACHES
    }
    for side in sides.values():
        side(new_tokens=WARM_UP_TOKENS)
    turns = in_turn(arguments.pairs, *[partial(side, new_tokens=arguments.new_tokens) for side in sides.values()])
    rates = {name: tuple(rolled.rate for rolled in turn) for name, turn in zip(sides, turns, strict=True)}
    middle = {name: median(rate) for name, rate in rates.items()}
    best = {name: max((f"{name}_{cache}" for cache in CACHES), key=middle.__getitem__) for name in models}
    report(
        arguments,
        "rollout, completion tokens a second: ours / the better of generate's caches on PEFT's model",
        median_ratio(rates["ours"], rates[best["peft"]]),
        ratio_merged=median_ratio(rates["ours"], rates[best["merged"]]),
        tokens_per_second=middle,
        seconds={name: median(rolled.seconds for rolled in turn) for name, turn in zip(sides, turns, strict=True)},
        tokens={name: median(rolled.tokens for rolled in turn) for name, turn in zip(sides, turns, strict=True)},
    )


def share_of_matmul(arguments: Namespace, policy: Policy, problems: Sequence[Problem]) -> None:
    """The operations of the weights, 2 for each parameter and token, against the rate of torch.mm.

    A rollout of one token has the folding and the prefill, but no decoding step: what is more is decoding."""
    rollout = partial(sampled, policy, problems, arguments.group)
    rollout(WARM_UP_TOKENS)
    turns = in_turn(arguments.pairs, product_rate, lambda: rollout(1), lambda: rollout(arguments.new_tokens))
    limits, starts, wholes = turns
    decoded = [Rolled(w.seconds - s.seconds, w.tokens - s.tokens) for s, w in zip(starts, wholes, strict=True)]
    operations = 2 * weights_of(policy)
    report(
        arguments,
        "decoding, operations of the weights a second: ours / large matrix products",
        median_ratio(tuple(operations * part.rate for part in decoded), limits),
        share_of_whole_rollout=median_ratio(tuple(operations * whole.rate for whole in wholes), limits),
        gflops_matmul=median(limits) / 1e9,
        gflops_decoding=median(operations * part.rate for part in decoded) / 1e9,
        decoded_tokens_per_second=median(part.rate for part in decoded),
        seconds_decoding=median(part.seconds for part in decoded),
        seconds_before=median(start.seconds for start in starts),
        tokens=median(whole.tokens for whole in wholes),
    )


def product_rate() -> float:
    """Operations a second of a large matrix product, the best of several."""
    rows, inner, columns = PRODUCT
    left, right = torch.randn(rows, inner), torch.randn(inner, columns)
    fastest = min(seconds(lambda: torch.mm(left, right)) for _ in range(PRODUCT_RUNS))
    return 2 * rows * inner * columns / fastest


def weights_of(policy: Policy) -> int:
    """Parameters of the linear modules and of the head, which each decoded token meets once."""
    linear = sum(adapter.in_features * adapter.out_features for adapter in policy.adapters.values())
    return linear + linear_head(policy.model).weight.numel()


def main() -> None:
    bound = SHARE if "--share" in sys.argv else RATIO
    parser = options(__doc__, "model", "data", at_least=bound, rows=32, group=8, new_tokens=128, rank=16, pairs=3)
    parser.add_argument("--share", action="store_true", help="against the rate of large matrix products")
    arguments = parser.parse_args()
    if arguments.rows % arguments.group:
        parser.error(f"--rows {arguments.rows} is no multiple of --group {arguments.group}")
    policy = adapted_policy(arguments.model, lora_of(arguments.rank))
    problems = questions(arguments.data, arguments.rows // arguments.group)
    (share_of_matmul if arguments.share else against_generate)(arguments, policy, problems)


if __name__ == "__main__":
    main()
