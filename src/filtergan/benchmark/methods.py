"""The augmentations that are compared, an entry each; imports nothing that takes seconds."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """One augmentation, with one dial: its strength.

    Attributes:
        meaning: What becomes of a training image, in words.
        place: `package.module:function` of a function that takes a `Subject` and returns a
            `Factory`. Modules are looked for in the working directory as well: what re-implements
            others for comparison is no part of the package.
        most: The largest strength that is tried; None: there is no dial.
    """

    meaning: str
    place: str
    most: float | None = 1.0

    def strengths(self, budget: int) -> tuple[float, ...]:
        """The values of the dial that are tried: so many, equally far apart, up to `most`."""
        if self.most is None:
            return (0.0,)
        return tuple(round(self.most * step / budget, 4) for step in range(1, budget + 1))


_OWN = "filtergan.benchmark."
METHODS = {
    "none": Method("the image itself", _OWN + "affine_maps:unchanged", None),
    "affine": Method(
        "affine by hand: shift, rotation, scale, stretch and shear", _OWN + "affine_maps:by_hand"
    ),
    "affine_copies": Method(
        "affine by hand; four copies of each test image, averaged",
        _OWN + "affine_maps:by_hand_in_copies",
    ),
    "randaugment": Method(
        "two operations of RandAugment (kornia)", _OWN + "of_kornia:randaugment", 0.9
    ),
    "elastic": Method("elastic distortions (kornia)", _OWN + "of_kornia:elastic"),
    "augerino": Method(
        "affine of learned widths (Augerino), in four copies", _OWN + "augerino:augerino", 0.1
    ),
    "lig": Method("vector fields that keep features (LIG)", "benchmarks.lig:lig", 0.4),
    "ours": Method("T(x, z, z') with random latents", _OWN + "invariances:ours", 3.0),
    "null": Method("ours, of random directions of filters", _OWN + "invariances:null", 3.0),
    "ours_affine": Method("ours, then affine by hand", _OWN + "invariances:ours_and_affine"),
    "null_affine": Method("null, then affine by hand", _OWN + "invariances:null_and_affine"),
}
"""All that are compared, in the order of the tables."""
