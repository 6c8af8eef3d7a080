"""Classifiers: the networks studied, one's own or trained here, and the independent judges."""
