"""The pages are built without a warning, fetch nothing, and leave out nothing that is public."""

import importlib.util
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from playwright.sync_api import Browser, expect
from visiting import PATIENCE

import filtergan
from filtergan.cli.arguments import commands_of, parser
from filtergan.config.fields import StudyConfig
from filtergan.measures.registry import REGISTRY

ROOT = Path(__file__).parents[1]
MISSING = [name for name in ("mkdocs", "material", "mkdocstrings", "latex2mathml")
           if importlib.util.find_spec(name) is None]  # fmt: skip
BUILT = pytest.mark.skipif(bool(MISSING), reason=f"extra `docs` is not installed: {MISSING}")


class Fetched(HTMLParser):
    """Addresses that a page makes a browser fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "link" and given.get("rel") not in ("canonical", "prev", "next"):
            self.addresses.append(given.get("href") or "")
        if tag in ("script", "img", "iframe") and given.get("src"):
            self.addresses.append(given["src"] or "")

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(page: Path) -> Fetched:
    found = Fetched()
    found.feed(page.read_text())
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, built strictly."""
    out = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return out


@BUILT
@pytest.mark.slow
def test_pages_fetch_nothing_from_elsewhere_and_miss_nothing(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        for address in read(page).addresses:
            if page.name == "404.html" or address.startswith("data:"):
                continue  # that one has absolute addresses, as it is shown anywhere
            assert "//" not in address, (page.name, address)
            place = unquote(re.sub(r"[?#].*", "", address))
            assert (page.parent / place).exists(), (page.name, address)


@BUILT
@pytest.mark.slow
@pytest.mark.browser
def test_the_search_runs_from_files(site: Path, browser: Browser) -> None:
    page = browser.new_page(offline=True)
    page.set_default_timeout(PATIENCE)
    page.goto((site / "index.html").as_uri())
    page.get_by_role("textbox", name="Search").fill("repeatability")
    found = page.locator(".md-search-result__item").first
    expect(found).to_contain_text("repeatability", ignore_case=True)
    page.close()


@BUILT
@pytest.mark.slow
def test_every_equation_is_shown_without_a_script(site: Path) -> None:
    source = (ROOT / "docs" / "method.md").read_text()
    page = (site / "method.html").read_text()
    assert page.count('class="equation"') == source.count("```math")
    assert not re.search(r"<m\w+>\\[a-zA-Z]", page)  # a command that was not understood
    for number in range(1, 14):
        assert f'<span class="number">({number})</span>' in page
    for page in site.rglob("*.html"):
        assert 'class="arithmatex"' not in page.read_text(), page.name


@BUILT
@pytest.mark.slow
def test_every_command_and_every_measure_has_a_place(site: Path) -> None:
    commands = {found.strip() for found in read(site / "commands.html").text}
    assert set(commands_of(parser(StudyConfig()))) <= commands
    measures = {found.strip() for found in read(site / "measures.html").text}
    assert set(REGISTRY) <= measures


@BUILT
@pytest.mark.slow
def test_every_public_name_has_its_help(site: Path) -> None:
    page = (site / "api.html").read_text()
    for name in filtergan.__all__:
        assert re.search(rf'id="filtergan\.(\w+\.)*{name}"', page), name


def test_every_public_name_is_on_the_page_of_the_api_once() -> None:
    listed = re.findall(r"^::: filtergan\.(\w+)$", (ROOT / "docs" / "api.md").read_text(), re.M)
    assert sorted(listed) == sorted(filtergan.__all__)


def test_every_page_is_in_the_navigation() -> None:
    settings = (ROOT / "mkdocs.yml").read_text()
    listed = set(re.findall(r"^ +- ([\w/]+\.md)$", settings, re.M))
    pages = {str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").rglob("*.md")}
    above = {"results/index.md", "contributing.md", "changelog.md"}
    assert listed == pages | above


def test_the_pages_of_commands_and_measures_are_written_from_the_code() -> None:
    assert "<!-- every command -->" in (ROOT / "docs" / "commands.md").read_text()
    assert "<!-- every measure -->" in (ROOT / "docs" / "measures.md").read_text()
