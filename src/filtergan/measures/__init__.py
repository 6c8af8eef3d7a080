"""What a study measures: functions of arrays, and a registry of what the numbers mean.

They are pure: nothing is read, written or trained, and no process waits for another; who wants work
divided passes in how (`explained.explained_all`). Only `fidelity.two_sample` is not, since it is a
test by training: it fits a fresh classifier, whose predictions several processes share.
"""

from filtergan.measures.definition import Measure
from filtergan.measures.registry import REGISTRY, lookup

__all__ = ["REGISTRY", "Measure", "lookup"]
