"""What only an ablation needs: a discriminator that is shown whole sets of filters.

There is but one real set, which the paper says the generator would then overfit; its method shows
the discriminator responses.
"""

from jaxtyping import Float
from torch import Tensor

from filtergan.config.fields import Shown
from filtergan.game.gan import FilterGAN
from filtergan.sites.site import Site


class FiltersShown(FilterGAN):
    """A `FilterGAN` whose discriminator sees filters, laid out like responses."""

    shows = "filters"
    meaning = (
        "It is a test of the paper's design: its discriminator was shown whole sets of filters, "
        "where the method shows responses."
    )
    place = __name__

    @staticmethod
    def real(site: Site, inputs: Float[Tensor, "n i *k"]) -> Float[Tensor, "1 o j positions"]:
        """The one real set, once: losses are means, which copies of it would not change."""
        return as_images(site.filters[None])

    def shown(
        self, inputs: Float[Tensor, "n i *k"], z: Float[Tensor, "n latent"] | None = None
    ) -> Float[Tensor, "m o j positions"]:
        """The filters of each z, or the real ones, whatever the inputs."""
        return self.real(self.site, inputs) if z is None else as_images(self.generator(z))


def as_images(filters: Float[Tensor, "n o i *k"]) -> Float[Tensor, "n o i positions"]:
    """Sets of filters laid out as the discriminator takes responses: a channel for each filter.

    The plane of a channel has the filter's input channels as rows and the positions of its kernel
    as columns, so that each filter is standardised by its own mean and scale.
    """
    return filters.flatten(3)


def gan_type(shown: Shown) -> type[FilterGAN]:
    """What is played with: `FilterGAN`, or the ablation."""
    return FiltersShown if shown == "filters" else FilterGAN
