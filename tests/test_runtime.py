"""Devices, threads, seeds and progress."""

import io

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from filtergan.errors import UserError
from filtergan.machine import runtime


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


def test_progress_is_quiet_without_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with runtime.progress(10, "training", "steps") as advance:
        advance()
        advance(9)
    assert capfd.readouterr() == ("", "")


def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()

    def console(stderr: bool) -> Console:
        assert stderr
        return Console(file=screen, force_terminal=True, width=120)

    monkeypatch.setattr(runtime, "Console", console)
    with runtime.progress(10, "training", "steps") as advance:
        advance(4)
        advance(6)
    shown = screen.getvalue()
    assert "training" in shown
    assert "10/10" in shown
    assert "steps/s" in shown


def test_progress_lets_errors_through(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError), runtime.progress(1, "training", "steps"):
        raise ZeroDivisionError


@pytest.mark.gpu
def test_a_real_card() -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA card")
    card = runtime.device("auto")
    noise = torch.randn(3, generator=runtime.generator(0, device=card), device=card)
    assert noise.device == card
