"""Smooth changes of images, sorted by how far the filters of a site can undo them."""
