"""Write docs/metrics.md from the journal's glossary: python tools/write_glossary.py"""

from pathlib import Path

from paring.runtime.glossary import METRICS, explain

PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"


def page() -> str:
    rows = "\n".join(f"| `{name}` | {explain(name)} |" for name in METRICS)
    return (
        "# Metrics\n\n"
        "Every name that can stand in a run's `metrics.jsonl`, one JSON object a step. An unknown name is an error, so "
        "this list is complete. Numbers that are not finite are written as `null` and listed under `nonfinite`.\n"
        "This page is written by `tools/write_glossary.py`.\n\n"
        f"| name | meaning |\n|---|---|\n{rows}\n"
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
