"""The choices of the natural recipe: a generator trained together with an image transformer."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from filtergan.config.bases import Frozen, Main
from filtergan.config.values import SPECIAL, Count, FieldKind, NonNegative, Positive


class NaturalConfig(Frozen):
    """Generator and transformer trained together, so that what one does the other can undo.

    Examples:
        >>> import filtergan as fg
        >>> fg.NaturalConfig(latent=(4,), fields=("flow", "gain")).batch
        128
    """

    start: Literal["real", "spectrum", "paper"] = "real"
    """What the training starts from: the real filters and directions at random; the real filters
    and the leading directions of the site's spectrum, with the fields that they undo; or the
    paper's generator of the same site, which never saw the real filters."""
    latent: Annotated[tuple[Count, ...], Field(min_length=1)] = (6,)
    """Dimension of z: one for all sites of the recipe, or one for each in their order. No more than
    there are changes of image that filters can undo, which the spectrum of a site counts. What
    begins with the paper's generator has as many as that. Where a preset has several, and `--layer`
    and the like name sites that it does not have, they have 6 each."""
    steps: Annotated[Count, Main] = 1500
    """Steps of the joint training."""
    null_steps: Count = 500
    """Steps in which the null's transformer, with random directions of the filters, is trained."""
    pairs: Count = 16
    """Pairs of latents (z, z') in a minibatch."""
    pair_images: Count = 8
    """Images that share a pair, and so its filters: much faster than filters for every image."""
    fields: Annotated[tuple[FieldKind, ...], Field(min_length=1)] = ("flow", "gain", "blur")
    """Fields that the transformer changes images by: where they move, gain and offset of every
    channel (of colour images that is tint too, which labels may hang on) or, for light alone,
    brightness and ground, and blur."""
    grid: Annotated[int, Field(ge=2)] = 7
    """Coefficients of a field along each axis."""
    channels: Count = 32
    """Channels of the transformer's first convolution, and of the reader's; the next has twice as
    many."""
    compensation: NonNegative = 3.0
    """Weight of the log compensation."""
    information: NonNegative = 0.5
    """Weight of reading z' - z from the images."""
    size: Positive = 0.28
    """Change of image, in norms of x, that is aimed at for a step of 4 in latent space, in every
    direction alike: more is harder to undo."""
    size_weight: NonNegative = 10.0
    """Weight of the squared deviation from it."""
    labels: NonNegative = 0.0
    """Weight of the change of the network's own answers, in nats, from an image to the changed one:
    with it, what is found is ignored by the whole network too, and not at the layer alone."""
    logits: NonNegative = 0.0
    """Weight of the squared change of the network's own logits, over their size: for networks so
    sure of their labels that these hardly move, whatever the logits do."""
    draws: NonNegative = 0.0
    """Weight of the squared change of the network's logits from its real filters to drawn ones,
    over their size: with it, each single draw stays one that the network can work with."""
    game: NonNegative = 5.0
    """Weight of fooling the discriminator of responses, which keeps single draws good."""
    transformer_rate: Positive = 4e-3
    """Adam's rate of the transformer and of the reader."""
    generator_rate: Positive = 1e-3
    """Adam's rate of the generator."""
    decay: bool = True
    """Let all rates fall linearly to zero over the second half of the steps."""
    average: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Decay of the moving averages of generator and transformer, which are kept."""
    log_every: Count = 50
    """Steps between two lines of the log."""
    checkpoint_every: Count = 250
    """Steps between two checkpoints."""

    @property
    def batch(self) -> int:
        """Images in a minibatch.

        Examples:
            >>> import filtergan as fg
            >>> fg.NaturalConfig(pairs=4, pair_images=2).batch
            8
        """
        return self.pairs * self.pair_images

    @model_validator(mode="after")
    def _check(self) -> "NaturalConfig":
        if len(set(self.fields)) != len(self.fields):
            raise ValueError("fields names each kind once")
        for special, general in SPECIAL.items():
            if {special, general} <= set(self.fields):
                raise ValueError(
                    f"fields: {special} is {general} that is the same in all channels; name one"
                )
        return self
