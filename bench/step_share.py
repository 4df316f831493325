"""Claim: a step takes little more than its products would alone, at the machine's rate for large ones.

Counted are the products of weights and adapters, 2 operations for each weight and token: once in the rollout and in
the reference; once in the update, whose forward pass is the rollout, and twice for the head; adapters three times.
Attention, norms, the draw and Python count as nothing."""

from argparse import Namespace
from statistics import median

from adapted import adapted_policy, lora_of
from measuring import in_turn, median_ratio, options, report
from paring.policy.head import linear_head
from phases import Step
from questions import questions
from rollout import product_rate

SIZES = {"problems": 4, "group": 8, "new_tokens": 128, "rank": 16, "pairs": 3}


def operations(step: Step) -> dict[str, float]:
    """By phase, of the last step."""
    adapters = step.policy.adapters.values()
    linear = sum(adapter.in_features * adapter.out_features for adapter in adapters)
    trained = sum(adapter.rank * (adapter.in_features + adapter.out_features) for adapter in adapters)
    head = linear_head(step.policy.model).weight.numel()
    tokens = step.tokens + sum(len(group.prompt) for group in step.groups)
    once = 2.0 * (linear * tokens + head * step.tokens)
    return {"rollout": once, "reference": once, "training": once + 2.0 * (head * step.tokens + 3 * trained * tokens)}


def main() -> None:
    arguments = options(__doc__, "model", "data", at_least=0.55, **SIZES).parse_args()
    step = made(arguments)
    step.phases()
    rates, turns = in_turn(arguments.pairs, product_rate, step.phases)
    needed = operations(step)
    alone = [{name: count / rate for name, count in needed.items()} for rate in rates]
    shares = {
        name: median_ratio(tuple(one[name] for one in alone), tuple(phases[name] for phases in turns))
        for name in needed
    }
    report(
        arguments,
        "a step without its optimiser: seconds of its products at the machine's rate / seconds",
        median_ratio(tuple(sum(one.values()) for one in alone), tuple(sum(phases.values()) for phases in turns)),
        shares=shares,
        seconds={name: median(phases[name] for phases in turns) for name in needed},
        gflops_matmul=median(rates) / 1e9,
        operations=needed,
        tokens=step.tokens,
    )


def made(arguments: Namespace) -> Step:
    policy = adapted_policy(arguments.model, lora_of(arguments.rank))
    problems = questions(arguments.data, arguments.problems)
    return Step(policy, problems, arguments.group, arguments.new_tokens)


if __name__ == "__main__":
    main()
