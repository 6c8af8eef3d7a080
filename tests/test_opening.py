"""What the live page loads before it opens."""

import subprocess
import sys

import pytest

OPENED = """
import ast, inspect, sys

def read(*_):
    raise AssertionError("a component's source was read, for stubs that nobody asked for")

ast.get_source_segment = read
import filtergan.explorer.exploring
from filtergan.explorer import serving

found = inspect.getfile
with serving._stubless():
    import filtergan.explorer.interface
assert inspect.getfile is found
print(*sys.modules)
"""


def test_nothing_heavy_that_it_does_not_use() -> None:
    pytest.importorskip("gradio")
    done = subprocess.run(
        [sys.executable, "-c", OPENED], check=True, stdout=subprocess.PIPE, text=True
    )
    loaded = set(done.stdout.split())
    assert {"gradio", "torch"} <= loaded
    assert not loaded & {"matplotlib", "skimage", "sklearn", "datasets"}
