"""The cost of each arm of a study until a share of its answers is right: steps, answers, tokens, seconds.

python bench/cost_of_accuracy.py watch STUDY SECONDS.txt &     # beside the study: processor seconds of its runs
python bench/cost_of_accuracy.py table STUDY [SECONDS.txt]     # Markdown, with the tests over seeds

In a study whose runs evaluate while they train, the share is reached at the first evaluation that has it. In others it
is the last of five steps in a row whose sampled answers have it on average, those to redrawn problems among them."""

import glob
import json
import os
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

from paring.maths.estimates import t_interval
from paring.maths.seeds import arms_difference
from paring.runtime.tables import Table
from paring.runtime.text import count_words, p_words

SHARE, IN_A_ROW = 0.7, 5
CHILD = b"paring.study.child"
SECONDS = "processor seconds"
COSTS = ("steps", "answers", "tokens sampled", "tokens learned", SECONDS)


@dataclass(frozen=True)
class Course:
    """A run's journal, and its processor seconds by the number of finished steps."""

    rows: list[dict]
    group_size: int
    problems: int
    seconds: dict[int, float]

    def costs(self) -> list[float] | None:
        """Until the share is reached, by COSTS; None where the run does not reach it. Seconds may be missing."""
        steps = self._reached()
        if steps is None:
            return None
        rows = self.rows[:steps]
        answers = sum(self.problems + row["redrawn"] for row in rows) * self.group_size
        tokens = [
            round(sum(row[f"{phase}_tokens_per_second"] * row[f"seconds_{phase}"] for row in rows))
            for phase in ("rollout", "training")
        ]
        # What is before the first step, imports and the base's evaluation among it, is no part.
        seconds = [self._at(steps) - self._at(0)] if len(self.seconds) > 1 else []
        return [steps, answers, *tokens, *seconds]

    def _reached(self) -> int | None:
        """The finished steps at which the share is reached."""
        evaluated = [row for row in self.rows if "evaluation" in row]
        if evaluated:
            return next((row["step"] for row in evaluated if row["evaluation"]["accuracy"] >= SHARE), None)
        shares = [row["accuracy"] for row in self.rows]
        ends = range(IN_A_ROW, len(shares) + 1)
        return next((end for end in ends if sum(shares[end - IN_A_ROW : end]) >= SHARE * IN_A_ROW), None)

    def _at(self, steps: int) -> float:
        """Processor seconds at the end of a step, along the line between the looks before and after it, or of the two
        that are nearest."""
        looks = sorted(self.seconds.items())
        after = next((place for place, (seen, _) in enumerate(looks) if seen >= steps), len(looks) - 1)
        (early, first), (late, last) = looks[max(0, after - 1) :][:2]
        return first + (last - first) * (steps - early) / (late - early)


def courses(study: Path, seconds: Path | None) -> dict[str, dict[int, Course]]:
    """The courses of all finished runs, by arm and seed."""
    looks: dict[str, dict[int, float]] = {}
    for line in seconds.read_text(encoding="utf-8").splitlines() if seconds else []:
        folder, steps, spent = line.rsplit(" ", 2)
        looks.setdefault(str(Path(folder).resolve()), {}).setdefault(int(steps), float(spent))
    found: dict[str, dict[int, Course]] = {}
    for run in json.loads((study / "study.json").read_text(encoding="utf-8"))["runs"]:
        folder = study / run["folder"]
        if not (folder / "result.json").is_file():
            continue
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        rollout = tomllib.loads((folder / "run.toml").read_text(encoding="utf-8"))["rollout"]
        own = looks.get(str(folder.resolve()), {})
        found.setdefault(run["arm"], {})[run["seed"]] = Course(rows, rollout["group_size"], rollout["problems"], own)
    return found


def table(study: Path, seconds: Path | None) -> str:
    """A row for each arm and cost: the mean over seeds with Student's interval, and the difference from the first arm
    with Welch's test. An arm that does not reach the share in each of its seeds has no mean."""
    by_arm = {arm: [course.costs() for course in by_seed.values()] for arm, by_seed in courses(study, seconds).items()}
    first = next(iter(by_arm))
    rows = []
    for arm, costs in by_arm.items():
        reached = [one for one in costs if one is not None]
        if not reached:
            rows.append([arm, "", f"in none of {count_words(len(costs), 'seed')}", *[""] * 4])
        for place, name in enumerate(COSTS):
            if not reached or any(len(one) <= place for one in reached):
                continue
            values = [one[place] for one in reached]
            shown = ",.1f" if name == SECONDS else ",.0f"
            row = [arm if not place else "", name, ", ".join(f"{value:{shown}}" for value in values)]
            if len(reached) < len(costs) or len(values) < 2:
                rows.append([*row, f"{len(reached)} of {count_words(len(costs), 'seed')}", "", "", ""])
                continue
            low, high = t_interval(values)
            row += [f"{sum(values) / len(values):{shown}}", f"[{max(0, low):{shown}}, {high:{shown}}]"]
            base = [one[place] for one in by_arm[first] if one is not None and len(one) > place]
            less = arms_difference([base], [values], None, accuracy=False) if arm != first and len(base) > 1 else None
            words = ["", ""]
            if less:
                words = [f"{less.mean:+{shown}} [{less.low:+{shown}}, {less.high:+{shown}}]", p_words(less.p)]
            rows.append([*row, *words])
    head = ("arm", "cost", "by seed", "mean", "95 % interval", f"less {first}", "p")
    return "\n".join(Table(head, rows).as_markdown())


def watch(study: Path, seconds: Path) -> None:
    """Once a second a line for each run of the study that is under way: its folder, steps, processor seconds. Linux."""
    tick = os.sysconf("SC_CLK_TCK")
    while True:
        for place in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                words = Path(place).read_bytes().split(b"\0")
                folder = Path(words[words.index(CHILD) + 1].decode()).resolve()
                if not folder.is_relative_to(study.resolve()):
                    continue
                spent = Path(place).with_name("stat").read_text().rpartition(")")[2].split()[11:13]
                steps = (folder / "metrics.jsonl").read_bytes().count(b"\n")
            except (OSError, ValueError):  # the process has ended, is none of the study, or has not begun its journal
                continue
            with seconds.open("a", encoding="utf-8") as file:
                file.write(f"{folder} {steps} {sum(map(int, spent)) / tick}\n")
        time.sleep(1)


if __name__ == "__main__":
    what, study, *rest = sys.argv[1:]
    if what == "watch":
        watch(Path(study), Path(rest[0]))
    print(table(Path(study), Path(rest[0]) if rest else None))
