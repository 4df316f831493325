"""A report as Markdown: sentences and tables, for an issue, a mail or a repository."""

from collections.abc import Sequence

from paring.reporting.passages import Section
from paring.runtime.tables import escaped


def as_markdown(title: str, question: str, sections: Sequence[Section]) -> str:
    """Every text that comes from a folder is escaped. Figures, answers of models among them, stand on the page only."""
    lines = [f"# {escaped(title)}", *(["", f"> {escaped(question)}"] if question else [])]
    for section in sections:
        passages = [passage for passage in section.passages if not passage.figures]
        lines += ["", f"## {section.title}"] if passages else []
        for passage in passages:
            lines += ["", f"### {escaped(passage.title)}"] if passage.title else []
            lines += [line for sentence in passage.sentences for line in ("", escaped(sentence))]
            lines += ["", escaped(passage.fold)] if passage.fold else []
            lines += ["", *passage.table.as_markdown()] if passage.table else []
    return "\n".join(lines) + "\n"
