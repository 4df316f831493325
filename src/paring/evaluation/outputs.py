"""The files that an evaluation leaves: results as JSON, Markdown and HTML, and what the Hugging Face hub takes."""

import html
import json
from pathlib import Path

from huggingface_hub import EvalResultEntry, ModelCardData, eval_result_entries_to_yaml
from huggingface_hub.utils import yaml_dump

from paring.evaluation.benchmarks.benchmark import Benchmark
from paring.evaluation.benchmarks.catalogue import benchmark_named
from paring.evaluation.presentation import tables
from paring.evaluation.results import Results
from paring.runtime.files import write_durably
from paring.runtime.page import page
from paring.runtime.tables import escaped, plain_html
from paring.runtime.text import percent_interval

STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; text-align: left; white-space: nowrap; border-bottom: 1px solid #8884; }
.n { text-align: right; }
li { font-size: .87rem; }
"""
MISSING = ("its name and licence", "what it was trained on, and how", "what it is for, and what it is not for")
"""Parts of a model card that only its author can write."""


def write_outputs(folder: Path, results: Results) -> list[Path]:
    """Write all of them into `folder`, each complete or as it was. Raises OSError."""
    shown, plain = tables(results), results.as_plain()
    markdown = "\n\n".join("\n".join([f"## {escaped(table.title)}", "", *table.as_markdown()]) for table in shown)
    sections = [f"<section><h2>{plain_html(table.title)}</h2>\n{table.as_html()}</section>" for table in shown]
    settings = html.escape(json.dumps(plain | {"tasks": None}, indent=2))
    request = f"<details><summary>The request</summary><pre>{settings}</pre></details>"
    texts = {
        "results.json": json.dumps(plain, indent=2, allow_nan=False) + "\n",
        "results.md": markdown + "\n",
        "results.html": page("Evaluation", "\n".join(["<h1>Evaluation</h1>", *sections, request]), STYLE),
        "model-card.md": _model_card(results, markdown),
    }
    texts |= {f".eval_results/{name}": text for name, text in _result_files(results).items()}
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        write_durably(path, text.encode("utf-8", "backslashreplace"))
    return [folder / name for name in texts]


def _result_files(results: Results) -> dict[str, str]:
    """A YAML file for each benchmark that has a data set on the hub: accuracy in per cent, and how it was measured.

    The hub shows an entry where the data set has registered itself as a benchmark with a task of this id
    (https://huggingface.co/docs/hub/eval-results)."""
    files = {}
    for about, one in ((task.about, task.evaluation) for task in results.tasks):
        benchmark = benchmark_named(one.task)
        if isinstance(benchmark, Benchmark) and benchmark.hub is not None and about.title == benchmark.title:
            notes = (
                f"{results.request.how}, answers of at most {about.max_new_tokens} tokens, {about.style} prompts, "
                f"{about.shots} shots, {one.problems} of {benchmark.rows} problems, 95 % interval "
                f"{percent_interval(*one.interval)}; paring"
            )
            value = round(100 * one.accuracy, 2)
            entry = EvalResultEntry(dataset_id=benchmark.hub.name, task_id=one.task, value=value, notes=notes)
            files[f"{one.task}.yaml"] = yaml_dump(eval_result_entries_to_yaml([entry]))
    return files


def _model_card(results: Results, tables: str) -> str:
    """A draft: what was measured is filled in, what only its author knows is named as missing."""
    data = ModelCardData(base_model=results.base, tags=["paring"], license=None)
    missing = "\n".join(f"- [ ] {part}" for part in MISSING)
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    return (
        f"---\n{data.to_yaml()}\n---\n\n# Model card (draft)\n\nTo be written by the author:\n\n{missing}\n\n"
        f"# Evaluation\n\nMeasured by `paring eval` ({versions}).\n\n{tables}\n"
    )
