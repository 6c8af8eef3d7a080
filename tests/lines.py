"""What stands on stderr where it is no terminal: a study's way in lines, and what it ends with."""

import re

WAY = re.compile(
    r"  \S.*: [\d,]+ of [\d,]+ \w+, [\w .]+(, about [\w .]+ left( \(of the study [\w .]+\))?)?"
    r"|filtergan: ((stage \d+ of \d+, )?\S+ begins(; about [\w .]+ left)?"
    r"|\S+ took [\w .]+|the study goes on with stage .+"
    r"|the generator of \S+ read at \S+ goes on from step [\d,]+ of [\d,]+"
    r"|everything was done already; .+)"
)


def without_the_way(err: str) -> str:
    """All else that was written, which must be whole lines of plain text."""
    assert re.fullmatch(r"([ -~]*\n)*", err), "control codes"
    return "".join(line for line in err.splitlines(keepends=True) if not WAY.fullmatch(line[:-1]))
