"""docs/metrics.md says what the journal's glossary says."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_is_what_the_glossary_gives():
    spec = importlib.util.spec_from_file_location("write_glossary", ROOT / "tools" / "write_glossary.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run python tools/write_glossary.py"
