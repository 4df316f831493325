"""Claim: a step on a bf16 base takes less time than on an fp32 one, where the CPU multiplies in bf16.

Both sides are ours, in turn in one process: rollout, reference and training pass as in a step of `paring train`."""

from functools import partial
from statistics import median

from adapted import adapted_policy, lora_of
from measuring import in_turn, median_ratio, options, report
from phases import Step
from questions import questions


def main() -> None:
    arguments = options(
        __doc__, "model", "data", at_least=1.35, rows=32, group=8, new_tokens=128, rank=16, pairs=3
    ).parse_args()
    problems = questions(arguments.data, arguments.rows // arguments.group)
    steps = {
        dtype: Step(
            adapted_policy(arguments.model, lora_of(arguments.rank), dtype),
            problems,
            arguments.group,
            arguments.new_tokens,
        )
        for dtype in ("float32", "bfloat16")
    }
    for step in steps.values():
        step.phases()
    turns = dict(zip(steps, in_turn(arguments.pairs, *[partial(step.phases) for step in steps.values()]), strict=True))
    whole = {dtype: tuple(sum(phases.values()) for phases in turn) for dtype, turn in turns.items()}
    tokens = {dtype: step.tokens for dtype, step in steps.items()}
    a_token = {dtype: tuple(spent / tokens[dtype] for spent in spents) for dtype, spents in whole.items()}
    report(
        arguments,
        "one step without its optimiser, seconds a token: fp32 base / bf16 base",
        median_ratio(a_token["float32"], a_token["bfloat16"]),
        ratio_of_steps=median_ratio(whole["float32"], whole["bfloat16"]),
        seconds={
            dtype: {name: median(phases[name] for phases in turn) for name in turn[0]} for dtype, turn in turns.items()
        },
        tokens=tokens,
    )


if __name__ == "__main__":
    main()
