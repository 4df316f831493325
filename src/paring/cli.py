"""The command line: `paring`, or `python -m paring`. Nothing heavy is imported here: `paring --help` is instant."""

import typer

from paring.commands.compare import compare
from paring.commands.evaluate import evaluate
from paring.commands.export import export
from paring.commands.plan import plan
from paring.commands.ranks import ranks
from paring.commands.recipes import recipes
from paring.commands.report import report
from paring.commands.samples import samples
from paring.commands.study import study
from paring.commands.train import train
from paring.commands.verify import reward_check, verify

COMMANDS = {
    "train": train,
    "study": study,
    "compare": compare,
    "report": report,
    "verify": verify,
    "reward-check": reward_check,
    "plan": plan,
    "eval": evaluate,
    "recipes": recipes,
    "export": export,
    "samples": samples,
    "ranks": ranks,
}

app = typer.Typer(
    help="Train language models by reinforcement learning on verifiable rewards, or supervised, on low-rank adapters.",
    epilog="Start with:  paring train quickstart",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for name, command in COMMANDS.items():
    app.command(name)(command)


def main() -> None:
    app(prog_name="paring")
