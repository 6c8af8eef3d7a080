"""Devices, threads, seeds and progress."""

import contextlib
import functools
import importlib.machinery
import io
import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from filtergan.errors import UserError
from filtergan.machine import distributed, provenance, runtime, telling
from filtergan.machine.outlook import Outlook, Part


def test_cpu_is_always_there() -> None:
    assert runtime.device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:one", "cuda:-1", "", "CPU", "mps", "cpu:0"])
def test_nonsense_devices(name: str) -> None:
    with pytest.raises(UserError, match="use auto, cpu, cuda"):
        runtime.device(name)


def test_no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert runtime.device("auto") == torch.device("cpu")
    for name in ("cuda", "cuda:0", "cuda:3"):
        with pytest.raises(UserError, match=f"{name} is not available"):
            runtime.device(name)


def test_two_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert runtime.device("auto") == torch.device("cuda:0")
    assert runtime.device("cuda") == torch.device("cuda:0")
    assert runtime.device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(UserError, match=r"cuda:0, cuda:1"):
        runtime.device("cuda:2")


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    try:
        assert runtime.set_threads(1) == 1
        assert torch.get_num_threads() == 1
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
        assert runtime.set_threads(0) == torch.get_num_threads() == 2
        monkeypatch.setenv("OMP_NUM_THREADS", "many")
        assert runtime.set_threads(0) >= 1
    finally:
        torch.set_num_threads(before)


GOLDEN = 1882095218030451137  # so that a study repeats in later versions
PARTS = st.lists(st.one_of(st.integers(), st.text(max_size=5)), max_size=4)


@given(st.integers(0, 2**31), PARTS, st.integers(0, 2**31), PARTS)
def test_seeds_depend_on_every_part(a: int, first: list, b: int, second: list) -> None:
    one, other = runtime.derive_seed(a, *first), runtime.derive_seed(b, *second)
    assert 0 <= one < 2**63
    assert (one == other) == ((a, first) == (b, second))


def test_seeds_are_the_same_in_every_version() -> None:
    assert runtime.derive_seed(0, "train-gan", "conv4", 17) == GOLDEN


def test_generators_are_their_own() -> None:
    state = torch.get_rng_state()
    one = torch.randn(8, generator=runtime.generator(3, "stage", 1))
    again = torch.randn(8, generator=runtime.generator(3, "stage", 1))
    other = torch.randn(8, generator=runtime.generator(3, "stage", 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)


class Clock:
    """Stands for `time`: moves when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    monkeypatch.setattr(telling, "time", fake)
    return fake


def work(clock: Clock, total: int, seconds: float, step: int = 1, done: int = 0) -> None:
    """Work of so many seconds a unit, of which some may have been done earlier."""
    with telling.progress(total, "training", "steps") as advance:
        advance(done)
        for _ in range(done, total, step):
            clock.now += seconds * step
            advance(step)


def test_progress_is_told_in_lines_without_a_terminal(
    capfd: pytest.CaptureFixture[str], clock: Clock
) -> None:
    work(clock, 2000, 0.0625)
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"[ -~\n]*", err)  # no control codes
    lines = err.splitlines()
    assert len(lines) == 10  # one for each tenth, which takes twelve seconds
    assert lines[0] == "  training: 200 of 2,000 steps, 12 s, about 1 min 52 s left"
    assert lines[-1] == "  training: 2,000 of 2,000 steps, 2 min 05 s"


def test_lines_are_no_flood_and_no_long_silence(
    capfd: pytest.CaptureFixture[str], clock: Clock
) -> None:
    work(clock, 1000, 0.009)  # nine seconds
    assert capfd.readouterr().err == "  training: 1,000 of 1,000 steps, 9.0 s\n"
    work(clock, 1000, 0.0625)  # a minute: a tenth takes less than lines are apart
    assert len(capfd.readouterr().err.splitlines()) == 6 + 1
    work(clock, 1000, 7.25)  # two hours: a tenth takes twelve minutes, nine steps one minute
    assert len(capfd.readouterr().err.splitlines()) == 999 // 9 + 1
    work(clock, 100, 1.0, done=50)  # what was done earlier took no time
    first = capfd.readouterr().err.splitlines()[0]
    assert first == "  training: 60 of 100 steps, 10 s, about 40 s left"


def test_only_the_first_process_tells(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], clock: Clock
) -> None:
    monkeypatch.setattr(distributed, "size", lambda: 2)
    with telling.progress(10, "training", "steps") as advance:
        advance(8)  # what it counts for the others is a guess
    assert capfd.readouterr().err == "  training: 10 of 10 steps, 0.0 s\n"
    monkeypatch.setattr(distributed, "first", lambda: False)
    work(clock, 100, 1.0)
    telling.say("something")
    assert capfd.readouterr() == ("", "")
    monkeypatch.undo()
    telling.say("something")
    assert capfd.readouterr() == ("", "filtergan: something\n")


class Notebook:
    """Stands for ipywidgets and IPython: notes what is displayed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shown: list[str] = []
        notebook = self

        class Output(contextlib.nullcontext[None]):
            def clear_output(self, wait: bool) -> None:
                notebook.shown.append("")

        def display(*parts: Any, **_: Any) -> None:
            self.shown += [str(getattr(part, "text", "")) for part in parts]

        widgets, display_module = types.ModuleType("ipywidgets"), types.ModuleType("display")
        widgets.__dict__["Output"] = Output
        widgets.__spec__ = importlib.machinery.ModuleSpec("ipywidgets", None)
        display_module.__dict__["display"] = display
        monkeypatch.setitem(sys.modules, "ipywidgets", widgets)
        monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
        monkeypatch.setitem(sys.modules, "IPython.display", display_module)
        monkeypatch.setattr("rich.jupyter.display", lambda _, text: self.shown.append(text))


@pytest.mark.parametrize("widgets", [True, False])
def test_progress_in_a_notebook(
    widgets: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A bar, which ends at its total, where there are widgets to show it; else lines."""
    notebook = Notebook(monkeypatch)
    if not widgets:
        monkeypatch.delitem(sys.modules, "ipywidgets")
    made = functools.partial(Console, force_jupyter=True, width=115)
    monkeypatch.setattr(telling, "Console", made)
    with telling.progress(10, "training", "steps") as advance:
        advance(10)
    assert ("10/10" in "".join(notebook.shown)) == widgets
    assert ("10 of 10 steps" in capfd.readouterr().err) != widgets


@pytest.mark.parametrize("width", [80, 120])
def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    screen = io.StringIO()

    def console(stderr: bool) -> Console:
        assert stderr
        return Console(file=screen, force_terminal=True, width=width)

    monkeypatch.setattr(telling, "Console", console)
    for name in ("training", "single draws of conv4@bn5/natural", "x" * 60):
        with telling.progress(10, name, "steps") as advance:
            advance(4)
            advance(6)
    plain = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", screen.getvalue())
    lines = [line for part in plain.splitlines() for line in part.split("\r") if "━" in line]
    assert {len(line) for line in lines} == {width}
    assert len({line.index("━") for line in lines}) == 1  # all bars begin in one column
    assert ("10/10" in plain) == ("steps/s" in plain) == (width == 120)
    assert "100 %" in plain or width == 120
    assert plain.count("x") % 60 == 0  # a long name is wrapped, and not cut


def test_quietly_only_warnings_are_told(capfd: pytest.CaptureFixture[str], clock: Clock) -> None:
    with telling.quiet():
        telling.say("a stage begins")
        work(clock, 100, 1.0)
        telling.warn("the network is near chance")
    assert capfd.readouterr() == ("", "filtergan: the network is near chance\n")
    telling.say("a stage begins")
    assert "begins" in capfd.readouterr().err


def test_lines_tell_the_time_left_of_the_study(
    capfd: pytest.CaptureFixture[str], clock: Clock
) -> None:
    outlook = Outlook([Part("one", "training", 10.0), Part("two", "more", 20.0)])
    with telling.expecting(outlook):
        telling.enter("one", "stage 1 of 2, one")
        work(clock, 100, 1.0)
        telling.leave("one", 120.0)
        telling.enter("two", "stage 2 of 2, two")
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == "filtergan: stage 1 of 2, one begins"
    # 10 expected seconds take 100, so the other 20 take 200.
    assert lines[1].endswith("about 1 min 30 s left (of the study 4 min 50 s)")
    # As it took 120, they take 240.
    assert lines[-1] == "filtergan: stage 2 of 2, two begins; about 4 min 00 s left"


def test_progress_lets_errors_through(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError), telling.progress(1, "training", "steps"):
        raise ZeroDivisionError


@pytest.mark.gpu
def test_a_real_card() -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA card")
    card = runtime.device("auto")
    noise = torch.randn(3, generator=runtime.generator(0, device=card), device=card)
    assert noise.device == card


def test_peak_memory_is_known_where_the_system_does_not_list_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Path, "read_text", lambda self: "Name:\tpython\nVmRSS:\t5 kB\n")
    assert 50 < provenance.peak_memory_mib() < 100_000
