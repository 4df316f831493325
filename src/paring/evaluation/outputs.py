"""The files that an evaluation leaves: results as JSON, Markdown and HTML, and what the hub takes."""

import html
import json
from pathlib import Path

from paring.evaluation.hub import model_card, result_files
from paring.evaluation.presentation import tables
from paring.evaluation.results import Results
from paring.runtime.files import write_durably

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #8884; }
th:first-child { text-align: left; font-weight: 500; }
li { font-size: .87rem; }
"""


def write_outputs(folder: Path, results: Results) -> list[Path]:
    """Write all of them into `folder`, each complete or as it was. Raises OSError."""
    texts = {
        "results.json": json.dumps(results.as_plain(), indent=2, allow_nan=False) + "\n",
        "results.md": "\n\n".join(table.as_markdown() for table in tables(results)) + "\n",
        "results.html": page(results),
        "model-card.md": model_card(results),
    }
    texts |= {f".eval_results/{name}": text for name, text in result_files(results).items()}
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        write_durably(path, text.encode("utf-8", "backslashreplace"))
    return [folder / name for name in texts]


def page(results: Results) -> str:
    """One self-contained page without script, whose policy allows no request; every text in it is escaped."""
    sections = "\n".join(table.as_html() for table in tables(results))
    settings = html.escape(json.dumps(results.as_plain() | {"tasks": None}, indent=2))
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Evaluation</title>\n<style>{STYLE}</style></head>\n<body>\n<h1>Evaluation</h1>\n{sections}\n"
        f"<details><summary>What was asked</summary><pre>{settings}</pre></details>\n</body>\n</html>\n"
    )
