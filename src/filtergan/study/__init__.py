"""Studies: their stages, what these work on, and their order."""

from filtergan.study.order import STAGES, run, run_stage

__all__ = ["STAGES", "run", "run_stage"]
