"""`paring verify` judges an answer or a file of cases; `paring reward-check` tries a reward of the user's own."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from paring.commands.shared import Json


def verify(
    gold: Annotated[str | None, typer.Option(help=r"The right answer, such as '\frac{1}{2}'.")] = None,
    answer: Annotated[str | None, typer.Option(help="A response with a box or tags, or the answer alone.")] = None,
    cases: Annotated[Path | None, typer.Option(help="JSONL of gold (or a list of golds), candidate, expected.")] = None,
    as_json: Json = False,
) -> None:
    """Judge an answer as tasks do; or decide a file of cases, and print those decided otherwise than expected."""
    match gold, answer, cases:
        case str(), str(), None:
            raise typer.Exit(_decide(gold, answer, as_json))
        case None, None, Path():
            raise typer.Exit(_decide_cases(cases, as_json))
    raise typer.BadParameter("give --gold and --answer, or --cases alone")


def reward_check(
    reward: Annotated[str, typer.Argument(metavar="FILE.py:NAME", help="A reward function as TRL's are, or a task.")],
    seconds: Annotated[float, typer.Option(min=0.1, help="What one answer may take.")] = 5.0,
    as_json: Json = False,
) -> None:
    """Try a reward of your own with right, wrong and hostile answers; exit 1 if it gets any wrong."""
    from paring.runtime.text import visible
    from paring.verifier.reward_check import check_reward

    checked = check_reward(reward, seconds=seconds)
    print(json.dumps(asdict(checked)) if as_json else "\n".join(map(visible, checked.lines())))
    raise typer.Exit(1 if checked.faults else 0)


def _decide(gold: str, answer: str, as_json: bool) -> int:
    """An answer without a box or tags is taken as it stands: on a command line it is one."""
    from paring.runtime.text import visible
    from paring.verifier import Gold, Verifier
    from paring.verifier.extraction import final_answer

    read = Gold.read(gold)
    text = answer if final_answer(answer) is not None else rf"\boxed{{{answer}}}"
    with Verifier() as verifier:
        (verdict,) = verifier.judge([(read, text)])
    if as_json:
        print(json.dumps({"correct": verdict.correct, "why": verdict.why, "answer": verdict.answer, "kind": read.kind}))
    else:
        print(visible(f"{verdict.why}: {verdict.answer} for {gold} ({read.kind})"))
    return 0 if verdict.correct else 1


def _decide_cases(path: Path, as_json: bool) -> int:
    from paring.runtime.text import visible
    from paring.verifier import Verifier
    from paring.verifier.cases import judge_cases, read_cases

    cases = read_cases(path)
    with Verifier() as verifier:
        differing = judge_cases(cases.judged, verifier)
    for case, verdict in differing:
        gold = " or ".join(gold.text for gold in case.golds)
        row = {"place": case.place, "gold": gold, "answer": verdict.answer, "why": verdict.why}
        expected = "right" if case.expected else "not right"
        words = f"{case.place}: {verdict.answer} for {gold} is {verdict.why}, and should be {expected}"
        print(json.dumps(row | {"expected": case.expected}) if as_json else visible(words))
    for place, reason in cases.left_out.items():
        print(json.dumps({"place": place, "left_out": reason}) if as_json else visible(f"{place}: left out: {reason}"))
    left_out = f", {len(cases.left_out)} left out" if cases.left_out else ""
    print(f"{len(cases.judged) - len(differing)} passed, {len(differing)} failed{left_out}")
    return 1 if differing else 0
