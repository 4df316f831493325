"""`paring plan`."""

import json
from typing import Annotated

import typer

from paring.commands.shared import Json, Overrides, one_of, parsed


def plan(
    recipe: Annotated[str, typer.Argument(help="A recipe's name or a TOML file; see `paring recipes`.")],
    overrides: Overrides = None,
    memory: Annotated[float | None, typer.Option(min=0.1, help="GB to plan for; by default this machine's.")] = None,
    kind: Annotated[str | None, typer.Option(help="full, lora, l1ra or l1ra-reference; by default the run's.")] = None,
    find: Annotated[str | None, typer.Option(help="batch or rank: also the largest that fits.")] = None,
    prompt: Annotated[int | None, typer.Option(min=1, help="Tokens of a prompt; by default 128.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="Processes that train together, as torchrun starts them.")] = 1,
    as_json: Json = False,
) -> None:
    """Estimate a run's peak memory by part, say whether it fits, and what to change."""
    from paring.planning.job import KINDS, Kind
    from paring.planning.plan import SOUGHT, Sought
    from paring.planning.plan import plan as plan_run
    from paring.planning.plan_words import lines
    from paring.training.config import load_run

    chosen_kind: Kind | None = one_of("--kind", kind, KINDS)
    sought: Sought | None = one_of("--find", find, SOUGHT)
    run = load_run(recipe, **parsed(overrides))
    how = {"memory_gb": memory, "kind": chosen_kind, "find": sought, "prompt": prompt, "processes": processes}
    planned = plan_run(run, **how)
    print(json.dumps(planned.as_plain()) if as_json else "\n".join(lines(planned)))
