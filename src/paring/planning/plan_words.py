"""A plan as a person reads it."""

from paring.adapters.coverage import in_words
from paring.planning.division import Division
from paring.planning.estimate import PART_NAMES
from paring.planning.hardware import USABLE
from paring.planning.job import Batches, Rollouts
from paring.planning.plan import Plan
from paring.runtime.tables import Table
from paring.runtime.text import percent


def lines(plan: Plan) -> list[str]:
    then = {True: "fits", False: "not enough"}
    changes = [
        (change.override, gigabytes(change.saves), "" if plan.fits else then[change.enough], change.price)
        for change in plan.changes
    ]
    head = ("to save memory, each alone", "saves GB", "then", "at this price")
    advice = ["", *Table(head, changes, words=frozenset({2, 3})).as_text()] if changes else []
    return [*_head(plan), "", *_parts(plan).as_text(), "", *_verdict(plan), *advice]


def gigabytes(size: float) -> str:
    """In 10^9 bytes, to the hundredth; what is smaller is not hidden."""
    return "0" if size == 0 else "< 0.01" if size < 5e6 else f"{size / 1e9:,.2f}"


def _head(plan: Plan) -> list[str]:
    shapes, job, work = plan.shapes, plan.job, plan.job.work
    ranks = sorted({job.ranks.get(module.path, job.rank) for module in job.targets})
    rank = f"ranks {ranks[0]} to {ranks[-1]}" if len(ranks) > 1 else f"rank {max(ranks, default=job.rank)}"
    adapter = f"{job.kind} of {rank} on {len(job.targets)} modules"
    number = {"4bit": "4-bit", "8bit": "8-bit"}.get(job.quantisation, f"{8 * job.itemsize}-bit")
    if isinstance(work, Rollouts):
        answers = f"{work.problems} problems x {work.group} answers of at most {work.new_tokens} tokens"
        words = f"{answers}, prompts of {work.prompt} (--prompt)"
    else:
        words = f"{work.batch} examples of at most {work.longest} tokens"
    rougher = ["activations are a rougher guess: this architecture is not written out here"]
    return [
        f"{shapes.name} of {shapes.parameters:,} parameters, {number}, on a {plan.machine.name}; "
        + ("all of them trained" if job.kind == "full" else adapter),
        *([] if job.kind == "full" else [f"adapters stand {in_words(plan.coverage)}"]),
        f"{words}; the largest pass has {job.largest_pass.tokens:,} {'packed' if job.packed else 'padded'} tokens",
        *([] if shapes.written_out else rougher),
        *(
            []
            if plan.division is None
            else _division(plan.division, "examples" if isinstance(work, Batches) else "problems")
        ),
    ]


def _division(division: Division, items: str) -> list[str]:
    count, sent = division.processes, gigabytes(division.sent)
    words = f"{count} processes, each as here: {division.share} of {division.items} {items} a step"
    least = f"which takes {percent(division.least_time)} % of one process's time at least"
    between = f"GB between processes: each sends {sent} for a sum of gradients"
    if division.held == division.base:
        return [f"{words}, {least}; the whole base", between]
    held = f"{gigabytes(division.held)} of the base's {gigabytes(division.base)} GB"
    passes = f"{gigabytes(division.received)} for each pass, {gigabytes(division.received_backward)} for its backward"
    return [f"{words}, {least}; {held}", f"{between}, and receives {passes}"]


def _parts(plan: Plan) -> Table:
    estimates = plan.estimates.values()
    rows = [[name, *(gigabytes(one.parts[name]) for one in estimates)] for name in PART_NAMES]
    rows.append(["peak", *(gigabytes(one.peak) for one in estimates)])
    rows.append(["which is in the", *(one.moment for one in estimates)])
    rows.append(["numbers trained", *(f"{plan.trained[kind]:,}" for kind in plan.estimates)])
    return Table(["10^9 bytes, at the peak", *plan.estimates], rows)


def _verdict(plan: Plan) -> list[str]:
    machine, largest = plan.machine, plan.largest
    taker = "a run" if machine.processes == 1 else f"each of {machine.processes} processes"
    room = gigabytes(machine.memory / machine.processes)
    margin = f"{gigabytes(machine.usable)} of {room} GB, a margin of {1 - USABLE:.0%}"
    verdict = f"{'fits' if plan.fits else 'does not fit'}: {gigabytes(plan.own.peak)} GB, and {taker} may take {margin}"
    if largest is None:
        return [verdict]
    if largest.value == 0:
        return [verdict, f"no {largest.key} fits, not even 1"]
    if largest.value == largest.limit:
        return [verdict, f"the largest {largest.key} that was tried fits: {largest.key}={largest.value}"]
    return [verdict, f"the largest that fits: {largest.key}={largest.value}"]
