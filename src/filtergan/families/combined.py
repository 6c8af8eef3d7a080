"""Families made of others, which explain what none of them does alone."""

from filtergan.families.family import Explained, Family

BRIGHTNESS_WIDTH = Family(
    name="photometric_width",
    words="brightness and stroke width",
    colour=False,
    explained=Explained(
        "photometric_width",
        meaning="gain, offset and stroke width",
        words="brightness and stroke width",
        title="brightness\nand width",
        symbol="PW",
    ),
)
BRIGHTNESS_AFFINE = Family(
    name="photometric_affine",
    words="brightness and affine map",
    explained=Explained(
        "photometric_affine",
        meaning="gain, offset and an affine warp",
        words="brightness and an affine map",
        title="brightness\nand affine",
        symbol="PA",
        main=False,
    ),
)
ALL_THREE = Family(
    name="photometric_affine_width",
    words="brightness, affine map and stroke width",
    colour=False,
    explained=Explained(
        "photometric_affine_width",
        meaning="gain, offset, an affine warp and stroke width",
        words="all three together",
        title="all three",
        symbol="PAW",
    ),
)
