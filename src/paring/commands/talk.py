"""`paring ask` and `paring chat`."""

import json
import shutil
import sys
from typing import Annotated

import typer

from paring.commands.shared import Json

Subject = Annotated[str, typer.Argument(metavar="RUN_OR_MODEL", help="A run, model or PEFT adapter.")]
Compare = Annotated[
    str | None, typer.Option(metavar="OTHER", help="A second one beside it; base: the model that it began with.")
]
Temperature = Annotated[float, typer.Option(min=0, help="0 is greedy.")]
Longest = Annotated[int | None, typer.Option(min=1, help="Longest answer in tokens; of a run, by default its own.")]
Seed = Annotated[int, typer.Option(min=0, help="Another seed, another answer above temperature 0.")]
System = Annotated[str | None, typer.Option(help="System message; of a run, by default that of its task.")]


def ask(
    subject: Subject,
    question: Annotated[str, typer.Argument(metavar="TEXT", help="What to ask.")],
    compare: Compare = None,
    temperature: Temperature = 0.0,
    max_new_tokens: Longest = None,
    seed: Seed = 0,
    system: System = None,
    as_json: Json = False,
) -> None:
    """Ask a run, a model or an adapter one question."""
    from paring.subjects.talking import Dialogue, answers_text, open_talkers

    talkers = open_talkers(subject, compare)
    answers = Dialogue(talkers, temperature, max_new_tokens, seed, system).say(question)
    if as_json:
        rows = [
            {"name": talker.name, "answer": answer.text, "tokens": len(answer.tokens), "ended": answer.ended}
            for talker, answer in zip(talkers, answers, strict=True)
        ]
        print(json.dumps({"question": question, "answers": rows}))
    else:
        print(answers_text(talkers, answers, shutil.get_terminal_size().columns))


def chat(
    subject: Subject,
    compare: Compare = None,
    temperature: Temperature = 0.0,
    max_new_tokens: Longest = None,
    seed: Seed = 0,
    system: System = None,
) -> None:
    """Talk to a run, a model or an adapter. /new begins anew, /quit or the end of input ends."""
    from paring.subjects.talking import Dialogue, answers_text, open_talkers

    talkers = open_talkers(subject, compare)
    conversation = Dialogue(talkers, temperature, max_new_tokens, seed, system)
    print("/new begins anew, /quit ends", file=sys.stderr)
    while (text := _line()) not in (None, "/quit"):
        if text == "/new":
            conversation.begin_anew()
        elif text:
            try:
                print(answers_text(talkers, conversation.say(text), shutil.get_terminal_size().columns))
            except ValueError as error:
                print(f"error: {error}", file=sys.stderr)


def _line() -> str | None:
    """The line that the user typed; None at the end of input or at Ctrl-C."""
    try:
        return input("> " if sys.stdin.isatty() else "").strip()
    except (EOFError, KeyboardInterrupt):
        return None
