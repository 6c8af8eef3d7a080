"""The command as tests run it: quickly, with what it says, and the record that it leaves."""

import base64
import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lines import without_the_way

from filtergan import cli
from filtergan.figures import style

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
"""A whole PNG."""
MEASURED = {
    *("real_accuracy", "single_draw_accuracy", "single_draw_accuracy_sd"),
    *("single_draw_accuracy_min", "pooled_retrained_accuracy", "real_retrained_accuracy"),
    *("noise_matched_retrained_accuracy", "random_filters_retrained_accuracy", "filter_spread"),
    *("nearest_real_distance", "participation_ratio", "latent_r2_min", "latent_r2_mean"),
    *("information_nats", "profile_residual_before", "profile_residual_after", "compensation"),
    *("compensation_null", "image_change", "labels_kept"),
}
"""What is measured at every site of every study."""


@contextlib.contextmanager
def quickly() -> Iterator[None]:
    """Pictures are plotted but not painted, which takes longer than all else.

    Afterwards as many threads compute as before.
    """
    before = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "png", lambda figure: PIXEL)
        yield
    torch.set_num_threads(before)


def command(*arguments: str | Path, warned: str = "") -> str:
    """Run the command, which must succeed and warn of nothing else; return what it prints."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main([str(a) for a in arguments])
    left = without_the_way(err.getvalue()).splitlines()
    assert (code, len(left)) == (0, 1 if warned else 0)
    assert all(line.startswith(f"filtergan: {warned}") for line in left)
    return out.getvalue()


def told(capsys: pytest.CaptureFixture[str], *arguments: str | Path, code: int = 2) -> str:
    """The one sentence that a command ends with."""
    capsys.readouterr()
    assert cli.main([str(a) for a in arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    said = without_the_way(err)
    assert err.endswith(said)
    assert said.startswith("filtergan: ")
    assert said.count("\n") == 1
    assert said.endswith(".\n")
    return said


def record_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "record.json").read_text())
