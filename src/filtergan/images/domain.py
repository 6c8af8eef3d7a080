"""The domain of images: pixels from 0 to 1, and what a network may want in their place."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from filtergan.errors import UserError

ROUNDING = 1e-3  # a quarter of the step between two bytes


@dataclass(frozen=True, init=False)
class Domain:
    """What a network takes for pixels x in [0, 1]: (x - mean) / std, by channel or alike for all.

    Images are pixels wherever they are searched, changed, measured or shown; only the network
    itself meets other values.

    Attributes:
        mean: Of pixels in [0, 1]; one number for each channel, or one for all.
        std: Their standard deviation; likewise.

    Raises:
        UserError: There are not as many of one as of the other, a mean lies outside [0, 1], or a
            standard deviation is not above 0.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> fg.Domain(0.5, 0.5).to_network(torch.tensor([[0.0, 0.5, 1.0]]))
        tensor([[-1.,  0.,  1.]])
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __init__(
        self, mean: float | Sequence[float] = 0.0, std: float | Sequence[float] = 1.0
    ) -> None:
        for name, value in (("mean", mean), ("std", std)):
            values = tuple(value) if isinstance(value, Sequence) else (value,)
            object.__setattr__(self, name, tuple(map(float, values)))
        many, deviations = len(self.mean), len(self.std)
        if not (many and deviations) or (many > 1 and deviations > 1 and many != deviations):
            raise UserError(
                f"There are {many} means and {deviations} standard deviations; give one for each "
                "channel, or one for all."
            )
        if not all(0 <= value <= 1 for value in self.mean):
            raise UserError(
                f"The mean {_listed(self.mean)} lies outside [0, 1], the range of pixels; divide "
                "mean and standard deviation by 255 if they are those of bytes."
            )
        if not all(0 < value < float("inf") for value in self.std):
            raise UserError(f"The standard deviation {_listed(self.std)} must be above 0.")

    @classmethod
    def of_range(cls, low: float, high: float) -> "Domain":
        """That of a network which takes black as `low` and white as `high`, such as 0 and 255.

        Examples:
            >>> import filtergan as fg
            >>> fg.Domain.of_range(-1.0, 1.0)
            Domain(mean=(0.5,), std=(0.5,))
        """
        return cls(-low / (high - low), 1 / (high - low))

    def to_network(self, pixels: Shaped[Tensor, "n c *d"]) -> Float[Tensor, "n c *d"]:
        """What the network takes for these pixels, or bytes.

        Raises:
            UserError: They have another number of channels than mean or standard deviation.

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> fg.Domain(0.5, 0.25).to_network(torch.tensor([[0.0, 0.5, 1.0]]))
            tensor([[-2.,  0.,  2.]])
        """
        if pixels.dtype == torch.uint8:
            pixels = to_float(pixels)
        if self == Domain():
            return pixels
        return (pixels - _column(self.mean, pixels)) / _column(self.std, pixels)

    def to_pixels(self, normalised: Float[Tensor, "n c *d"]) -> Float[Tensor, "n c *d"]:
        """The pixels for which the network takes these values.

        Raises:
            UserError: They would not lie in [0, 1]; or as for `to_network`.

        Examples:
            >>> import torch
            >>> import filtergan as fg
            >>> fg.Domain(0.5, 0.25).to_pixels(torch.tensor([[-2.0, 0.0, 2.0]]))
            tensor([[0.0000, 0.5000, 1.0000]])
        """
        found = normalised * _column(self.std, normalised) + _column(self.mean, normalised)
        return as_pixels(found)


def to_float(inputs: Tensor) -> Tensor:
    """Bytes from 0 to 255 become float32 from 0 to 1; floats are passed on as float32."""
    if inputs.dtype == torch.uint8:
        return inputs.to(torch.float32).div_(255)
    return inputs.float()


def as_pixels(images: Tensor, beyond: float = ROUNDING) -> Tensor:
    """Images that are pixels in [0, 1], or bytes.

    Args:
        images: Of any shape.
        beyond: How far below 0 or above 1 pixels may lie, which are put back there; by default as
            far as rounding puts them.

    Raises:
        UserError: They are neither, or there are none.
    """
    if not images.numel():
        raise UserError("There are no images; give at least one.")
    if images.dtype == torch.uint8:
        return to_float(images)
    low, high = (float(value) for value in images.aminmax())
    if not (low >= -beyond and high <= 1 + beyond):
        raise UserError(
            f"The images range from {low:.3g} to {high:.3g}, but images are pixels from 0 to 1: "
            "give these, and tell the network's normalisation, as in fg.Classifier(network, "
            "fg.Domain(mean, std)); its domain.to_pixels turns normalised images back."
        )
    return images.clamp(0, 1)


def _column(values: tuple[float, ...], images: Tensor) -> Tensor:
    """One number for each channel, to be broadcast over images."""
    if len(values) not in (1, images.shape[1]):
        raise UserError(
            f"Mean and standard deviation are of {len(values)} channels, but the images have "
            f"{images.shape[1]}; give one number for each channel, or one for all."
        )
    column = torch.tensor(values, dtype=images.dtype, device=images.device)
    return column.view(-1, *[1] * (images.ndim - 2))


def _listed(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
