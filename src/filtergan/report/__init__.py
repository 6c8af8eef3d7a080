"""The report: from a run's record to one HTML page, and to tables for the terminal."""

from filtergan.report.page import write_report
from filtergan.report.tables import summary_sheets
from filtergan.report.text import duration, number

__all__ = ["duration", "number", "summary_sheets", "write_report"]
