"""Every public name's help shows an example, which runs as it is printed."""

import doctest

import pytest

import filtergan as fg

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("name", fg.__all__)
def test_the_example_of_its_help_runs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = getattr(fg, name).__doc__ or ""
    example = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
    assert any("fg." in one.source for one in example.examples), "help shows no example"
    assert not any(doctest.SKIP in one.options for one in example.examples)
    result = doctest.DocTestRunner(optionflags=FLAGS).run(example)
    assert not result.failed, capsys.readouterr().out
