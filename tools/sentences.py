"""How long the sentences of the pages are: python tools/sentences.py [--worst N] [PAGE ...]

Prints, for README.md and every docs/*.md, the count of sentences, their mean and greatest length in words, and the
share above 25 words. Exits with 1 where a page's mean is 18 words or more. Code blocks, tables, headings, images, list
markers and the targets of links do not count. A code span counts as one word, and a fragment of fewer than three words
is no sentence."""

import argparse
import re
import sys
from pathlib import Path

HOME = Path(__file__).resolve().parents[1]
TOO_LONG = 18
LONG = 25
FEWEST = 3
ABBREVIATIONS = ("e.g.", "i.e.", "eq.", "sec.", "cf.", "vs.", "Dr.", "fig.", "no.")
NOT_PROSE = re.compile(r"^(```.*?^```|\s*\|.*?$|#.*?$|<!--.*?-->)", re.MULTILINE | re.DOTALL)
IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
CODE = re.compile(r"(`+)(.+?)\1", re.DOTALL)
WORD = re.compile(r"`[^`]+`|[^\s`]*\w[^\s`]*")
BLOCK_START = re.compile(r"^\s*(?:[-*+]|\d+\.|>)\s+", re.MULTILINE)
SENTENCE_END = re.compile(r"[.!?][\"')*_”]*(?= |$)")


def blocks(markdown: str) -> list[str]:
    """The paragraphs and list items of a page, each on one line."""
    prose = NOT_PROSE.sub("\n", markdown)
    prose = LINK.sub(r"\1", IMAGE.sub("", prose))
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", BLOCK_START.sub("\n\n", prose))]


def sentences(markdown: str) -> list[str]:
    """The sentences of a page, in order."""
    found: list[str] = []
    for block in blocks(markdown):
        start = 0
        # A code span may hold what looks like an end: it is masked, letter by letter.
        for end in SENTENCE_END.finditer(CODE.sub(lambda span: "`" * len(span[0]), block)):
            if not block[start : end.end()].endswith(ABBREVIATIONS) and block[end.start() - 1] not in ". ":
                found.append(block[start : end.end()].strip())
                start = end.end()
        found.append(block[start:].strip())
    return [sentence for sentence in found if len(words(sentence)) >= FEWEST]


def words(sentence: str) -> list[str]:
    """What stands between spaces and has a letter or a digit in it, and code spans."""
    return WORD.findall(sentence)


def main() -> int:
    parser = argparse.ArgumentParser(description="How long the sentences of the pages are.")
    parser.add_argument("pages", nargs="*", type=Path, help="by default README.md and docs/*.md")
    parser.add_argument("--worst", type=int, default=0, metavar="N", help="print the N longest sentences of each page")
    options = parser.parse_args()
    pages = options.pages or [HOME / "README.md", *sorted(HOME.glob("docs/*.md"))]
    print(f"{'page':<24}{'sentences':>10}{'mean':>7}{'longest':>9}{'over ' + str(LONG):>9}")
    means = []
    for page in pages:
        found = sorted(sentences(page.read_text(encoding="utf-8")), key=lambda one: -len(words(one)))
        lengths = [len(words(sentence)) for sentence in found] or [0]
        means.append(sum(lengths) / len(lengths))
        share = sum(length > LONG for length in lengths) / len(lengths)
        name = page.resolve().relative_to(HOME) if page.resolve().is_relative_to(HOME) else page
        print(f"{name!s:<24}{len(found):>10}{means[-1]:>7.1f}{max(lengths):>9}{share:>9.0%}")
        for sentence in found[: options.worst]:
            print(f"    {len(words(sentence)):>3}  {sentence}")
    return int(max(means) >= TOO_LONG)


if __name__ == "__main__":
    sys.exit(main())
