"""The engine of a run: the policy in this process, or the servers that its recipe names."""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path

from paring.adapters.allocators import Allocated, Allocator
from paring.adapters.fixed_ranks import stated_ranks
from paring.adapters.kinds import Adapter, Dora, L1ra, Lora
from paring.adapters.peft_reading import read_peft_folder
from paring.policy.chat import prompts_tokens
from paring.policy.model import Policy
from paring.rollout.local import LocalEngine
from paring.rollout.served.connecting import connect
from paring.rollout.served.published import Shelf
from paring.rollout.served.served_engine import ServedEngine
from paring.training.config import Run
from paring.training.world import World
from paring.types import Problem

RunEngine = LocalEngine | ServedEngine


def servers_of(
    run: Run, policy: Policy, problems: Sequence[Problem], folder: Path, note: Callable[[str], object], world: World
) -> ServedEngine:
    """The servers that sample and evaluate, checked against the run. `problems`: those that the run can put; `folder`:
    the run's. All processes of the run call it. Raises ValueError."""
    rollout = run.rollout

    def longest() -> int:
        if isinstance(run.adapter, Dora):
            raise ValueError('adapter.kind = "dora": vLLM serves no DoRA; set rollout.engine = "local", or train LoRA')
        return max(map(len, prompts_tokens(policy.tokenizer, [problem.messages for problem in problems])))

    return connect(
        policy,
        shelf_of(run, folder),
        rollout.servers,
        longest=world.together(longest) + rollout.max_new_tokens,
        rank=largest_rank(run.adapter, policy),
        tolerance=None if rollout.canary == "auto" else rollout.canary,
        patience=rollout.patience,
        keep=rollout.versions,
        note=note,
        meeting=world,
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
    return _with_growth(adapter, start)


def planned_rank(adapter: Adapter) -> int:
    """The same from the recipe alone, before there are adapters. Raises ValueError where its files cannot be read."""
    if isinstance(adapter, Allocator | Dora):
        return _with_growth(adapter, adapter.first_rank)
    if adapter.start is not None:
        return _with_growth(adapter, max(read_peft_folder(Path(adapter.start).expanduser()).ranks.values()))
    stated = stated_ranks(adapter.ranks) if isinstance(adapter, Lora) and adapter.ranks is not None else {}
    return _with_growth(adapter, max([adapter.rank, *stated.values()]))


def _with_growth(adapter: Adapter, start: int) -> int:
    return max(start, adapter.greatest) if isinstance(adapter, L1ra | Allocated) else start
