"""What a network ignores, as an augmentation of its training images."""
