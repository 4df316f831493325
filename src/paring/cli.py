"""The command line. Everything heavy is imported inside the command that needs it: `paring --help` is instant."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from paring.commands.compare import compare
from paring.commands.evaluate import evaluate
from paring.commands.report import report
from paring.commands.shared import Debug, Json, Overrides, errors_in_words, one_of, parsed
from paring.commands.study import study
from paring.commands.verify import reward_check, verify

app = typer.Typer(
    help="Post-train language models by RGRA or supervised, on low-rank adapters, with nothing they do not need.",
    epilog="Start with:  paring train quickstart",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command()
def train(
    recipe: Annotated[str | None, typer.Argument(help="A recipe's name or a TOML file; see `paring recipes`.")] = None,
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; by default a new one in runs/.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the run in this folder.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, show it, and write nothing.")] = False,
    debug: Debug = False,
) -> None:
    """Post-train a model as a recipe says."""
    if recipe is not None and "=" in recipe and resume is not None:
        recipe, overrides = None, [recipe, *(overrides or [])]
    if resume is None and (recipe is None or "=" in recipe):
        raise typer.BadParameter("name a recipe, such as quickstart, or --resume a run; see `paring recipes`")
    if resume is not None and out is not None:
        raise typer.BadParameter("--resume goes on in the run's own folder: leave --out away")
    with errors_in_words(debug):
        from paring.config import load_run
        from paring.training.folder import RunFolder, check_free, free_folder
        from paring.training.method import preview
        from paring.training.method import train as train_run
        from paring.training.progress import check_same_run

        folder = resume or out or free_folder(Path(recipe).stem)
        run = load_run(recipe or RunFolder(folder).existing_recipe(), **parsed(overrides))
        if dry_run:
            check_same_run(RunFolder(folder), run) if resume else check_free(folder)
            print(preview(run))
            return
        result = train_run(run, folder, resume=resume is not None)
        print(result)
        raise typer.Exit(result.exit_code)


app.command()(study)
app.command()(compare)
app.command()(report)
app.command()(verify)
app.command("reward-check")(reward_check)


@app.command()
def plan(
    recipe: Annotated[str, typer.Argument(help="A recipe's name or a TOML file; see `paring recipes`.")],
    overrides: Overrides = None,
    memory: Annotated[float | None, typer.Option(min=0.1, help="GB to plan for; by default this machine's.")] = None,
    kind: Annotated[str | None, typer.Option(help="full, lora, l1ra or l1ra-reference; by default the run's.")] = None,
    find: Annotated[str | None, typer.Option(help="batch or rank: also the largest that fits.")] = None,
    prompt: Annotated[int | None, typer.Option(min=1, help="Tokens of a prompt; by default 128.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Estimate a run's peak memory by part, say whether it fits, and what to change."""
    with errors_in_words(debug):
        one_of("--kind", kind, ("full", "lora", "l1ra", "l1ra-reference"))
        one_of("--find", find, ("batch", "rank"))
        from paring.config import load_run
        from paring.planning.plan import plan as plan_run
        from paring.planning.table import lines

        run = load_run(recipe, **parsed(overrides))
        planned = plan_run(run, memory_gb=memory, kind=kind, find=find, prompt=prompt)
        print(json.dumps(planned.as_plain()) if as_json else "\n".join(lines(planned)))


app.command("eval")(evaluate)


@app.command()
def recipes(
    name: Annotated[str | None, typer.Argument(help="Print this one as TOML, to start your own from.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List the recipes, or print one."""
    with errors_in_words(debug):
        from paring.recipes import described, read_recipe, recipe_text

        if name is not None:
            print(json.dumps(read_recipe(name)) if as_json else recipe_text(name), end="\n" if as_json else "")
        elif as_json:
            print(json.dumps(described()))
        else:
            width = max(map(len, described()))
            print("\n".join(f"{recipe:<{width}}  {text}" for recipe, text in described().items()))
            print("\nprint one:  paring recipes quickstart > mine.toml    train with it:  paring train mine.toml")


@app.command()
def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, or a PEFT adapter's.")],
    to: Annotated[Path, typer.Option(help="The folder to write.")],
    merged: Annotated[bool, typer.Option("--merged", help="A whole model, not an adapter beside its base.")] = False,
    portable: Annotated[
        bool, typer.Option("--portable", help="All modules padded to one rank, for SGLang and llama.cpp.")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a run's adapter, or its merged model, for PEFT or vLLM."""
    if merged and portable:
        raise typer.BadParameter("--merged writes no adapter that could be --portable: choose one")
    with errors_in_words(debug):
        from paring.subject import engine_note
        from paring.subject import export as write

        folder = write(run, to, merged=merged, layout="portable" if portable else "compact")
        kind, note = ("model", None) if merged else ("adapter", engine_note(folder))
        if note is not None:
            print(f"note: {note}", file=sys.stderr)
        print(json.dumps({"folder": str(folder), "kind": kind}) if as_json else f"{kind} written to {folder}")


@app.command()
def samples(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    step: Annotated[int | None, typer.Option(min=1, help="Answers of this step; by default of the last.")] = None,
    worst: Annotated[bool, typer.Option("--worst", help="Lowest reward first.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many answers.")] = 8,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show the answers that a run sampled, and their rewards."""
    with errors_in_words(debug):
        from paring.report.samples import as_text, choose

        rows = choose(run, step=step, worst=worst, limit=limit)
        print(json.dumps(rows) if as_json else as_text(rows))


@app.command()
def ranks(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    figures: Annotated[Path | None, typer.Option(help="Write figures (SVG) into this folder.")] = None,
    png: Annotated[bool, typer.Option("--png", help="Write the figures as PNG too.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show where a run's ranks went, by module type and depth, and what each rank event did."""
    if png and figures is None:
        raise typer.BadParameter("--png says how figures are written: give --figures DIR too")
    with errors_in_words(debug):
        from paring.report.rank_figures import write_figures
        from paring.report.rank_plain import as_plain
        from paring.report.rank_words import as_text, next_steps
        from paring.report.ranks import read_ranks

        found = read_ranks(run)
        written = [str(path) for path in write_figures(found, figures, png=png)] if figures else []
        if as_json:
            print(json.dumps(as_plain(found) | {"figures": written}))
        else:
            print(
                "\n".join(
                    [
                        as_text(found),
                        "",
                        *(f"written to {path}" for path in written),
                        *next_steps(found, figures=bool(written)),
                    ]
                )
            )


def main() -> None:
    app(prog_name="paring")
