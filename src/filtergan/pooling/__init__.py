"""Pooling over draws (eq. 9): as a module, its accuracy, and re-training behind it."""
