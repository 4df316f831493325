"""The command line: `paring`, or `python -m paring`. Nothing heavy is imported here: `paring --help` is instant."""

import sys
import warnings
from typing import Annotated

import typer

from paring import __version__
from paring.commands.compare import compare
from paring.commands.doctor import doctor
from paring.commands.evaluate import evaluate
from paring.commands.export import export
from paring.commands.fetch import fetch
from paring.commands.filter import filter as filter_command
from paring.commands.gc import gc
from paring.commands.launch import launch
from paring.commands.plan import plan
from paring.commands.push import push
from paring.commands.ranks import ranks
from paring.commands.recipes import recipes
from paring.commands.report import report
from paring.commands.rerun import rerun
from paring.commands.runs import runs
from paring.commands.samples import samples
from paring.commands.serve import serve
from paring.commands.shared import TakesSettings, in_words
from paring.commands.study import study
from paring.commands.talk import ask, chat
from paring.commands.train import train
from paring.commands.verify import reward_check, verify
from paring.commands.watch import watch
from paring.runtime.text import one_line
from paring.settings.guard import end_in_time

COMMANDS = (
    *(train, study, runs, watch, compare, report, samples, ranks),
    *(evaluate, filter_command, ask, chat, serve, export, push),
    *(verify, reward_check, plan, launch, recipes, fetch),
    *(rerun, doctor, gc),
)
HELP = "Train language models by reinforcement learning on verifiable rewards, or supervised, on low-rank adapters."

app = typer.Typer(
    epilog="Start with:  paring train quickstart",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in COMMANDS:
    takes_settings = TakesSettings if command in (train, plan, launch, serve, evaluate, filter_command) else None
    app.command("eval" if command is evaluate else None, cls=takes_settings)(in_words(command))


def _show_version(asked: bool) -> None:
    if asked:
        print(f"paring {__version__}")
        raise typer.Exit()


@app.callback(help=HELP)
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options before the command."""


def _one_line_warning(message: Warning | str, *_: object) -> None:
    print(f"note: {one_line(str(message))}", file=sys.stderr)


def main() -> None:
    warnings.showwarning = _one_line_warning
    try:
        app(prog_name="paring")
    except SystemExit as end:
        end_in_time(end.code if isinstance(end.code, int) else 0)
        raise
