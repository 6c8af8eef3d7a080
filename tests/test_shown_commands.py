"""Every command that README and docs show is one that `filtergan` takes."""

import re
import shlex
from pathlib import Path

import pytest

from filtergan.cli.arguments import STUDY, parser
from filtergan.cli.options import base_of, override
from filtergan.config.fields import StudyConfig

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "RESULTS.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands(page: Path) -> list[str]:
    """Those in blocks of code, continued lines as one, without comments and what the shell does."""
    text = page.read_text().replace("\\\n", " ")
    lines = re.findall(r"^(?:    )?(?:\$ )?(filtergan [^#|>&\n]*)", text, re.MULTILINE)
    return [line.strip().rstrip("`") for line in lines]


SHOWN = [(page.name, line) for page in PAGES for line in commands(page)]


def test_there_are_many() -> None:
    assert len(SHOWN) > 30


@pytest.mark.parametrize(("page", "line"), SHOWN)
def test_the_command_is_one(page: str, line: str) -> None:
    words = [word for word in shlex.split(line)[1:] if word != "..."]
    whole = parser(StudyConfig())
    if {"--help", "--help-all"} & set(words):
        assert words[0] in whole.format_help()
        return
    _, unknown = whole.parse_known_args(words)
    assert not unknown


HELP = [("study --help", line.strip()) for line in STUDY.splitlines() if "filtergan study" in line]
STUDIES = [
    (page, line)
    for page, line in (*SHOWN, *((page, line.partition("  (")[0]) for page, line in HELP))
    if re.match(r"filtergan study (mnist|digits|cifar10|cifar10_small)\b", line)
]


@pytest.mark.parametrize(("page", "line"), STUDIES)
def test_the_study_has_latents_for_its_sites(page: str, line: str) -> None:
    words = [word for word in shlex.split(line.replace("SEED", "0"))[1:] if word != "..."]
    arguments, _ = parser(StudyConfig()).parse_known_args(words)
    config = override(base_of(arguments), arguments)
    assert len(config.natural.latent) in (1, len(config.sites_of("natural")))
