"""The engine of a run: the policy in this process, or the servers that its recipe names."""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path

from paring.adapters.kinds import Adapter, Allocated, L1ra
from paring.policy.chat import prompt_tokens
from paring.policy.model import Policy
from paring.rollout.local import LocalEngine
from paring.rollout.served.connecting import connect
from paring.rollout.served.published import Shelf
from paring.rollout.served.served_engine import ServedEngine
from paring.training.config import Run
from paring.types import Problem


def engine_of(
    run: Run, policy: Policy, problems: Sequence[Problem], folder: Path, note: Callable[[str], object]
) -> LocalEngine | ServedEngine:
    """The engine that samples and evaluates. `problems`: those that the run can put; `folder`: the run's.

    Servers are checked against the run first. Raises ValueError."""
    rollout = run.rollout
    if rollout.engine == "local":
        return LocalEngine(policy, rows=rollout.rows)
    longest = max(len(prompt_tokens(policy.tokenizer, problem.messages)) for problem in problems)
    return connect(
        policy,
        shelf_of(run, folder),
        rollout.servers,
        longest=longest + rollout.max_new_tokens,
        rank=largest_rank(run.adapter, policy),
        tolerance=None if rollout.canary == "auto" else rollout.canary,
        patience=rollout.patience,
        note=note,
    )


def shelf_of(run: Run, folder: Path) -> Shelf:
    """Where the run publishes. A folder that several runs may share has one of its own for each."""
    place, seen = Path(run.rollout.published).expanduser(), run.rollout.servers_see
    if not place.is_absolute():
        return Shelf(folder / place, run.model.path, seen)
    own = blake2b(str(folder.resolve()).encode(), digest_size=6).hexdigest()
    return Shelf(place / own, run.model.path, f"{seen}/{own}" if seen else None)


def largest_rank(adapter: Adapter, policy: Policy) -> int:
    """The largest rank that a module may come to have, as far as the recipe bounds it."""
    start = max(one.rank for one in policy.adapters.values())
    return max(start, adapter.greatest) if isinstance(adapter, L1ra | Allocated) else start
