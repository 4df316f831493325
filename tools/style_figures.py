"""Give the figures of docs/ their style: a title for screen readers, and colours for light and dark.

python tools/style_figures.py [FIGURE.svg ...]

The title is the alternative text of the page that shows the figure. Charts get the colours of a report's page, which
follow the reader's setting, and no ground of their own. Maps, whose colours have a meaning, stand on white."""

import html
import re
import sys
from pathlib import Path

from paring.reporting.web_page import TEMPLATES

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "docs" / "figures"
CYCLE = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b")
"""The first colours of matplotlib, in the order of a page's curves."""
COLOUR = re.compile(r"--(ink|c\d): (#\w+)")


def titles() -> dict[str, str]:
    """File name -> alternative text, from the pages."""
    pages = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
    shown = r"!\[([^\]]+)\]\((?:docs/)?figures/([\w-]+\.svg)\)"
    return {name: text for page in pages for text, name in re.findall(shown, page.read_text(encoding="utf-8"))}


def styled(svg: str, title: str, *, is_map: bool) -> str:
    """The figure with its title and style; the same again where it has them."""
    svg = re.sub(r"<title>.*?</title>\n|<style id=\"scheme\">.*?</style>\n", "", svg, flags=re.DOTALL)
    head = f"<title>{html.escape(title)}</title>\n"
    if not is_map:
        css = (TEMPLATES / "page.css").read_text(encoding="utf-8")
        light, dark = (dict(COLOUR.findall(block)) for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)[:2])
        rules = [
            f"svg {{ color: {one['ink']}; fill: {one['ink']}; "
            + " ".join(f"--c{number}: {one[f'c{number}']};" for number in range(len(CYCLE)))
            + " }"
            for one in (light, dark)
        ]
        head += f'<style id="scheme">{rules[0]} @media (prefers-color-scheme: dark) {{ {rules[1]} }}</style>\n'
        svg = svg.replace("fill: #ffffff", "fill: none").replace("#000000", "currentColor")
        svg = re.sub(r"#(262626|333333)\b", "currentColor", svg)
        for number, colour in enumerate(CYCLE):
            svg = svg.replace(colour, f"var(--c{number})")
    svg = re.sub(r"<svg (?!role)", '<svg role="img" ', svg, count=1)
    return re.sub(r"(<svg [^>]*>\n?)", lambda found: found[1] + head, svg, count=1)


def main() -> None:
    known = titles()
    figures = [Path(name) for name in sys.argv[1:]] or [FIGURES / name for name in known]
    for figure in figures:
        text = styled(figure.read_text(encoding="utf-8"), known[figure.name], is_map="map" in figure.stem)
        figure.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
