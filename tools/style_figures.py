"""Give the figures of docs/ their style: a title for screen readers, and colours for light and dark.

python tools/style_figures.py [FIGURE.svg ...]

The title is the alternative text of the page that shows the figure. Figures follow the reader's setting, and have no
ground of their own. Charts get the colours of a report's page. The colours of maps have a meaning: in the dark they
keep their hue, and light and dark change places."""

import base64
import colorsys
import html
import io
import re
import sys
from pathlib import Path

from matplotlib import pyplot

from paring.reporting.web_page import TEMPLATES

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "docs" / "figures"
CYCLE = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b")
"""The first colours of matplotlib, in the order of a page's curves."""
COLOUR = re.compile(r"--(ink|c\d): (#\w+)")
HEX = re.compile(r"#([0-9a-f]{6})\b")
IMAGE = re.compile(r'<image (?:class="light" )?(?P<before>[^>]*?base64,)(?P<data>[^"]+)(?P<after>"[^>]*/>)')
DARKEST, LIGHTEST = 0.09, 0.9
"""The lightness, 0 to 1, of a map's white and black in the dark: those of the page's ground and ink, about."""


def titles() -> dict[str, str]:
    """File name -> alternative text, from the pages."""
    pages = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
    shown = r"!\[([^\]]+)\]\((?:docs/)?figures/([\w-]+\.svg)\)"
    return {name: text for page in pages for text, name in re.findall(shown, page.read_text(encoding="utf-8"))}


def styled(svg: str, title: str, *, is_map: bool) -> str:
    """The figure with its title and style; the same again where it has them."""
    svg = re.sub(r"<title>.*?</title>\n|<style id=\"scheme\">.*?</style>\n", "", svg, flags=re.DOTALL)
    css = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    light, dark = (dict(COLOUR.findall(block)) for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)[:2])
    rules = [f"color: {one['ink']}; fill: {one['ink']};" for one in (light, dark)]
    svg = map_coloured(svg) if is_map else chart_coloured(svg)
    for name in sorted(set(re.findall(r"var\((--[\w-]+)\)", svg))):
        number = name.removeprefix("--")
        pair = (light[number], dark[number]) if number in light else (f"#{number[2:]}", darkened(number[2:]))
        rules = [f"{rule} {name}: {colour};" for rule, colour in zip(rules, pair, strict=True)]
    hidden = " .dark { display: none }" if "<image" in svg else ""
    in_the_dark = " .light { display: none } .dark { display: inline }" if hidden else ""
    sheet = f"svg {{ {rules[0]} }}{hidden} @media (prefers-color-scheme: dark) {{ svg {{ {rules[1]} }}{in_the_dark} }}"
    head = f'<title>{html.escape(title)}</title>\n<style id="scheme">{sheet}</style>\n'
    svg = re.sub(r"<svg (?!role)", '<svg role="img" ', svg, count=1)
    return re.sub(r"(<svg [^>]*>\n?)", lambda found: found[1] + head, svg, count=1)


def chart_coloured(svg: str) -> str:
    """The cycle of matplotlib in the colours of a page; black and greys in that of its text."""
    svg = svg.replace("fill: #ffffff", "fill: none").replace("#000000", "currentColor")
    svg = re.sub(r"#(262626|333333)\b", "currentColor", svg)
    for number, colour in enumerate(CYCLE):
        svg = svg.replace(colour, f"var(--c{number})")
    return svg


def map_coloured(svg: str) -> str:
    """Each colour by a name that has its value in both schemes, and each image twice."""
    svg = re.sub(r'(<g id="patch_1">.*?)fill: #ffffff', r"\1fill: none", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r'<image class="dark" [^>]*/>\n?', "", svg)
    svg = IMAGE.sub(
        lambda found: (
            f'<image class="light" {found["before"]}{found["data"]}{found["after"]}\n'
            f'<image class="dark" {found["before"]}{_darkened_png(found["data"])}{found["after"]}'
        ),
        svg,
    )
    return HEX.sub(r"var(--m-\1)", svg)


def darkened(colour: str) -> str:
    """The same hue and saturation, with light and dark exchanged: "ffffff" -> "#171717"."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*(part / 255 for part in bytes.fromhex(colour)))
    lightness = LIGHTEST - (LIGHTEST - DARKEST) * lightness
    return "#" + bytes(round(255 * part) for part in colorsys.hls_to_rgb(hue, lightness, saturation)).hex()


def _darkened_png(data: str) -> str:
    image = pyplot.imread(io.BytesIO(base64.b64decode(data)), format="png")
    for row in image:
        for pixel in row:
            colour = bytes(round(255 * part) for part in pixel[:3]).hex()
            pixel[:3] = [part / 255 for part in bytes.fromhex(darkened(colour)[1:])]
    saved = io.BytesIO()
    pyplot.imsave(saved, image, format="png")
    return "\n" + base64.b64encode(saved.getvalue()).decode("ascii")


def main() -> None:
    known = titles()
    figures = [Path(name) for name in sys.argv[1:]] or [FIGURES / name for name in known]
    for figure in figures:
        text = styled(figure.read_text(encoding="utf-8"), known[figure.name], is_map="map" in figure.stem)
        figure.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
