"""`paring eval`."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from paring.commands.shared import Checkpoint, Json, TaskSettings, one_of, parsed


def evaluate(
    subject: Annotated[str, typer.Argument(metavar="RUN_OR_MODEL", help="A run, model or PEFT adapter.")],
    overrides: TaskSettings = None,
    task: Annotated[
        str | None,
        typer.Option(help="Tasks, benchmarks or labels of a run's tasks: gsm8k,math500:100; by default the run's own."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many problems of each.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="Answers to each problem.")] = 1,
    temperature: Annotated[float, typer.Option(min=0, help="0 is greedy.")] = 0.0,
    top_p: Annotated[float, typer.Option(min=0, max=1, help="Draw among the likeliest tokens of this mass.")] = 1.0,
    top_k: Annotated[int, typer.Option(min=0, help="Draw among the k likeliest tokens; 0: all.")] = 0,
    min_p: Annotated[float, typer.Option(min=0, max=1, help="... among those of this share of the likeliest.")] = 0.0,
    stop: Annotated[
        list[str] | None, typer.Option(metavar="STRING", help="Ends an answer; may be given several times.")
    ] = None,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(min=1, help="Longest answer: of a run its own, else 4096, or 32768 of a model that thinks."),
    ] = None,
    system: Annotated[str | None, typer.Option(help="System prompt in the place of the task's; '' is none.")] = None,
    template_arguments: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Of the chat template: enable_thinking=false.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    compare: Annotated[str | None, typer.Option(metavar="OTHER", help="A second one: OTHER less the first.")] = None,
    data: Annotated[Path | None, typer.Option(help="DIR of DIR/gsm8k/test.jsonl ...; by default the hub.")] = None,
    style: Annotated[
        str | None, typer.Option(help="boxed, think-answer, or for gsm8k lm-eval; by default as trained.")
    ] = None,
    shots: Annotated[int | None, typer.Option(min=0, help="Worked examples before a benchmark's question.")] = None,
    broken: Annotated[str, typer.Option(help="Rows known to be broken: mend, keep or drop.")] = "mend",
    long: Annotated[str, typer.Option(help="Problems too long for the context: stop or skip.")] = "stop",
    rows: Annotated[int, typer.Option(min=1, help="Answers decoded at once.")] = 32,
    checkpoint: Checkpoint = None,
    server: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="A vLLM server that answers; may be given several times.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Keep everything here; go on with it, or add to it.")] = None,
    as_json: Json = False,
) -> None:
    """Measure a run, a model or an adapter on tasks and benchmarks."""
    one_of("--broken", broken, ("mend", "keep", "drop"))
    one_of("--long", long, ("stop", "skip"))
    from paring.evaluation.presentation import lines
    from paring.evaluation.request import request_of
    from paring.subjects.evaluate import evaluate_on

    request = request_of(
        subject=subject,
        compare=compare,
        tasks=tuple(name.strip() for name in (task or "").split(",") if name.strip()),
        task_settings={key.removeprefix("task."): value for key, value in parsed(overrides).items()},
        limit=limit,
        samples=samples,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        min_p=min_p,
        stop=tuple(stop or ()),
        max_new_tokens=max_new_tokens,
        system=system,
        template_arguments=parsed(template_arguments),
        style=style,
        shots=shots,
        broken=broken,
        long=long,
        data=None if data is None else str(data),
        seed=seed,
        rows=rows,
        checkpoint=checkpoint,
        server=tuple(server or ()),
    )
    done = evaluate_on(request, out)
    if done.results is None:
        kept = f"kept in {out}: the same command goes on" if out else "nothing was kept: give --out DIR to go on"
        print(f"stopped; {kept}", file=sys.stderr)
        raise typer.Exit(done.exit_code)
    print(json.dumps(done.results.for_scripts()) if as_json else "\n".join(lines(done.results)))
    if done.files and not as_json:
        print("\n".join(["", *(f"written to {path}" for path in done.files)]))
