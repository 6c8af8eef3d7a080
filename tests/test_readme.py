"""The README's example runs, and its list of modules is the package's."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


@pytest.mark.slow
def test_the_python_example_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    filters, found = names["filters"], names["found"]
    assert getattr(filters, "shape", None) == (10, 32, 32, 3, 3)
    assert len(getattr(found, "images", ())) == 32


def test_the_list_of_folders_and_modules_is_complete() -> None:
    (tree,) = re.findall(r"^src/filtergan/\n(.*?)```", README, re.DOTALL | re.MULTILINE)
    package = ROOT / "src" / "filtergan"
    listed = re.findall(r"^  ([a-z_]+(?:\.py|/)) .*\n((?:    .*\n)*)", tree, re.MULTILINE)
    there = {p.name for p in package.glob("*.py") if p.name != "__init__.py"}
    assert {name for name, _ in listed} == there | {
        f"{p.parent.name}/" for p in package.glob("*/__init__.py")
    }
    for folder, names in listed:
        modules = {p.stem for p in (package / folder).rglob("*.py") if p.stem[:2] != "__"}
        folders = {f"{p.parent.name}/" for p in (package / folder).glob("*/__init__.py")}
        assert set(re.findall(r"[a-z_]+/?", names)) == modules | folders, folder


def test_the_public_names_exist() -> None:
    import filtergan

    for name in filtergan.__all__:
        assert getattr(filtergan, name).__doc__
