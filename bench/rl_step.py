"""Claim: one RL step is faster than TRL's GRPOTrainer makes it on the same work.

Same questions, template, adapters, objective and precision. The first steps of each side are a warm-up: B is 0 in the
first, and what a process keeps from step to step is fetched in the first two. The peer takes most of a laptop's memory,
so the sides do not stand side by side: ours runs before it and after it, and a machine that slows down or speeds up
would show."""

from statistics import mean, median
from typing import Any

from measuring import options, report
from sides import OURS, TRL, Side, Work

SIZES = {"problems": 4, "group": 8, "new_tokens": 128, "rank": 16, "kl": 0.005, "without_signal": 0.0, "peer_passes": 1}
DTYPES = ("float32", "bfloat16")


def main() -> None:
    parser = options(__doc__, "model", "data", at_least=3.0, **SIZES, steps=2, warm_up=2)
    parser.add_argument("--dtype", choices=DTYPES, default=DTYPES[0], help="of the base")
    arguments = parser.parse_args()
    sizes = {name: getattr(arguments, name) for name in (*SIZES, "dtype")}
    work = Work(arguments.model, arguments.data, **sizes, steps=arguments.warm_up + arguments.steps)
    before, of_peer, after = (steps_of(side, work)[arguments.warm_up :] for side in (OURS, TRL, OURS))
    of_ours = before + after
    seconds_peer, seconds_ours = (median(step["seconds"] for step in steps) for steps in (of_peer, of_ours))
    a_token_peer, a_token_ours = (
        median(step["seconds"] / step["tokens"] for step in steps) for steps in (of_peer, of_ours)
    )
    rows = arguments.problems * arguments.group
    report(
        arguments,
        "one RL step, seconds: TRL's GRPOTrainer / ours",
        seconds_peer / seconds_ours,
        ratio_per_token=a_token_peer / a_token_ours,
        seconds_peer=seconds_peer,
        seconds_ours=seconds_ours,
        all_seconds_peer=[step["seconds"] for step in of_peer],
        all_seconds_ours_before=[step["seconds"] for step in before],
        all_seconds_ours_after=[step["seconds"] for step in after],
        seconds_ours_by_phase={
            name: median(step["phases"][name] for step in of_ours) for name in of_ours[-1]["phases"]
        },
        mean_length_peer=mean(step["tokens"] for step in of_peer) / rows,
        mean_length_ours=mean(step["tokens"] for step in of_ours) / rows,
        peak_gb_peer=of_peer[-1]["peak_gb"],
        peak_gb_ours=max(step["peak_gb"] for step in of_ours),
    )


def steps_of(script: str, work: Work) -> list[dict[str, Any]]:
    """What a side says of its steps."""
    with Side(script, work) as side:
        return [side.step() for _ in range(work.steps)]


if __name__ == "__main__":
    main()
