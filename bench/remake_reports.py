"""The published pages of studies made again from their summaries, by the rules of today: docs/studies/*/report.md.

python bench/remake_reports.py docs/studies/clipping ...

A summary holds each arm's accuracies by seed, its settings and its last metrics. What it does not hold is left out of
the page: comparisons over problems, which need the answers, curves and samples."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from paring.reporting.contests import contests_of
from paring.reporting.contrasts import contrasts_of, effects_of, one_family
from paring.reporting.declared import tests_of
from paring.reporting.findings import Findings
from paring.reporting.gathering import Arm, Declared, Gathered, Tuned
from paring.reporting.passages import as_markdown
from paring.reporting.runs import RunRecord
from paring.reporting.sections import sections_of
from paring.reporting.summary import as_plain
from paring.settings.recipes import override


@dataclass(frozen=True)
class SummarisedRun(RunRecord):
    """A run as a summary shows it."""

    answers: float | None = None

    @property
    def sampled(self) -> float | None:  # pyright: ignore[reportIncompatibleMethodOverride]  a mean over runs
        return self.answers


def remade(summary: dict) -> Findings:
    tuning = [
        Tuned(one["arm"], one["setting"], (key,), str(one[key]), one["scores"], one["arm"], words(one["setting"]))
        for one in summary["tuning"]
        for key in one
        if key not in ("arm", "setting", "scores")
    ]
    by_place = {(arm["arm"], arm["setting"]): arm for arm in summary["arms"]}
    arms = tuple(
        Arm(standing["arm"], block["setting"], runs_of(summary, block, standing, by_place))
        for block in summary["benchmarks"]
        for standing in block["arms"]
    )
    title, question = summary["title"], summary["question"]
    declared = tuple(map(declared_of, summary["declared"]))
    gathered = Gathered(title, question, arms, tuple(tuning), tuple(summary["missing"]), declared)
    contests = contests_of(gathered)
    if declared:
        return Findings(gathered, contests, [], [], tests_of(declared, contests))
    contrasts, effects = one_family(contrasts_of(contests), effects_of(gathered, contests))
    return Findings(gathered, contests, contrasts, effects)


def runs_of(summary: dict, block: dict, standing: dict, by_place: dict) -> tuple[RunRecord, ...]:
    arm = by_place[standing["arm"], block["setting"]]
    recipe: dict = {}
    for key, value in (summary["recipe"] | arm["settings"]).items():
        override(recipe, key, value)
    problems = int(block["benchmark"].rpartition(", ")[0].rpartition(", ")[2].split()[0])
    name, split = block["benchmark"].removeprefix("Accuracy on ").split(" (")
    how = {"task": name, "split": split.split()[0], "problems": problems, "samples": 1, "temperature": 0.0}
    shown = {key: standing[key] for key in ("length", "truncated")}
    states = {run["seed"]: run for run in arm["runs"]}
    return tuple(
        SummarisedRun(
            Path(states[int(seed)]["folder"]),
            recipe | {"seed": int(seed)},
            ({"step": states[int(seed)]["step"], **arm["last_tenth"]},),
            {
                "before": {**how, "accuracy": standing["before"]},
                "after": {**how, "accuracy": value, "correct": round(value * problems), **shown},
                "collapse": states[int(seed)]["collapse"],
                **{key: states[int(seed)][key] for key in ("training_seconds", "versions")},
            },
            {},
            (),
            standing["answers_sampled"],
        )
        for seed, value in standing["by_seed"].items()
    )


def declared_of(test: dict) -> Declared:
    """A contrast as it was tested at one setting; summaries without a word on it hold no interaction."""
    at = tuple(test["setting"].split(", ")) if test["setting"] else ()
    sides = tuple(test["more"]), tuple(test["less"])
    return Declared(test["contrast"], *sides, at, test.get("interaction", False), test["margin"])


def words(setting: dict) -> str:
    return ", ".join(f"{key} = {value}" for key, value in setting.items())


def main(folders: list[str]) -> None:
    for folder in map(Path, folders):
        path = folder / "summary.json"
        findings = remade(json.loads(path.read_text(encoding="utf-8")))
        gathered = findings.gathered
        text = as_markdown(gathered.title, gathered.question, sections_of(findings))
        (folder / "report.md").write_text(text, encoding="utf-8")
        path.write_text(json.dumps(as_plain(findings), indent=1, allow_nan=False) + "\n", encoding="utf-8")
        print(folder, findings.answer[0].sentences)


if __name__ == "__main__":
    main(sys.argv[1:])
