"""Examples that a help shows, run as they are printed."""

import doctest

import pytest

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def assert_example_runs(text: str | None, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A help shows an example of this package, and what it prints is what it gives.

    Args:
        text: The help.
        name: Of what it is.
        capsys: Holds what differs.
    """
    example = doctest.DocTestParser().get_doctest(text or "", {}, name, None, None)
    assert any("fg." in one.source for one in example.examples), "help shows no example"
    assert not any(doctest.SKIP in one.options for one in example.examples)
    result = doctest.DocTestRunner(optionflags=FLAGS).run(example)
    assert not result.failed, capsys.readouterr().out
