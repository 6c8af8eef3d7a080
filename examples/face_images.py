"""Faces and backgrounds that scikit-image ships, as a folder of images by split and class.

    python face_images.py faces

Crops of Labeled Faces in the Wild (Huang et al. 2007), 100 of each class: every third is for the
test, the others are for training, with a mirrored copy of each.
"""

import sys
from pathlib import Path

from PIL import Image, ImageOps
from skimage import data, util

SIDE = 24  # pixels that R-Net takes; the crops have one more
CLASSES = ("face", "background")


def write(folder: Path) -> None:
    """Write the images; grey ones, but as networks for colour take them."""
    for i, crop in enumerate(data.lfw_subset()[:, :SIDE, :SIDE]):
        image = Image.fromarray(util.img_as_ubyte(crop)).convert("RGB")
        split = "train" if i % 3 else "test"
        place = folder / split / CLASSES[i // 100]
        place.mkdir(parents=True, exist_ok=True)
        image.save(place / f"{i:03}.png")
        if split == "train":
            ImageOps.mirror(image).save(place / f"{i:03}-mirrored.png")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
