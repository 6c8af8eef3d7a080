"""Every choice of a study, as frozen models.

What the paper leaves open is a field here, and its docstring says what was chosen and why.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from filtergan.config.bases import Frozen, Main
from filtergan.config.ceiling_fields import CeilingConfig
from filtergan.config.dataset_fields import DatasetConfig
from filtergan.config.natural_fields import NaturalConfig
from filtergan.config.site_names import NATURAL, PAPER, PLAIN, Recipe, SiteName, named
from filtergan.config.traversal_fields import TraversalConfig
from filtergan.config.values import (
    Count,
    Interpolation,
    NonNegative,
    Positive,
    Readings,
    Recipes,
    normalisation,
    sides,
)
from filtergan.errors import UserError

Shown = Literal["responses", "filters"]


class CnnConfig(Frozen):
    """The studied network, where the study trains it itself: the paper's, or one for colour.

    The paper names five convolutions with batch norm, ReLU and max-pooling, and 10 epochs; widths,
    the places of the pooling and the optimiser are ours.

    Examples:
        >>> import filtergan as fg
        >>> fg.CnnConfig(architecture="resnet", channels=(16, 32)).channels
        (16, 32)
    """

    architecture: Literal["paper", "resnet", "whitened"] = "paper"
    """The paper's convolutions in a row; for images in colour stages of residual blocks, or groups
    of wide convolutions behind a fixed whitening, which learn most in a given time."""
    channels: Annotated[tuple[Count, ...], Field(min_length=1)] = (16, 32, 64, 64, 64)
    """Filters (3x3, padding 1) of conv1, conv2, ...; of a residual network those of each stage,
    of a whitened one those of each group."""
    pool_after: tuple[Count, ...] = (1, 2, 4)
    """Convolutions of the paper's network after whose ReLU a 2x2 max-pooling stands."""
    blocks: Count = 1
    """Residual blocks in a stage."""
    epochs: Count = 10
    """Passes over the training images (the paper's 10)."""
    batch: Count = 128
    """Images in a minibatch."""
    rate: Positive = 4e-3
    """Peak learning rate of AdamW under a one-cycle schedule; of a whitened network that of SGD,
    for 1,024 images, as if there were no momentum."""
    weight_decay: NonNegative = 1e-2
    """Weight decay of AdamW; of a whitened network as its rate."""
    flip: bool = False
    """Show every second training image mirrored, drawn anew in every epoch."""
    shift: Annotated[int, Field(ge=0)] = 0
    """Show training images shifted by up to so many pixels, drawn anew in every epoch."""


class JudgeConfig(Frozen):
    """Classifiers of other makes than the studied network, which no generator ever sees.

    They say whether a recovered image keeps its class, and how far it lies from real images.
    """

    networks: Count = 3
    """How many; their architectures differ, by turns, and so do their first weights."""
    epochs: Count = 3
    """Passes over the training images."""
    batch: Count = 128
    """Images in a minibatch."""
    rate: Positive = 4e-3
    """Peak learning rate of AdamW under a one-cycle schedule."""
    width: Count = 1
    """Their channels, times those that are enough for digits."""
    depth: Count = 1
    """Convolutions, or residual blocks, for one that is enough for digits; the third make has no
    more."""
    mixed: bool = False
    """Train them in bfloat16 where a card or the processor computes in it."""
    flip: bool = False
    """Show every second training image mirrored, as of the studied network."""
    shift: Annotated[int, Field(ge=0)] = 0
    """Show training images shifted by up to so many pixels, likewise."""


class GanConfig(Frozen):
    """Generator, discriminator and the game between them (eqs. 1-4).

    Examples:
        >>> import filtergan as fg
        >>> fg.GanConfig(steps=3000).latent
        8
    """

    latent: Count = 8
    """Dimension of z, a standard normal (paper: unstated)."""
    head: Literal["shared", "dense", "directed"] = "shared"
    """Last layer of the generator: one small network shared by all filters, which scales; one
    dense layer to all weights, as in the paper; or the shared one that begins at nothing, beside a
    direction of all filters for every latent."""
    hidden: Count = 128
    """Width of the generator's hidden layers."""
    discriminator_channels: Count = 64
    """Channels of the discriminator's first convolution; the second has twice as many."""
    start: Literal["random", "real"] = "random"
    """Mean filters that the generator starts from: drawn at random (it never sees the real ones),
    or the real ones (useful in practice; the record says so)."""
    steps: Annotated[Count, Main] = 1200
    """Steps of Algorithm 1."""
    batch: Count = 64
    """Images, and as many draws, in a minibatch."""
    loss: Literal["minimax", "non_saturating"] = "non_saturating"
    """Form of the adversarial loss of eq. 1."""
    updates: Literal["algorithm1", "summed"] = "summed"
    """Three updates a step as in Algorithm 1 (D; G; Q with G), or the generator moved once by the
    sum of both gradients, in which lambda weighs them."""
    information: NonNegative = 10.0
    """Lambda of eq. 4, the weight of the information term."""
    discriminator_rate: Positive = 2e-4
    """RMSProp rate of the discriminator."""
    generator_rate: Positive = 5e-4
    """RMSProp rate of the generator in the adversarial update."""
    information_rate: Positive = 5e-4
    """RMSProp rate of Q, and of the generator in the third update of Algorithm 1."""
    decay: bool = True
    """Let all rates fall linearly to zero over the second half of the steps."""
    spectral_norm: bool = True
    """Spectral normalisation of the discriminator's layers."""
    average: Annotated[float, Field(ge=0, lt=1)] = 0.998
    """Decay of the moving average of the generator's weights, which is what is kept; 0: none."""
    cache_mib: Count = 384
    """Memory for the site inputs of the training images, in MiB. Where they take more they are kept
    on disk, in the cache folder, and where they would fill more than half of what is free there,
    each minibatch computes its own. The generator is the same."""
    log_every: Count = 50
    """Steps between two lines of the log."""
    checkpoint_every: Count = 250
    """Steps between two checkpoints."""


class JointConfig(GanConfig):
    """A generator of the natural recipe: the same, and how it was trained with its transformer."""

    natural: NaturalConfig


def joint_config(gan: GanConfig, natural: NaturalConfig, place: int = 0) -> JointConfig:
    """The config of a generator by the natural recipe, given that of the paper's.

    Args:
        gan: Of the paper's.
        natural: Of the recipe.
        place: Of the site among those of the recipe, where each has a dimension of z of its own.

    Examples:
        >>> import filtergan as fg
        >>> config = fg.joint_config(fg.GanConfig(), fg.NaturalConfig(latent=(4,)))
        >>> config.latent, config.head
        (4, 'directed')
    """
    values = gan.model_dump() | {"natural": natural}
    if natural.start != "paper":
        latent = natural.latent[place % len(natural.latent)]
        values |= {"start": "real", "head": "directed", "latent": latent}
    return JointConfig.model_validate(values)


class MeasureConfig(Frozen):
    """The assessment of a trained generator.

    Examples:
        >>> import filtergan as fg
        >>> fg.MeasureConfig(draws=20).resamples
        2000
    """

    draws: Annotated[int, Field(ge=2)] = 100
    """Single draws whose accuracy is measured, nothing re-trained."""
    draw_images: Count = 5000
    """Test images, drawn at random, that each of them classifies."""
    pooled: Count = 10
    """K of eq. 9 for the re-trained assessment (the paper's ten)."""
    pooled_sizes: tuple[Count, ...] = (1, 2, 5, 10, 20)
    """K of eq. 9 for the assessment with nothing re-trained."""
    retrain_epochs: Count = 3
    """Passes over the training images in each re-training of the later layers."""
    retrain_rate: Positive = 1e-3
    """Peak learning rate of AdamW in each re-training."""
    retrain_limit: Count = 10000
    """Training images used in each re-training, the same for all controls."""
    map_draws: Count = 40
    """Draws whose filters are placed on the MDS map (fig. 5)."""
    map_filters: Count = 8
    """Filters of the site that are placed on that map, each with its draws."""
    resamples: Count = 2000
    """Bootstrap resamples behind every 95 % interval."""


class AblationConfig(Frozen):
    """What only ablations change, to see what a choice of the paper's is worth."""

    shown: Shown = "responses"
    """What the discriminator is shown: the responses that filters cause, or whole sets of filters.
    There is but one real set, which the paper says the generator would then overfit."""


class StudyConfig(Frozen):
    """A whole study.

    Examples:
        >>> import filtergan as fg
        >>> fg.StudyConfig(data="my_images/", layer=("conv3",), response=("activation", "+1")).sites
        ('conv3@activation', 'conv3@+1')
    """

    preset: str = "custom"
    """Name of the preset this config came from."""
    data: Annotated[str, Main] = "digits"
    """Images: `digits` (bundled), a Hub name, a folder of images by class or of parquet files."""
    model: Annotated[str | None, Main] = None
    """A network of your own, as `package.module:factory`; by default the paper's is trained."""
    weights: Annotated[str | None, Main] = None
    """Its weights: a safetensors file, or a torch file that holds nothing but tensors."""
    mean: Annotated[tuple[float, ...], normalisation("mean"), Main] = (0.0,)
    """What the network takes off pixels, which are from 0 to 1: one number, one for each channel,
    or `imagenet`. With `std` the network receives (x - mean) / std; all else works on pixels."""
    std: Annotated[tuple[float, ...], normalisation("std"), Main] = (1.0,)
    """What it divides them by then; for a network that takes 0 to 255, 0.00392156862745098."""
    size: Annotated[tuple[Count, Count] | None, sides, Main] = None
    """Bring all images to this height and width, N or HxW, whatever their proportions; without it
    images of different sizes are refused."""
    interpolation: Interpolation = "bilinear"
    """How `size` is reached: Pillow's filters, which take in all pixels where images shrink."""
    layer: Annotated[tuple[str, ...], Field(min_length=1), Main] = ("conv4", "conv2")
    """Dotted names of the convolutions studied (the paper: layers 4 and 2); `all`, or patterns such
    as `layer3.*.conv?`, stand for those that they fit and that can be studied. A layer may have a
    reading or a recipe of its own, as in conv4@bn5/natural, which then is its only one."""
    response: Annotated[Readings, Main] = (PLAIN,)
    """Where the response of a layer is read, one site each: `conv`, `activation` (after its
    normalisation and activation function), the dotted name of a later module, or a depth: `+1` is
    the end of the next convolution's normalisation and activation function, `+2` of the one after.
    """
    recipe: Annotated[Recipes, Main] = (PAPER,)
    """How generators are made, one site each: by the paper's game, or `natural`, together with a
    transformer of images that has to undo what the generated filters change."""
    seed: Annotated[int, Field(ge=0, lt=2**31), Main] = 0
    """Seed of everything random."""
    device: Annotated[str, Main] = "auto"
    """auto, cpu, cuda, or one card as in cuda:1."""
    threads: Annotated[int, Field(ge=0)] = 0
    """CPU threads; 0: what OMP_NUM_THREADS says, else as many as there are cores for this process.
    The processes of a machine divide them."""
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    """Of the game's passes through generator, site and discriminator (by the natural recipe, of the
    discriminator alone): 32 bits, or bfloat16 where autocast allows it. Losses, weights,
    inversions and measures have 32 bits in any case."""
    dataset: DatasetConfig = DatasetConfig()
    cnn: CnnConfig = CnnConfig()
    ceilings: CeilingConfig = CeilingConfig()
    judges: JudgeConfig = JudgeConfig()
    gan: GanConfig = GanConfig()
    natural: NaturalConfig = NaturalConfig()
    traversal: TraversalConfig = TraversalConfig()
    measure: MeasureConfig = MeasureConfig()
    ablation: AblationConfig = AblationConfig()

    @model_validator(mode="after")
    def _check(self) -> "StudyConfig":
        if self.weights is not None and self.model is None:
            raise ValueError("weights need a model: name its factory with --model")
        try:
            sites = self.sites
        except UserError as error:
            raise ValueError(f"layer: {str(error).rstrip('.')}") from error
        if len(set(self.response)) != len(self.response):
            raise ValueError("response: each reading is named once")
        if len(set(self.recipe)) != len(self.recipe):
            raise ValueError("recipe: each recipe is named once")
        lonely = [s for s in self.sites_of(NATURAL) if s.under(PAPER) not in sites]
        if lonely and self.natural.start == "paper":
            raise ValueError(
                f"natural.start: {lonely[0]} begins with the paper's generator, so the study needs "
                f"{lonely[0].under(PAPER)} as well; add `paper` to the recipes"
            )
        if len(set(sites)) != len(sites):
            raise ValueError("layer: each layer is named once at a reading")
        try:
            self.check_grids()
        except UserError as error:
            raise ValueError(str(error).rstrip(".")) from error
        return self

    def check_grids(self) -> None:
        """See that z of every site has the latents that grids go along, of those named so far.

        Raises:
            UserError: It has not.

        Examples:
            >>> import filtergan as fg
            >>> fg.tiny().check_grids()
        """
        last = max(self.traversal.dims or (0, 1))
        for site in self.sites:
            if last >= (latent := self.game_of(site).latent):
                raise UserError(
                    "traversal.dims: a grid moves two latents, and "
                    f"latent dimension {last} is out of range; "
                    f"z of {site} has {latent}, numbered from 0."
                )

    @property
    def sites(self) -> tuple[SiteName, ...]:
        """Names of all sites, in their order; patterns and depths as they were given.

        Examples:
            >>> import filtergan as fg
            >>> fg.tiny().sites
            ('conv4@activation', 'conv2@activation')
        """
        return named(self.layer, self.response, self.recipe)

    def sites_of(self, recipe: Recipe) -> tuple[SiteName, ...]:
        """Those whose generators are made by one recipe.

        Examples:
            >>> import filtergan as fg
            >>> fg.StudyConfig(layer=("conv3",), recipe=("paper", "natural")).sites_of("natural")
            ('conv3@activation/natural',)
        """
        return tuple(site for site in self.sites if site.recipe == recipe)

    @property
    def latents(self) -> dict[SiteName, int]:
        """The latents of each site of the natural recipe, where they are told one by one.

        Examples:
            >>> import filtergan as fg
            >>> fg.mnist().latents["conv4@bn5/natural"]
            8
        """
        sites, numbers = self.sites_of(NATURAL), self.natural.latent
        return dict(zip(sites, numbers, strict=True)) if 1 < len(numbers) == len(sites) else {}

    def game_of(self, site: SiteName) -> GanConfig:
        """How the generator of one of the sites is made: as the paper's, or a `JointConfig`.

        Examples:
            >>> import filtergan as fg
            >>> config = fg.digits()
            >>> [config.game_of(site).latent for site in config.sites]
            [4, 8, 8]
        """
        if site.recipe == PAPER:
            return self.gan
        return joint_config(self.gan, self.natural, self.sites_of(NATURAL).index(site))

    def at(self, sites: Sequence[SiteName]) -> "StudyConfig":
        """The same study of these sites, named as briefly as its readings and recipes allow.

        Examples:
            >>> import filtergan as fg
            >>> fg.tiny().at(fg.tiny().sites[:1]).layer
            ('conv4',)
        """
        layer_only = (site.layer for site in sites)
        with_reading = (str(site.under(PAPER)) for site in sites)
        for entries in (layer_only, with_reading):
            brief = self.model_copy(update={"layer": tuple(dict.fromkeys(entries))})
            if brief.sites == tuple(sites):
                return brief
        whole = tuple(f"{site.under(PAPER)}/{site.recipe}" for site in sites)
        return self.model_copy(update={"layer": whole})
