"""A plan as a person reads it."""

from paring.planning.estimate import PART_NAMES, USABLE
from paring.planning.job import Rollouts
from paring.planning.plan import Plan
from paring.runtime.tables import Table


def lines(plan: Plan) -> list[str]:
    return [*_head(plan), "", *_table(plan).as_text(), "", *_verdict(plan), *_found(plan), *_changes(plan)]


def gigabytes(size: float) -> str:
    """In 10^9 bytes, to the hundredth; what is smaller is not hidden."""
    return "0" if size == 0 else "< 0.01" if size < 5e6 else f"{size / 1e9:,.2f}"


def _head(plan: Plan) -> list[str]:
    shapes, job, work = plan.shapes, plan.job, plan.job.work
    adapter = (
        "all of them trained" if job.kind == "full" else f"{job.kind} of rank {job.rank} on {len(job.targets)} modules"
    )
    number = {"4bit": "4-bit", "8bit": "8-bit"}.get(job.quantisation, f"{8 * job.itemsize}-bit")
    if isinstance(work, Rollouts):
        answers = f"{work.problems} problems x {work.group} answers of at most {work.new_tokens} tokens"
        told = f"{answers}, prompts of {work.prompt} (--prompt)"
    else:
        told = f"{work.batch} examples of at most {work.longest} tokens"
    return [
        f"{shapes.name} of {shapes.parameters:,} parameters, {number}, on a {plan.machine.name}; {adapter}",
        f"{told}; the largest pass has {job.largest_pass.tokens:,} packed tokens",
        *(
            []
            if shapes.written_out
            else ["not an architecture that is written out here: activations are a rougher guess"]
        ),
    ]


def _table(plan: Plan) -> Table:
    kinds = list(plan.estimates)
    rows = [[name, *(gigabytes(plan.estimates[kind].parts[name]) for kind in kinds)] for name in PART_NAMES]
    rows.append(["peak", *(gigabytes(plan.estimates[kind].peak) for kind in kinds)])
    rows.append(["which is in the", *(plan.estimates[kind].moment for kind in kinds)])
    rows.append(["numbers trained", *(f"{plan.trained[kind]:,}" for kind in kinds)])
    return Table(["10^9 bytes, at the peak", *kinds], rows)


def _verdict(plan: Plan) -> list[str]:
    peak, machine = gigabytes(plan.own.peak), plan.machine
    margin = f"{gigabytes(machine.usable)} of {gigabytes(machine.memory)} GB, a margin of {1 - USABLE:.0%}"
    if plan.fits:
        return [f"fits: {peak} GB, and a run may take {margin}"]
    return [f"does not fit: {peak} GB, and a run may take {margin}"]


def _found(plan: Plan) -> list[str]:
    if plan.found is None:
        return []
    key, value, limit = plan.found.key, plan.found.value, plan.found.limit
    if value == 0:
        return [f"no {key} fits, not even 1"]
    if value == limit:
        return [f"the largest {key} that was tried fits: {key}={value}"]
    return [f"the largest that fits: {key}={value}"]


def _changes(plan: Plan) -> list[str]:
    if not plan.changes:
        return []
    width = max(len(change.override) for change in plan.changes)
    return ["", "what saves memory, each alone, most first:"] + [
        f"  {change.override:<{width}}  {gigabytes(change.saves):>6} GB"
        f"{'' if plan.fits else '  fits then   ' if change.enough else '  not enough  '}  {change.price}"
        for change in plan.changes
    ]
