"""Augmentations side by side: fresh networks on few labelled images, tuned by the same budget."""
