"""Known transformations of images: their generators, references and fits."""
