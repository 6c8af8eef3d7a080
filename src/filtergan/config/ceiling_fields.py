"""How ceilings are found: what the best filters of a site can undo of known changes of images."""

from typing import Annotated

from pydantic import Field

from filtergan.config.bases import Frozen
from filtergan.config.values import Count, Positive


class CeilingConfig(Frozen):
    """The filters that best undo a known change of images, and on what they are judged.

    Examples:
        >>> import filtergan as fg
        >>> fg.CeilingConfig(train_images=500).steps
        200
    """

    train_images: Count = 2000
    """Training images on which filters are fitted, or as many as fit 256 MiB of site inputs. A
    filter has some hundreds of weights, and an image as many places: more images say little."""
    test_images: Count = 500
    """Held-out images on which they are judged."""
    steps: Annotated[int, Field(ge=0)] = 200
    """Steps of Adam at readings behind the convolution, where least squares do not give the best
    filters; twice as many raised no ceiling on MNIST by more than .01."""
    batch: Count = 64
    """Images in such a step."""
    rate: Positive = 0.1
    """Of the first step, in standard deviations of the convolution over the root of a filter's
    weights; it falls to nothing along half a cosine. From .03 to .3 ceilings stay within .01."""
