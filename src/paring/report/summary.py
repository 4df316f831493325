"""A report as plain values, for scripts: summary.json and `paring report --json`."""

from collections.abc import Mapping
from math import isfinite

from paring.report.contests import Contest, Standing
from paring.report.contrasts import Contrast, Test
from paring.report.differing import NOT_A_DIFFERENCE, differing, shared
from paring.report.effects import Effect
from paring.report.findings import Findings
from paring.report.gathering import Contender
from paring.report.runs import RunRecord
from paring.report.series import SHOWN, last_tenth
from paring.settings.recipes import flattened
from paring.types import Json

FORMAT = 2
"""2: differences are second less first; in format 1 they were first less second."""


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
            "answer": [{"title": passage.title, "sentences": passage.sentences} for passage in findings.answer],
            "benchmarks": [_contest(contest) for contest in findings.contests],
            "comparisons": [_contrast(contrast) for contrast in findings.contrasts],
            "effects": [_effect(effect) for effect in findings.effects],
            "arms": [_arm(contender, names) for contender in gathered.contenders],
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
        "arms": [_standing(standing) for standing in contest.standings],
    }


def _standing(standing: Standing) -> dict[str, object]:
    return {
        "arm": standing.label,
        "by_seed": standing.values,
        "mean": standing.mean,
        "interval": standing.interval,
        "interval_of": "seeds" if len(standing.runs) > 1 else "problems",
        "before": standing.before,
        "length": standing.mean_of("after", "length"),
        "truncated": standing.mean_of("after", "truncated"),
        "answers_sampled": standing.sampled,
    }


def _contrast(contrast: Contrast) -> dict[str, object]:
    return {
        "benchmark": contrast.contest.measure.name,
        "setting": contrast.contest.setting,
        "first": contrast.first.label,
        "second": contrast.second.label,
        "decisive": _test(contrast.decisive),
        "over_problems": contrast.items and _test(contrast.items),
    }


def _effect(effect: Effect) -> dict[str, object]:
    pairs = [
        {
            "from": pair[0].contender.full_label,
            "to": pair[1].contender.full_label,
            "difference": effect.by_pair(pair).mean,
        }
        for pair in effect.pairs
    ]
    return {
        "benchmark": effect.measure.name,
        "setting": effect.key,
        "from": effect.values[0],
        "to": effect.values[1],
        "seeds": effect.seeds,
        "difference": effect.difference.mean,
        "interval": (effect.difference.low, effect.difference.high),
        "p": effect.difference.p,
        "p_holm": effect.adjusted,
        "pairs": pairs,
    }


def _test(test: Test) -> dict[str, object]:
    return {
        "test": test.name,
        "pairs": test.pairs,
        "difference": test.difference.mean,
        "interval": test.interval,
        "p": test.difference.p,
        "p_holm": test.adjusted,
        "beyond_chance": test.beyond_chance,
    }


def _arm(contender: Contender, names: list[str]) -> dict[str, object]:
    """`settings` are those in which the runs of the report differ; `last_tenth` of the steps made, means over runs."""
    runs, recipe = contender.arm.runs, flattened(contender.arm.first.recipe)
    return {
        "arm": contender.label,
        "setting": contender.setting,
        "settings": {name: recipe[name] for name in names if name in recipe},
        "last_tenth": {metric: value for metric in SHOWN if (value := last_tenth(runs, metric)) is not None},
        "runs": [_run(run) for run in runs],
    }


def _run(run: RunRecord) -> dict[str, object]:
    return {
        "folder": str(run.folder),
        "seed": run.seed,
        "state": run.state,
        "step": run.step,
        "steps": run.steps,
        "collapse": run.collapse,
        "training_seconds": run.ended("training_seconds"),
        "versions": run.ended("versions"),
        "missing": run.missing,
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
