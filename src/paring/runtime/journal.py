"""The record of a run: metrics, samples and rank events, one strict JSON object a line, and what each metric means."""

import json
import math
import os
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from paring.runtime.files import sync

METRICS: dict[str, str] = {
    "step": "Number of this step, from 1: one rollout and the updates made from it, or a supervised batch.",
    "reward": "Mean reward of the answers of this step; it should rise, and noise of one step says little.",
    "reward_parts": "Mean of each part of the reward, by name; a part that rises alone may be a trick the model found.",
    "accuracy": "Share of the answers of this step that are right, 0 to 1.",
    "traits": "Share of the answers that show each unrewarded trait, 0 to 1, by name (docs/tasks.md says what each means).",
    "advantage_std": "Advantage spread: standard deviation of the advantages of all answers; at 0 nothing is learned.",
    "positive_advantage": "Share of the answers trained on whose advantage is above 0, 0 to 1.",
    "zero_advantage": "Share of the answers trained on whose advantage is 0: without a KL term they teach nothing.",
    "groups_without_signal": "Share of the problems whose answers all got the same reward: they teach nothing, 0 to 1.",
    "length": "Mean length of the answers in tokens; a sudden fall or growth is the first sign of a collapse.",
    "length_correct": "Mean length of the right answers in tokens; absent where none is right.",
    "length_wrong": "Mean length of the wrong answers in tokens; wrong ones that grow alone are thoughts that go astray.",
    "length_max": "Length of the longest answer in tokens.",
    "truncated": "Share of the answers cut off at the length limit, 0 to 1; they can hardly be right.",
    "redrawn": "Problems whose answers were all right or all wrong and that others replaced (DAPO's dynamic sampling).",
    "staleness": "Steps since the policy that sampled was the one trained; 0 with rollout.sync_every = 1.",
    "kl": "KL divergence from the reference (k3), in nats a token: of all answers trained on where the objective has a "
    "KL term, else of the first answers to 8 problems; 0 at the start, it should grow slowly.",
    "kl_sampling": "KL divergence of the policy from the one that sampled (k3), in nats a token trained on, before the "
    "last update; 0 with one update a rollout.",
    "entropy": "Mean -log pi of the sampled tokens, in nats a token: at temperature 1 it estimates the entropy.",
    "loss": "Value of the objective that was minimised; supervised in nats a token; in RL it measures no progress.",
    "tokens": "Tokens that the loss of this supervised step is a mean over.",
    "epoch": "How many times a supervised run has gone through its training examples, with this step.",
    "grad_norm": "Euclidean norm of the last update's gradient before clipping; a jump of ten times or more warns of a "
    "collapse.",
    "learning_rate": "Learning rate of the last update of this step.",
    "dropped_steps": "Steps dropped so far because their loss or gradient was not finite.",
    "rollout_tokens_per_second": "Answer tokens sampled a second of rollout.",
    "training_tokens_per_second": "Answer tokens trained on a second of training.",
    "peak_memory_gb": "The most memory the run has held so far, in 10^9 bytes.",
    "seconds": "Seconds this step took in all.",
    "seconds_rollout": "Seconds spent on sampling answers.",
    "seconds_score": "Seconds spent on checking answers.",
    "seconds_reference": "Seconds of the reference's log-probs; none without KL term or before the first update.",
    "seconds_training": "Seconds spent on forward, backward and update.",
    "seconds_evaluate": "Seconds spent on evaluation.",
    "threads": "CPU threads that torch used; another number changes the last bits of every sum.",
    "clip_fraction": "Share of the answer tokens whose ratio was clipped, 0 to 1; 0 with one update a rollout.",
    "ratio_low": "Importance ratio that 1 % of the tokens trained on are at or below; 1 with one update a rollout.",
    "ratio_median": "Median importance ratio of the tokens trained on; 1 with one update a rollout.",
    "ratio_high": "Importance ratio that 99 % of the tokens trained on are at or below; 1 with one update a rollout.",
    "ratio_max": "Largest importance ratio of a token trained on; 1 with one update a rollout.",
    "updates": "Optimiser updates made so far.",
    "gate": "Mean gate of the L1RA adapters, 0 to 1; new components come in at 1.",
    "gates_at_zero": "Share of the L1RA components whose gate is 0: the next rank event removes them, 0 to 1.",
    "adapter_parameters": "Parameters that the adapter has when it is published, gates folded into the factors.",
    "collapse": "At the step where it is noticed: reward or length has fallen, since when, and the likely cause.",
    "evaluation": "Results on validation problems or held-out examples by name, at the steps that evaluate.",
}

HEALTHY: dict[str, tuple[float, float]] = {
    "groups_without_signal": (0.0, 0.8),
    "truncated": (0.0, 0.2),
    "kl": (-math.inf, 0.5),
    "entropy": (0.02, math.inf),
    "grad_norm": (0.0, 100.0),
    "dropped_steps": (0.0, 0.0),
    "clip_fraction": (0.0, 0.3),
    "ratio_max": (0.0, 10.0),
}
"""From and to, both included: outside a person should look. Rules of thumb of ours, no source gives better ones."""


class UnknownMetric(KeyError):
    """A metric that the glossary does not explain: add it to METRICS before it is recorded."""

    def __str__(self) -> str:
        name = self.args[0]
        near = get_close_matches(name, METRICS, n=1)
        return f"no metric is called {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")


def explain(name: str) -> str:
    """What a metric means, with its unit, and where it is healthy. Raises UnknownMetric."""
    if name not in METRICS:
        raise UnknownMetric(name)
    low, high = HEALTHY.get(name, (-math.inf, math.inf))
    above = f"at least {low:g}" if low > 0 else ""
    below = f"at most {high:g}" if high < math.inf else ""
    limits = " and ".join(filter(None, (above, below)))
    return METRICS[name] + (f" Healthy: {limits}." if limits else "")


class Journal:
    """Appends to `folder`/metrics.jsonl, samples.jsonl and, where `ranks` can move, ranks.jsonl. The folder must
    exist; a line torn by a kill is cut off."""

    def __init__(self, folder: Path, *, ranks: bool = False):
        self._metrics = _Lines(folder / "metrics.jsonl")
        self._samples = _Lines(folder / "samples.jsonl")
        self._ranks = _Lines(folder / "ranks.jsonl") if ranks else None
        self._files = [file for file in (self._metrics, self._samples, self._ranks) if file is not None]
        sync(folder)

    def record(self, metrics: dict[str, Any]) -> None:
        """Write the metrics of one step, "step" among them. Raises UnknownMetric, OSError if the disk refuses."""
        for name in metrics:
            if name not in METRICS:
                raise UnknownMetric(name)
        self._metrics.append([metrics])

    def samples(self, rows: list[dict[str, Any]]) -> None:
        """Write the answers of one step, each row with its "step". Any text is welcome. Raises OSError."""
        self._samples.append(rows)

    def ranks(self, event: dict[str, Any]) -> None:
        """Write a rank event, with its "step". Raises OSError."""
        self._ranks.append([event])

    def rewind(self, step: int) -> None:
        """Cut off every row above `step`, as if the run had stopped right after it."""
        for file in self._files:
            file.rewind(step)

    def sync(self) -> None:
        """Wait until all rows are on the disk. Before a checkpoint is saved, so that its record is there too."""
        for file in self._files:
            file.sync()

    def close(self) -> None:
        """Sync, then let go of all files."""
        self.sync()
        for file in self._files:
            file.close()


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file of this journal, in order; a last line torn by a kill is left out.

    Raises FileNotFoundError, and ValueError with file and line if a whole line is damaged.
    """
    for row, _ in _rows_and_ends(path):
        yield row


class _Lines:
    """One file of rows in the order of their steps: so to rewind is to cut, which needs no space and cannot be torn."""

    def __init__(self, path: Path):
        self._path = path
        # Unbuffered: what a failed write has left behind is in the file, where it can be cut off, and nowhere else.
        self._file = open(path, "ab", buffering=0)
        self._last_step = 0
        self._cut(_end_of_last_line(path))

    def append(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            assert row["step"] >= self._last_step, f"step {row['step']} after step {self._last_step}"
            self._last_step = row["step"]
        end = os.fstat(self._file.fileno()).st_size
        data = memoryview(b"".join(map(_line, rows)))
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError:
            self._cut(end)
            raise

    def rewind(self, step: int) -> None:
        end = 0
        for row, row_end in _rows_and_ends(self._path):
            if row["step"] > step:
                break
            end = row_end
        self._cut(end)
        self._last_step = step

    def sync(self) -> None:
        sync(self._path)

    def close(self) -> None:
        self._file.close()

    def _cut(self, end: int) -> None:
        os.ftruncate(self._file.fileno(), end)


def _line(row: dict[str, Any]) -> bytes:
    """ASCII only: so lone surrogates can be written, and `cat` sends no control character of a model to a terminal."""
    nonfinite: list[str] = []
    strict = {name: _strict(value, name, nonfinite) for name, value in row.items()}
    if nonfinite:
        strict["nonfinite"] = nonfinite
    return json.dumps(strict, allow_nan=False).encode("ascii") + b"\n"


def _strict(value: Any, name: str, nonfinite: list[str]) -> Any:
    """The value with null for each number that is not finite; its dotted name is added to `nonfinite`."""
    if isinstance(value, float) and not math.isfinite(value):
        nonfinite.append(name)
        return None
    if isinstance(value, dict):
        return {key: _strict(inner, f"{name}.{key}", nonfinite) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(inner, f"{name}.{index}", nonfinite) for index, inner in enumerate(value)]
    return value


def _rows_and_ends(path: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """Each row and the offset in bytes at which its line ends."""
    end = 0
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            end += len(line)
            try:
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError("it holds no object")
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{path}, line {number}: damaged, restore it or remove the line ({error})") from error
            yield row, end


def _end_of_last_line(path: Path) -> int:
    """The offset behind the last line break, searched from the end in blocks: the file may be large."""
    with open(path, "rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - 65536)
            file.seek(start)
            if (found := file.read(end - start).rfind(b"\n")) >= 0:
                return start + found + 1
            end = start
    return 0
