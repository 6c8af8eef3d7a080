"""Stage report: one page from what the record says."""

from filtergan.machine import distributed
from filtergan.report import write_report
from filtergan.runs.directory import RunDirectory
from filtergan.study.materials import Materials


def run(run: RunDirectory, materials: Materials) -> None:
    """Write report.html."""
    distributed.lead(lambda: write_report(run))
