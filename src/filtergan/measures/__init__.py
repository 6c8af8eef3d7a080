"""What a study measures: pure functions of arrays, and a registry of what the numbers mean."""

from filtergan.measures.measure import Measure
from filtergan.measures.registry import REGISTRY, lookup

__all__ = ["REGISTRY", "Measure", "lookup"]
