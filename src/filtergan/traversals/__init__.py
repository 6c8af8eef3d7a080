"""Traversals as objects, and what a generator is worth: all that needs no study."""
