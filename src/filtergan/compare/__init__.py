"""Runs side by side: each measure with its interval, differences tested (`filtergan compare`)."""

from filtergan.compare.comparison import Comparison, Configuration, Row, compare
from filtergan.compare.export import check_ending, document, write
from filtergan.compare.printed import heading, sheets

__all__ = [
    "Comparison",
    "Configuration",
    "Row",
    "check_ending",
    "compare",
    "document",
    "heading",
    "sheets",
    "write",
]
