"""Ground: grey levels lifted towards white, the dark ones most."""

from jaxtyping import Float
from torch import Tensor

from filtergan.families.brightness import BRIGHTNESS
from filtergan.families.family import Family, Fixed
from filtergan.families.transformations import photometric


def lifted(x: Float[Tensor, "n c h w"], share: Float[Tensor, " n"]) -> Float[Tensor, "n c h w"]:
    """Images, each mixed with so much white."""
    return photometric(x, 1 - share, share)


GROUND = Family(
    name="ground",
    words="grey ground",
    within=BRIGHTNESS,
    fixed=(Fixed("ground +0.15", lifted, 0.15),),
)
