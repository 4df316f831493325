"""Try a reward of the user's own: right answers, wrong ones that look right, hostile ones; and the time each takes."""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from math import isfinite, nan
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from paring.verifier.corpus import CANARY, hostile, hostile_answers, trials
from paring.verifier.reward_trial import load_reward
from paring.verifier.workers import KILLED, TIMEOUT, Workers

SECONDS = 5.0
"""Wall clock that a reward may take for one answer."""
WAYS = {
    "a box": r"So the answer is \boxed{%s}.",
    "answer tags": "<think> It is so. </think>\n<answer> %s </answer>",
    "a mark": "It is so.\n#### %s",
    "a sentence": "The answer is %s.",
    "nothing else": "%s",
}
"""The ways to write an answer, tried in this order: the first in which 18 is rewarded for 18, and 19 less, is kept."""


@dataclass(frozen=True, slots=True)
class TrialReply:
    """The reward of one text, or the error and NaN, which is above no threshold."""

    reward: float
    error: str
    seconds: float


@dataclass(frozen=True, slots=True)
class RewardCheck:
    """The trial of a reward. `faults` are sentences, one for each of the `answers` that it got wrong."""

    style: str
    threshold: float
    answers: int
    not_taken: tuple[str, ...]
    faults: tuple[str, ...]
    median_seconds: float
    slowest_seconds: float

    def lines(self) -> list[str]:
        """For people."""
        lines = [f"answers are written in {self.style}; a reward above {self.threshold:g} means right"]
        if self.not_taken:
            lines.append(f"golds that it does not take, not counted: {', '.join(self.not_taken)}")
        return [
            *lines,
            *self.faults,
            f"time an answer: median {1e3 * self.median_seconds:.2f} ms, slowest {1e3 * self.slowest_seconds:.0f} ms",
            f"{self.answers - len(self.faults)} passed, {len(self.faults)} failed",
        ]


def check_reward(path: str, *, seconds: float = SECONDS) -> RewardCheck:
    """Try the reward `my.py:reward`, in a process of its own that is killed where it hangs.

    Raises ValueError if the file or the name cannot be used, or if the reward tells 18 from 19 in no way of writing.
    """
    load_reward(path)  # its faults are raised here, not in the process
    with (
        TemporaryDirectory() as folder,
        closing(Workers("paring.verifier.reward_trial", (path, folder), count=1, seconds=seconds)) as workers,
    ):
        return _checked(workers, Path(folder))


def _checked(workers: Workers, folder: Path) -> RewardCheck:
    style, threshold = _style(workers)
    written = WAYS[style]
    golds = list(dict.fromkeys(trial.gold for trial in trials()))
    plain = _replies(workers, [(gold, written % gold) for gold in golds])
    taken = {gold for gold, reply in zip(golds, plain, strict=True) if reply.reward > threshold}
    tried = [trial for trial in trials() if trial.gold in taken]
    replies = _replies(workers, [(trial.gold, written % trial.answer) for trial in tried])
    faults = []
    for trial, reply in zip(tried, replies, strict=True):
        if reply.error:
            faults.append(f"{reply.error} on {trial.answer!r} for {trial.gold!r}")
        elif (reply.reward > threshold) != trial.is_right:
            verb = "rejects" if trial.is_right else "accepts"
            faults.append(f"{verb} {trial.answer!r} for {trial.gold!r} (reward {reply.reward:g})")
    texts = hostile("18") | {name: written % answer for name, answer in hostile_answers("18").items()}
    hostile_replies = _replies(workers, [("18", text) for text in texts.values()])
    for name, reply in zip(texts, hostile_replies, strict=True):
        if reply.error or reply.reward > threshold:
            faults.append(f"hostile, {name}: {reply.error or f'accepted (reward {reply.reward:g})'}")
    if (folder / CANARY).exists():
        faults.append("it runs code that stands in an answer")
    times = [reply.seconds for reply in (*replies, *hostile_replies)]
    not_taken = tuple(gold for gold in golds if gold not in taken)
    return RewardCheck(style, threshold, len(times) + 1, not_taken, tuple(faults), median(times), max(times))


def _style(workers: Workers) -> tuple[str, float]:
    """The way of writing in which the reward tells a right answer from a wrong one, and the middle between both."""
    error = ""
    for style, written in WAYS.items():
        right, wrong = _replies(workers, [("18", written % "18"), ("18", written % "19")])
        if right.reward > wrong.reward:
            return style, (right.reward + wrong.reward) / 2
        error = right.error
    raise ValueError(
        f"the reward is no greater for 18 than for 19 where 18 is right, written in {', '.join(WAYS)}: {error}"
    )


def _replies(workers: Workers, questions: Sequence[tuple[str, str]]) -> list[TrialReply]:
    """A reply to each (gold, text)."""
    lines = workers.ask([json.dumps({"gold": gold, "text": text}) for gold, text in questions])
    return [_reply(line) for line in lines]


def _reply(line: str) -> TrialReply:
    if line in (TIMEOUT, KILLED):
        return TrialReply(nan, "no answer in time" if line == TIMEOUT else "it ended the process", SECONDS)
    match json.loads(line):
        case {"reward": float(reward), "seconds": float(seconds)} if isfinite(reward):
            return TrialReply(reward, "", seconds)
        case {"reward": reward, "seconds": float(seconds)}:
            return TrialReply(nan, f"gives {reward}, no finite number", seconds)
        case {"error": str(error), "seconds": float(seconds)}:
            return TrialReply(nan, f"raises {error}", seconds)
    raise AssertionError(line)
