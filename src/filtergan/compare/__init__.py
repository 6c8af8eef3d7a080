"""Runs side by side: each measure with its interval, differences tested (`filtergan compare`)."""

from filtergan.compare.comparison import Comparison, Configuration, Row, compare
from filtergan.compare.printed import check_ending, heading, tables, write

__all__ = [
    "Comparison",
    "Configuration",
    "Row",
    "check_ending",
    "compare",
    "heading",
    "tables",
    "write",
]
