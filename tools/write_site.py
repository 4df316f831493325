"""Write what only the site has: api.md, from docstrings, and llms.txt, the index for language models.

python tools/write_site.py FOLDER
"""

import inspect
import re
import sys
from pathlib import Path

import paring

DOCS = Path(__file__).parents[1] / "docs"
ROW = re.compile(r"^\| \[[^\]]+\]\(([\w-]+\.md)\) \| (.*) \|$", re.MULTILINE)


def api() -> str:
    """The page of the public names, each with its signature and its docstring as it stands in the code."""
    head = (
        "This page is written by `tools/write_site.py` from the docstrings. What they promise: [python.md](python.md)."
    )
    parts = [f"# Public names\n\n{head}"]
    for name in sorted(set(paring.__all__) - {"__version__"}):
        value = getattr(paring, name)
        signature = "" if inspect.isclass(value) else re.sub(r" at 0x[0-9a-f]+", "", str(inspect.signature(value)))
        code = "\n".join([f"{name}{signature}", "", *(inspect.getdoc(value) or "").splitlines()]).rstrip()
        methods = inspect.getmembers(value, inspect.isfunction) if inspect.isclass(value) else []
        own = [(one, inspect.getdoc(function)) for one, function in methods if not one.startswith("_")]
        lines = [f"- `{one}`: {' '.join(words.split())}" for one, words in own if words]
        parts.append(f"## {name}\n\n```text\n{code}\n```" + ("\n\n" + "\n".join(lines) if lines else ""))
    return "\n\n".join(parts) + "\n"


def llms() -> str:
    """The pages by the index of docs/README.md, as llmstxt.org has it."""
    rows = ROW.findall((DOCS / "README.md").read_text(encoding="utf-8"))
    assert paring.__doc__
    summary = paring.__doc__.splitlines()[0]
    return f"# paring\n\n> {summary}\n\n## Pages\n\n" + "".join(
        f"- [{page}]({page}): {words}\n" for page, words in rows
    )


PAGES = {"api.md": api, "llms.txt": llms}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (Path(sys.argv[1]) / name).write_text(page(), encoding="utf-8")
