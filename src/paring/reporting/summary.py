"""A report as plain values, for scripts: summary.json and `paring report --json`."""

from collections.abc import Mapping
from math import isfinite

from paring.maths.estimates import Difference
from paring.reporting.by_task import tasks_as_plain
from paring.reporting.contests import Contest
from paring.reporting.contrasts import Contrast, Effect, Test
from paring.reporting.declared import DeclaredTest
from paring.reporting.differing import NOT_A_DIFFERENCE, differing, shared
from paring.reporting.findings import Findings
from paring.reporting.gathering import Arm
from paring.reporting.sampled_answers import sampled_as_plain
from paring.reporting.series import SHOWN, last_tenth
from paring.settings.recipes import flattened
from paring.types import Json

FORMAT = 4
"""4: arms are not paired by seed. 3: one family of tests a report, in which arms of the same runs are one arm.
2: differences are second less first; in format 1 they were first less second."""


def as_plain(findings: Findings) -> Json:
    """Nested lists and dicts with finite numbers only; names are as the folders have them."""
    gathered = findings.gathered
    recipes = [run.recipe for run in gathered.runs]
    names = [name for name in differing(recipes) if name not in NOT_A_DIFFERENCE]
    return _strict(
        {
            "format": FORMAT,
            "title": gathered.title,
            "question": gathered.question,
            "baseline": gathered.baseline,
            "answer": [
                {"title": passage.title, "sentences": passage.sentences}
                for passage in (*findings.answer, *findings.details)
            ],
            "benchmarks": list(map(_contest, findings.contests)),
            "comparisons": list(map(_contrast, findings.contrasts)),
            "copies": [
                {"setting": contest.setting, "arm": one.label, "of": [copy.label for copy in contest.copies(one)]}
                for contest in findings.contests
                for one in contest.distinct
                if contest.copies(one)
            ],
            "declared": list(map(_declared, findings.declared)),
            "effects": list(map(_effect, findings.effects)),
            "arms": [_arm(arm, names) for arm in gathered.arms],
            "tuning": [
                {"arm": tuned.arm, "setting": tuned.setting, tuned.key: tuned.value, "scores": tuned.scores}
                for tuned in gathered.tuned
            ],
            "recipe": shared(recipes),
            "missing": gathered.missing,
        }
    )


def _contest(contest: Contest) -> dict[str, object]:
    return {
        "benchmark": contest.measure.name,
        "setting": contest.setting,
        "better": "higher" if contest.measure.accuracy else "lower",
        "arms": [
            {
                "arm": standing.label,
                "by_seed": standing.values,
                "mean": standing.mean,
                "interval": standing.interval,
                "interval_of": "seeds" if len(standing.runs) > 1 else "problems",
                "before": standing.before,
                "answers_sampled": standing.sampled,
                **{name: standing.mean_of("after", name) for name in ("length", "truncated")},
                **({"sampled": sampled} if (sampled := sampled_as_plain(standing)) else {}),
            }
            for standing in contest.standings
        ],
    }


def _contrast(contrast: Contrast) -> dict[str, object]:
    return {
        "benchmark": contrast.contest.measure.name,
        "setting": contrast.contest.setting,
        "first": contrast.first.label,
        "second": contrast.second.label,
        "decisive": _test(contrast.decisive),
        "over_problems": contrast.items and _described(contrast.items),
    }


def _test(test: Test) -> dict[str, object]:
    numbers = _difference(test.difference, test.adjusted)
    return {"test": test.name, "counts": test.counts, **numbers, "beyond_chance": test.beyond_chance}


def _declared(test: DeclaredTest) -> dict[str, object]:
    one = test.declared
    return {
        "contrast": one.name,
        "benchmark": test.measure.name,
        "setting": test.setting,
        "more": one.more,
        "less": one.less,
        "interaction": one.interaction,
        **_difference(test.difference, test.adjusted),
        "degrees": test.weighed.degrees,
        "margin": one.margin,
        "p_beyond_margin": test.equivalent,
        "verdict": test.verdict,
    }


def _described(test: Test) -> dict[str, object]:
    """Beside the decisive test, and in no family."""
    difference = test.difference
    numbers = {"difference": difference.mean, "interval": difference.interval, "p": difference.p}
    return {"test": test.name, "counts": test.counts, **numbers}


def _effect(effect: Effect) -> dict[str, object]:
    """With each pair of arms, whose difference stands without a test of its own."""
    return {
        "benchmark": effect.measure.name,
        "setting": effect.key,
        "from": effect.values[0],
        "to": effect.values[1],
        "runs": effect.runs,
        **_difference(effect.difference, effect.adjusted),
        "pairs": [
            {"from": one.arm.full_label, "to": other.arm.full_label, "difference": own and own.mean}
            for one, other in effect.pairs
            for own in [effect.by_pair((one, other))]
        ],
    }


def _difference(difference: Difference, adjusted: float) -> dict[str, object]:
    return {"difference": difference.mean, "interval": difference.interval, "p": difference.p, "p_holm": adjusted}


def _arm(arm: Arm, names: list[str]) -> dict[str, object]:
    """`settings` are those in which the runs of the report differ; `last_tenth` of the steps made, means over runs."""
    recipe, ends = flattened(arm.first.recipe), {metric: last_tenth(arm.runs, metric) for metric in SHOWN}
    return {
        "arm": arm.label,
        "setting": arm.place,
        "settings": {name: recipe[name] for name in names if name in recipe},
        "last_tenth": {metric: end for metric, end in ends.items() if end is not None},
        "runs": [
            {
                "folder": str(run.folder),
                **{name: getattr(run, name) for name in ("seed", "state", "step", "steps", "collapse", "missing")},
                **{name: run.ended(name) for name in ("training_seconds", "versions")},
                **({"tasks": tasks} if (tasks := tasks_as_plain(run)) else {}),
            }
            for run in arm.runs
        ],
    }


def _strict(value: object) -> Json:
    """JSON has no infinity, no date and no tuple: numbers that are not finite become null, what is unknown a text."""
    if isinstance(value, Mapping):
        return {str(key): _strict(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(inner) for inner in value]
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)
