"""Claim: the decoder that is written out for the Llama family is faster than the path of all other families, which
runs transformers' own modules, in a rollout and in the update. The ratio is the lesser of the two.

Both sides are ours, in turn in one process. The rollout of the written-out decoder is its update's forward pass."""

from statistics import median
from unittest.mock import patch

from adapted import adapted_policy, lora_of
from measuring import in_turn, median_ratio, options, report
from paring.policy.decoder import WRITTEN_OUT
from paring.policy.model import Policy
from phases import Step
from questions import questions

SIDES = ("written out", "generic")


def policy_of(side: str, model: str, rank: int) -> Policy:
    with patch("paring.policy.decoder.WRITTEN_OUT", frozenset() if side == "generic" else WRITTEN_OUT):
        return adapted_policy(model, lora_of(rank))


def main() -> None:
    sizes = {"rows": 32, "group": 8, "new_tokens": 64, "rank": 16, "pairs": 3}
    arguments = options(__doc__, "model", "data", at_least=1.3, **sizes).parse_args()
    problems = questions(arguments.data, arguments.rows // arguments.group)
    steps = {
        side: Step(policy_of(side, arguments.model, arguments.rank), problems, arguments.group, arguments.new_tokens)
        for side in SIDES
    }
    for step in steps.values():
        step.phases()
    turns = dict(zip(steps, in_turn(arguments.pairs, *[step.phases for step in steps.values()]), strict=True))
    a_token = {
        side: {name: tuple(phases[name] / steps[side].tokens for phases in turn) for name in turn[0]}
        for side, turn in turns.items()
    }
    ratios = {
        name: median_ratio(a_token["generic"][name], a_token["written out"][name]) for name in turns["generic"][0]
    }
    report(
        arguments,
        "seconds a token of a rollout, and of its update: the generic path / the written-out one",
        min(ratios["rollout"], ratios["training"]),
        ratios=ratios,
        seconds={
            side: {name: median(phases[name] for phases in turn) for name in turn[0]} for side, turn in turns.items()
        },
        tokens={side: step.tokens for side, step in steps.items()},
    )


if __name__ == "__main__":
    main()
