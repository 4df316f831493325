"""Answers put to a judge: many at once, again by the kind of fault, with replies kept on disk; and scores with them."""

import json
import os
from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from statistics import fmean
from threading import Event

from paring.runtime.client import MOST_BYTES, Away, Refused, Server, ServerFault, Stopped
from paring.runtime.files import write_durably
from paring.runtime.interruption import check_interrupted, waiting
from paring.runtime.text import count_words
from paring.tasks.judge import PART, Judge
from paring.tasks.own_calls import NO_REWARD, CallFailed
from paring.types import JsonObject, Score

PAUSE, LONGEST_PAUSE, LONGEST_AFTER = 0.5, 30.0, 120.0
"""Seconds before an answer is put again, each time twice as many; and the longest Retry-After that is heeded."""
LOOK = 0.2
NEVER = {401, 403, 404, 405}
"""Refusals that hold for every answer: the key, the address or the model is wrong."""
LARGEST_KEPT = 1 << 12


def with_judge(judge: Judge, questions: Sequence[Sequence[JsonObject]], scores: list[list[Score]]) -> list[list[Score]]:
    """The scores of groups, [P][G], with the part of the judge, who is asked the questions, [P][G]. An answer that it
    could not judge gets the mean part of its group, or 0, and is not right where the judge says what is.

    Raises CallFailed where one has no score, unless that is skipped, or where every answer is refused."""
    replies = iter(shares(judge, [question for group in questions for question in group]))
    return [_judged_group(judge, group, [next(replies) for _ in group]) for group in scores]


def _judged_group(judge: Judge, score_G: Sequence[Score], reply_G: Sequence[float | str]) -> list[Score]:
    known = [reply for reply in reply_G if not isinstance(reply, str)]
    mean = fmean(known) if known else 0.0
    return [_judged_answer(judge, score, reply, mean) for score, reply in zip(score_G, reply_G, strict=True)]


def _judged_answer(judge: Judge, score: Score, reply: float | str, mean: float) -> Score:
    failed = isinstance(reply, str)
    share = mean if failed else reply
    parts = {**score.parts, PART: judge.weight * share}
    if failed:
        score = replace(score, failed={**score.failed, PART: reply})
        if judge.correct_at is not None or not set(score.parts) - set(score.failed):
            score = replace(score, correct=False, why=NO_REWARD)
    elif judge.correct_at is not None:
        score = replace(score, correct=share >= judge.correct_at, why="")
    return replace(score, parts=parts)


def shares(judge: Judge, questions: Sequence[JsonObject]) -> list[float | str]:
    """The score of each answer from 0 to 1, or why there is none. Equal questions are asked once. Raises as
    `with_judge`, and Interrupted at once where this process is to end."""
    if not questions:
        return []
    server, kept, stop = judge.server(), Kept.of(judge), Event()
    names = [_name(judge, question) for question in questions]
    by_name = dict(zip(names, questions, strict=True))
    pool = ThreadPoolExecutor(judge.concurrency, thread_name_prefix="judge")
    try:
        with waiting():
            asked = {name: pool.submit(_share, judge, server, one, kept, name, stop) for name, one in by_name.items()}
            found = {name: _result(future, judge, asked.values()) for name, future in asked.items()}
    finally:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
    return [found[name] for name in names]


def _result(future: Future[float | str], judge: Judge, asked: Collection[Future[float | str]]) -> float | str:
    """Raises what any of those that are asked has raised."""
    while not future.done():
        wait([future], timeout=LOOK)
        check_interrupted()
        for error in (one.exception() for one in asked if one.done()):
            if error is not None:
                raise error
    reply = future.result()
    if isinstance(reply, str) and judge.failed == "stop":
        remedy = "Go on with --resume once it answers, or skip such answers by task.judge.failed=skip"
        raise CallFailed(f"task.judge: {reply}. {remedy}")
    return reply


def _share(judge: Judge, server: Server, question: JsonObject, kept: "Kept", name: str, stop: Event) -> float | str:
    """The score of an answer, from the disk or from the judge; in words why there is none. Raises CallFailed where no
    answer will get one."""
    if (share := kept.read(name)) is not None:
        return share
    pause, fault, asked = 0.0, "", 0
    while asked < judge.tries:
        if stop.wait(pause):
            raise Stopped
        asked += 1
        try:
            content = server.post("/chat/completions", question, seconds=judge.seconds, most=MOST_BYTES, stop=stop)
            share = judge.share(content)
        except ServerFault as error:
            fault = f"{judge.url}: {error}"
            if isinstance(error, Refused) and error.status in NEVER:
                raise CallFailed(f"task.judge: {fault}. Check url, model and key_variable") from error
            if isinstance(error, Refused) and error.status < 500:
                break
            after = error.after if isinstance(error, Away) else None
            pause = min(LONGEST_PAUSE, PAUSE * 2 ** (asked - 1)) if after is None else min(LONGEST_AFTER, after)
        else:
            kept.write(name, share)
            return share
    return f"{fault} (asked {count_words(asked, 'time')})"


def _name(judge: Judge, question: JsonObject) -> str:
    """All that a reply depends on, as a name."""
    whole = {"url": judge.url, "range": [judge.low, judge.high], **question}
    return sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Kept:
    """Scores on disk, a file each, by the digest of what was asked. None: nothing is kept."""

    folder: Path | None

    @classmethod
    def of(cls, judge: Judge) -> "Kept":
        """In the folder that PARING_CACHE names, or in the user's."""
        place = os.environ.get("PARING_CACHE") or os.path.join(os.path.expanduser("~"), ".cache", "paring")
        return cls(Path(place) / "judge" if judge.cache and os.path.isabs(place) else None)

    def read(self, name: str) -> float | None:
        """None where it is not there, or damaged."""
        if self.folder is None:
            return None
        try:
            with self._file(name).open("rb") as file:
                held = json.loads(file.read(LARGEST_KEPT))
        except (OSError, ValueError, RecursionError):
            return None
        match held:
            case {"share": float() | int() as share} if not isinstance(share, bool) and 0 <= share <= 1:
                return float(share)
        return None

    def write(self, name: str, share: float) -> None:
        """A disk that refuses keeps nothing: the score is there all the same."""
        if self.folder is None:
            return
        file = self._file(name)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_durably(file, (json.dumps({"share": share}) + "\n").encode("ascii"))
        except OSError:
            return

    def _file(self, name: str) -> Path:
        assert self.folder is not None
        return self.folder / name[:2] / f"{name}.json"
