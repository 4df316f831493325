"""Claim: one RL step takes a fraction of the main memory that TRL's GRPOTrainer takes for the same work.

The sides run one after the other, since together they might not fit."""

from measuring import options, report
from rl_step import SIZES
from sides import OURS, TRL, Side, Work


def peak_gb(script: str, work: Work) -> float:
    """Peak resident memory of a side's process after its steps, in 10^9 bytes."""
    with Side(script, work) as side:
        return [side.step()["peak_gb"] for _ in range(work.steps)][-1]


def main() -> None:
    arguments = options(__doc__, "model", "data", at_least=3.0, **SIZES, steps=2).parse_args()
    sizes = {name: getattr(arguments, name) for name in SIZES}
    work = Work(arguments.model, arguments.data, **sizes, steps=arguments.steps)
    peer, ours = peak_gb(TRL, work), peak_gb(OURS, work)
    claim = "peak resident memory of the RL step: TRL's GRPOTrainer / ours"
    report(arguments, claim, peer / ours, peak_gb_peer=peer, peak_gb_ours=ours)


if __name__ == "__main__":
    main()
