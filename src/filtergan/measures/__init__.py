"""What a study measures: pure functions of arrays, and a registry of what the numbers mean."""

from filtergan.measures.registry import REGISTRY, Measure, latent_name, lookup

__all__ = ["REGISTRY", "Measure", "latent_name", "lookup"]
