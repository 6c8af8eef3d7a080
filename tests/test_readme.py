"""The README's example runs, and its list of modules is the package's."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


FEWER = {"epochs": 1, "steps": 2, "measured_images": 3}
"""What takes long in the examples."""


def run_with_fewer(page: str) -> dict[str, object]:
    """What the Python code of a page leaves behind; of its numbers, only those above are others."""
    names: dict[str, object] = {}
    for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        for name, number in FEWER.items():
            code = re.sub(rf"\b{name}=\d+", f"{name}={number}", code)
        exec(compile(code, "page", "exec"), names)
    return names


@pytest.mark.slow
def test_the_ten_lines_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import filtergan as fg

    monkeypatch.chdir(tmp_path)
    names = run_with_fewer(README)
    assert (tmp_path / "walk.pdf").read_bytes()[:4] == b"%PDF"
    walk, measures = names["walk"], names["measures"]
    assert isinstance(walk, fg.Traversal)
    assert len(walk.images) == 4
    assert isinstance(measures, fg.Measures)
    assert measures["compensation"].n == 3


@pytest.mark.slow
def test_the_page_on_python_runs() -> None:
    names = run_with_fewer((ROOT / "docs" / "python.md").read_text())
    assert getattr(names["filters"], "shape", None) == (10, 32, 32, 3, 3)
    assert len(getattr(names["found"], "images", ())) == 32


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # of ONNX
def test_the_page_on_pooling_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxscript", reason="extra `dev` is not installed")
    monkeypatch.chdir(tmp_path)
    names = run_with_fewer((ROOT / "docs" / "howto" / "pooling.md").read_text())
    assert getattr(names["logits"], "shape", [0])[1] == 10
    assert (tmp_path / "pooled.pt2").exists()
    assert (tmp_path / "pooled.onnx").exists()


@pytest.mark.slow
def test_the_page_on_augmentation_runs() -> None:
    names = run_with_fewer((ROOT / "docs" / "augmentation.md").read_text())
    assert getattr(names["batch"], "shape", None) == (64, 1, 8, 8)


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
