"""Claim: `paring --help` answers at once, within half a second."""

import os
import subprocess
import sys
from pathlib import Path
from shutil import which
from statistics import median

from measuring import options, report, seconds

BOUND_SECONDS = 0.5


def help_seconds(program: str, runs: int) -> float | None:
    """Median over `runs`, after one that fills the caches of files and bytecode; None if it is not installed here."""
    path = which(program, path=str(Path(sys.executable).parent))
    if path is None:
        return None
    # As for a user: with bytecode kept between calls, whatever is set here.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def call() -> None:
        subprocess.run([path, "--help"], env=environment, stdout=subprocess.DEVNULL, check=True)

    call()
    return median(seconds(call) for _ in range(runs))


def main() -> None:
    arguments = options(__doc__, at_least=1.0, runs=9, peer_runs=3).parse_args()
    ours = help_seconds("paring", arguments.runs)
    if ours is None:
        raise SystemExit("paring is not installed in this environment: make test sets one up")
    peer = help_seconds("trl", arguments.peer_runs)
    claim = "`paring --help`: bound / seconds"
    ratio = BOUND_SECONDS / ours
    report(arguments, claim, ratio, bound_seconds=BOUND_SECONDS, seconds_ours=ours, seconds_trl_help=peer)


if __name__ == "__main__":
    main()
