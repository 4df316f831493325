"""A report as plain values, for scripts: summary.json and `paring report --json`."""

import math
from collections.abc import Mapping
from typing import Any

from paring.report.budget import sampled_by
from paring.report.comparing import Comparison, Test
from paring.report.differing import NOT_A_DIFFERENCE, differing, shared
from paring.report.effects import Effect
from paring.report.gathering import Contender
from paring.report.outcomes import Block, Standing
from paring.report.report import Report
from paring.report.runs import RunRecord
from paring.report.series import SHOWN, last_tenth
from paring.settings.recipes import flattened

FORMAT = 1


def as_plain(report: Report) -> dict[str, Any]:
    """Nested lists and dicts with finite numbers only; names are as the folders have them."""
    gathered = report.gathered
    recipes = [run.recipe for run in gathered.runs]
    names = [name for name in differing(recipes) if name not in NOT_A_DIFFERENCE]
    return _finite(
        {
            "format": FORMAT,
            "title": gathered.title,
            "question": gathered.question,
            "answer": [{"title": passage.title, "sentences": list(passage.sentences)} for passage in report.answer],
            "benchmarks": [_block(block) for block in report.blocks],
            "comparisons": [_comparison(comparison) for comparison in report.comparisons],
            "effects": [_effect(effect) for effect in report.effects],
            "arms": [_arm(contender, names) for contender in gathered.contenders],
            "tuning": [
                {"arm": choice.arm, "setting": choice.setting, choice.key: choice.value, "scores": choice.scores}
                for choice in gathered.choices
            ],
            "recipe": shared(recipes),
            "missing": list(gathered.missing),
        }
    )


def _block(block: Block) -> dict[str, Any]:
    return {
        "benchmark": block.benchmark.name,
        "setting": block.setting,
        "better": "higher" if block.benchmark.accuracy else "lower",
        "arms": [_standing(standing) for standing in block.standings],
    }


def _standing(standing: Standing) -> dict[str, Any]:
    return {
        "arm": standing.label,
        "by_seed": {str(seed): value for seed, value in standing.values.items()},
        "mean": standing.mean,
        "interval": standing.interval,
        "interval_of": "seeds" if len(standing.runs) > 1 else "problems",
        "before": standing.before,
        "length": standing.mean_of("after", "length"),
        "truncated": standing.mean_of("after", "truncated"),
        "answers_sampled": sampled_by(standing),
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "benchmark": comparison.block.benchmark.name,
        "setting": comparison.block.setting,
        "first": comparison.first.label,
        "second": comparison.second.label,
        "decisive": _test(comparison.decisive),
        "over_problems": comparison.items and _test(comparison.items),
    }


def _effect(effect: Effect) -> dict[str, Any]:
    return {
        "benchmark": effect.benchmark.name,
        "setting": effect.key,
        "from": effect.values[0],
        "to": effect.values[1],
        "seeds": list(effect.seeds),
        "difference": effect.difference.mean,
        "interval": [effect.difference.low, effect.difference.high],
        "p": effect.difference.p,
        "p_holm": effect.adjusted,
        "pairs": [
            {
                "from": first.contender.full_label,
                "to": second.contender.full_label,
                "difference": effect.of((first, second)).mean,
            }
            for first, second in effect.pairs
        ],
    }


def _test(test: Test) -> dict[str, Any]:
    return {
        "test": test.name,
        "pairs": test.pairs,
        "difference": test.difference.mean,
        "interval": test.interval,
        "p": test.difference.p,
        "p_holm": test.adjusted,
        "beyond_chance": test.beyond_chance,
    }


def _arm(contender: Contender, names: list[str]) -> dict[str, Any]:
    """`settings` are those in which the runs of the report differ; `last_tenth` of the steps made, means over runs."""
    runs, recipe = contender.arm.runs, flattened(contender.arm.first.recipe)
    return {
        "arm": contender.label,
        "setting": contender.setting,
        "settings": {name: recipe[name] for name in names if name in recipe},
        "last_tenth": {metric: value for metric in SHOWN if (value := last_tenth(runs, metric)) is not None},
        "runs": [_run(run) for run in runs],
    }


def _run(run: RunRecord) -> dict[str, Any]:
    result = run.result or {}
    return {
        "folder": str(run.folder),
        "seed": run.seed,
        "state": run.state,
        "step": run.step,
        "steps": run.steps,
        "collapse": run.collapse,
        "training_seconds": result.get("training_seconds"),
        "versions": result.get("versions"),
        "missing": list(run.missing),
    }


def _finite(value: Any) -> Any:
    """JSON knows no infinity, no date and no tuple: numbers that are not finite become null, what is unknown a text."""
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)
