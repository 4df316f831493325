"""Claim: one RL step is faster than TRL's GRPOTrainer makes it on the same work.

Same questions, template, adapters, objective and precision. The first step of each side is a warm-up: B is 0 in it."""

from statistics import mean, median

from measuring import in_turn, median_ratio, options, report
from sides import OURS, TRL, Side, Work

SIZES = {"problems": 4, "group": 8, "new_tokens": 128, "rank": 16, "kl": 0.005, "without_signal": 0.0, "peer_passes": 1}


def main() -> None:
    arguments = options(__doc__, "model", "data", at_least=2.5, **SIZES, pairs=3).parse_args()
    sizes = {name: getattr(arguments, name) for name in SIZES}
    work = Work(arguments.model, arguments.data, **sizes, steps=arguments.pairs + 1)
    with Side(TRL, work) as peer, Side(OURS, work) as ours:
        peer.step()
        ours.step()
        of_peer, of_ours = in_turn(arguments.pairs, peer.step, ours.step)
    seconds = [tuple(step["seconds"] for step in steps) for steps in (of_peer, of_ours)]
    a_token = [tuple(step["seconds"] / step["tokens"] for step in steps) for steps in (of_peer, of_ours)]
    rows = arguments.problems * arguments.group
    report(
        arguments,
        "one RL step, seconds: TRL's GRPOTrainer / ours",
        median_ratio(*seconds),
        ratio_per_token=median_ratio(*a_token),
        seconds_peer=median(seconds[0]),
        seconds_ours=median(seconds[1]),
        seconds_ours_by_phase={name: median(step["phases"][name] for step in of_ours) for name in of_ours[0]["phases"]},
        mean_length_peer=mean(step["tokens"] for step in of_peer) / rows,
        mean_length_ours=mean(step["tokens"] for step in of_ours) / rows,
        peak_gb_peer=of_peer[-1]["peak_gb"],
        peak_gb_ours=of_ours[-1]["peak_gb"],
    )


if __name__ == "__main__":
    main()
