"""How the live page ends: whenever it is interrupted, without a word, and its folder goes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from explored import made

SERVED = """
import os, signal, sys, threading, urllib.request
from filtergan.explorer import serving
from filtergan.explorer.exploring import Explorer

def interrupted(times):
    for _ in range(times):
        signal.raise_signal(signal.SIGINT)

def opened(address):
    urllib.request.urlopen(address).read()
    os.kill(os.getpid(), signal.SIGINT)

tell = {
    "as it is told": lambda address: interrupted(1),
    "impatiently": lambda address: interrupted(3),
    "as it runs": lambda address: threading.Thread(target=opened, args=[address]).start(),
}
serving.serve(Explorer(sys.argv[1]), "127.0.0.1", 0, None, tell[sys.argv[2]])
print("over")
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("served") / "run")


@pytest.mark.parametrize("when", ["as it is told", "impatiently", "as it runs"])
def test_it_is_interrupted_once_the_address_is_told(run: Path, tmp_path: Path, when: str) -> None:
    pytest.importorskip("gradio")
    done = subprocess.run(
        [sys.executable, "-c", SERVED, str(run), when],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "over\n", "")
    assert list(tmp_path.iterdir()) == []
