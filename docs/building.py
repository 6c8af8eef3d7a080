"""What `mkdocs build` does beyond Markdown: pages from code, files from above `docs`, mathematics.

Equations become MathML here, so that a page needs no script and no network to show them.
"""

import html
import os
import re
from posixpath import dirname, join, normpath, relpath
from types import ModuleType
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

from filtergan.cli.arguments import commands_of, parser
from filtergan.config.fields import StudyConfig
from filtergan.measures import registry
from filtergan.measures.definition import Measure

ABOVE = {
    "README.md": "index.md",
    "RESULTS.md": "results/index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Pages of the repository that lie above `docs`, and their place in the site."""

_LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
_EQUATION = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages above `docs`, and the figures of the records that pages show."""
    for source, place in ABOVE.items():
        if place not in files.src_uris:
            files.append(File.generated(config, place, abs_src_path=os.path.abspath(source)))
    for page in list(files.documentation_pages()):
        for _, target, _ in _LINK.findall(page.content_string):
            figure = normpath(join(_folder(page.src_uri), target))
            if figure.startswith("results/") and figure.endswith(".png"):
                place = os.path.abspath(figure)
                if os.path.exists(place) and figure not in files.src_uris:
                    files.append(File.generated(config, figure, abs_src_path=place))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links as the site has them, and what is written from the code."""
    here = page.file.src_uri

    def moved(link: re.Match[str]) -> str:
        start, target, end = link.groups()
        if "://" in target:
            return link[0]
        place = normpath(join(_folder(here), target))
        place = ABOVE.get(place, place.removeprefix("docs/"))
        return start + relpath(place, dirname(here) or ".") + end

    markdown = _LINK.sub(moved, markdown)
    markdown = markdown.replace("<!-- every measure -->", measures())
    return markdown.replace("<!-- every command -->", commands())


def on_page_content(html: str, **_: Any) -> str:
    """Equations as MathML."""
    return _EQUATION.sub(_mathml, html)


def measures() -> str:
    """Every measure of the registry in Markdown, by the module that defines it."""
    return "\n".join(_of_module(module) for module in registry.MODULES)


def commands() -> str:
    """The help of every command in Markdown."""
    os.environ["COLUMNS"] = "88"  # argparse asks
    found = commands_of(parser(StudyConfig()))
    return "\n".join(f"## {name}\n\n```text\n{c.format_help()}```\n" for name, c in found.items())


def _folder(place: str) -> str:
    """Folder of a page in the repository."""
    sources = {new: old for old, new in ABOVE.items() if new != "index.md"}
    return dirname(sources.get(place, f"docs/{place}"))


def _of_module(module: ModuleType) -> str:
    title = (module.__doc__ or "").splitlines()[0].rstrip(".")
    rows = "\n".join(_row(measure) for measure in module.MEASURES)
    return f"## {title}\n\n| measure | means | reads |\n|---|---|---|\n{rows}\n"


def _row(measure: Measure) -> str:
    ends = ["" if end is None else f"{end:g}" for end in (measure.low, measure.high)]
    reads = [f"{measure.better} is better" if measure.better != "neither" else "no better or worse"]
    if any(ends):
        reads.append(f"from {ends[0] or '-∞'} to {ends[1] or '∞'}")
    reads.append(f"unit: {measure.unit}")
    if measure.null_meaning:
        reads.append(f"null: {measure.null_meaning}")
    reads.append(f"source: {measure.source}")
    cells = (f"`{measure.name}`", measure.meaning, "; ".join(reads))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _mathml(found: re.Match[str]) -> str:
    tag, equation = found[1], html.unescape(found[2])
    equation, number = re.sub(r"\\tag\{.*?\}", "", equation), re.search(r"\\tag\{(.*?)\}", equation)
    equation = equation.replace(r"\arg\min", r"\operatorname{argmin}")  # not known to it
    equation = re.sub(r"\\Big[lr](?=\\[lr]Vert)", "", equation)  # nor these together
    shown = convert(equation, display="block" if tag == "div" else "inline")
    if tag == "span":
        return shown
    written = f'<span class="number">({number[1]})</span>' if number else ""
    return f'<div class="equation">{shown}{written}</div>'
