"""The arms of a contest by sampled answers, beside greedy accuracy: pass@k, entropy, KL and length."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from paring.maths.seeds import accuracy_interval
from paring.reporting.contests import Contest, Interval, Standing
from paring.reporting.runs import finite, mapping, mean, whole
from paring.runtime.tables import Table
from paring.runtime.text import percent, percent_interval
from paring.types import JsonObject

MEANS = ("entropy", "kl", "length")
Part = tuple[JsonObject, int | None]
"""`sampled` of an evaluation (training.sampled), and the problems that it was measured on."""


@dataclass(frozen=True)
class SampledStanding:
    """An arm, or the base that its runs began with, by sampled answers: means over the runs that have them."""

    label: str
    answers: int
    pass_at: Mapping[int, tuple[float, Interval | None]]
    means: Mapping[str, float | None]


def sampled_standings(contest: Contest) -> list[SampledStanding]:
    """The base first, then every arm whose runs have sampled their test problems; empty without any."""
    arms = [(standing.label, parts) for standing in contest.standings if (parts := list(_parts(standing, "after")))]
    before = [("before", parts) for standing in contest.standings if (parts := list(_parts(standing, "before")))]
    return [_standing(label, parts) for label, parts in (*before[:1], *arms)]


def sampled_table(contest: Contest) -> Table | None:
    """pass@1 and the two largest k; None where no run has sampled."""
    standings = sampled_standings(contest)
    known = sorted({k for standing in standings for k in standing.pass_at})
    if not known:
        return None
    ks = sorted({known[0], *known[-2:]})
    rows = []
    for standing in standings:
        shares = [standing.pass_at.get(k) for k in ks]
        means = [standing.means[name] for name in MEANS]
        rows.append(
            [
                standing.label,
                *("" if share is None else _rate(*share) for share in shares),
                *("" if value is None else f"{value:.3g}" for value in means),
            ]
        )
    answers = max(standing.answers for standing in standings)
    head = ("arm", *(f"pass@{k} %" for k in ks), "entropy", "KL", "tokens")
    return Table(head, rows, f"By {answers} sampled answers a problem: {contest.title}")


def sampled_as_plain(standing: Standing) -> dict[str, object]:
    """For scripts, before and after training; empty without sampled answers."""
    parts = {when: list(_parts(standing, when)) for when in ("before", "after")}
    found = {when: _standing(standing.label, held) for when, held in parts.items() if held}
    return {
        when: {
            "answers": one.answers,
            "pass_at": {k: {"mean": value, "interval": interval} for k, (value, interval) in one.pass_at.items()},
            **one.means,
        }
        for when, one in found.items()
    }


def _parts(standing: Standing, when: str) -> Iterator[Part]:
    for run in standing.runs.values():
        if part := mapping(run.evaluation(when).get("sampled")):
            yield part, whole(run.evaluation(when).get("problems"))


def _standing(label: str, parts: Sequence[Part]) -> SampledStanding:
    rates = [mapping(part.get("pass_at")) for part, _ in parts]
    ks = sorted({int(k) for rate in rates for k in rate if k.isdecimal() and len(k) <= 9})
    return SampledStanding(
        label,
        max(whole(part.get("samples")) or 0 for part, _ in parts),
        {k: share for k in ks if (share := _pass_at([mapping(rate.get(str(k))) for rate in rates], parts[0][1]))},
        {name: mean(finite(part.get(name)) for part, _ in parts) for name in MEANS},
    )


def _pass_at(rates: Sequence[JsonObject], problems: int | None) -> tuple[float, Interval | None] | None:
    """The mean over the runs that have it, with its interval: Student's over seeds; of one run its own."""
    known = {place: value for place, rate in enumerate(rates) if (value := finite(rate.get("value"))) is not None}
    values = list(known.values())
    if len(values) > 1:
        return sum(values) / len(values), accuracy_interval(values, problems)
    if not values:
        return None
    low, high = (finite(rates[next(iter(known))].get(end)) for end in ("low", "high"))
    return values[0], None if low is None or high is None else (low, high)


def _rate(value: float, interval: Interval | None) -> str:
    return f"{percent(value)} {percent_interval(*interval) if interval else ''}".rstrip()
