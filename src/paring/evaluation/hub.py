"""What the Hugging Face hub takes: `.eval_results/*.yaml`, and the draft of a model card."""

from huggingface_hub import EvalResultEntry, ModelCardData, eval_result_entries_to_yaml
from huggingface_hub.utils import yaml_dump

from paring.evaluation.benchmarks.benchmark import Benchmark
from paring.evaluation.benchmarks.catalogue import benchmark_named
from paring.evaluation.presentation import tables
from paring.evaluation.results import Results


def result_files(results: Results) -> dict[str, str]:
    """A YAML file for each benchmark that has a data set on the hub: accuracy in per cent, and how it was measured.

    The hub shows an entry where the data set has registered itself as a benchmark with a task of this id
    (https://huggingface.co/docs/hub/eval-results)."""
    files = {}
    for task, summary in results.summaries.items():
        benchmark = benchmark_named(task)
        if isinstance(benchmark, Benchmark) and benchmark.hub is not None and "style" in results.about[task]:
            about = results.about[task]
            notes = f"{results.asked.how}, {about['style']} prompts, {about['shots']} shots, "
            notes += f"{summary.problems} of {benchmark.rows} problems, 95 % interval {summary.accuracy}; paring"
            value = round(100 * summary.accuracy.value, 2)
            entry = EvalResultEntry(dataset_id=benchmark.hub.name, task_id=task, value=value, notes=notes)
            files[f"{task}.yaml"] = yaml_dump(eval_result_entries_to_yaml([entry]))
    return files


def model_card(results: Results) -> str:
    """A draft: what was measured is filled in, what only its author knows is named as missing."""
    data = ModelCardData(base_model=results.base, tags=["paring"], license=None)
    missing = "\n".join(
        f"- [ ] {what}"
        for what in (
            "its name and licence",
            "what it was trained on, and how",
            "what it is for, and what it is not for",
        )
    )
    measured = "\n\n".join(table.as_markdown() for table in tables(results))
    told = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    return (
        f"---\n{data.to_yaml()}\n---\n\n# Model card (draft)\n\nTo be written by the author:\n\n{missing}\n\n"
        f"# Evaluation\n\nMeasured by `paring eval` ({told}).\n\n{measured}\n"
    )
