"""Accuracy of draws, alone and pooled, and of later layers re-trained behind them (eq. 9)."""

import copy
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from filtergan.classifiers.fitting import fit, predict, steps_of
from filtergan.config.fields import MeasureConfig
from filtergan.images.domain import to_float
from filtergan.machine.distributed import pace, spread
from filtergan.machine.storage import Rows, RowsLike, batches, rows_of
from filtergan.machine.telling import Tick
from filtergan.pooling.pool import FilterPool2d, pooled_response
from filtergan.sites.site import Site
from filtergan.sites.wrappers import unwrapped

BATCH = 100  # images in a pass: ten times as many fall out of a processor's caches, half the speed
TRAINED = 128  # images in a minibatch of a re-training


def later_parameters(site: Site, example: Float[Tensor, "n c h w"]) -> list[str]:
    """Names of the parameters downstream of the response in the computation, not in its order.

    They are the parameters of every module that receives something which depends on the response:
    a response of NaN is sent through the network, and what it reaches is downstream. So are the
    modules in one of these that do not run, since it uses their weights itself, as attention does.
    """
    ran, reached = set[nn.Module](), set[nn.Module]()

    def look(module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        ran.add(module)
        given = [a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)]
        # `.data`: the site follows its tensor, and must not take this for a use of it.
        if any(bool(a.data.isnan().any()) for a in given):
            reached.add(module)

    with ExitStack() as stack, torch.no_grad():
        for module in site.network.modules():
            stack.callback(module.register_forward_pre_hook(look, with_kwargs=True).remove)
        response = site.respond(site.input(example))
        ran.clear()
        site.output(example, response=torch.full_like(response, torch.nan))
    used = {id(p) for module in reached for part in _of(module, ran) for p in _own(part)}
    return [name for name, p in site.network.named_parameters() if id(p) in used]


def _of(module: nn.Module, ran: set[nn.Module]) -> Iterator[nn.Module]:
    """A module, and those of its parts that did not run by themselves."""
    yield module
    for part in module.children():
        if part not in ran:
            yield from _of(part, ran)


def _own(module: nn.Module) -> Iterator[nn.Parameter]:
    """A module's own parameters, and what it computes them from."""
    for name, p in module.named_parameters():
        if "." not in name or name.startswith("parametrizations."):
            yield p


@dataclass(frozen=True)
class DrawAccuracy:
    """Which test images are classified correctly when generated filters take the site's place.

    Attributes:
        single: For each set of filters and image, with that set alone.
        pooled: For each K and image, with the responses of the first K sets averaged (eq. 9).
    """

    single: Bool[Tensor, "draws n"]
    pooled: dict[int, Bool[Tensor, " n"]]


@torch.no_grad()
def draw_accuracy(
    site: Site,
    images: Rows,
    labels: Int64[Tensor, " n"],
    filters: Float[Tensor, "draws o j *k"],
    sizes: tuple[int, ...] = (),
    *,
    device: torch.device,
    batch: int = BATCH,
    tick: Tick = lambda n: None,
) -> DrawAccuracy:
    """Classify test images with each set of filters, and with the first K pooled; no training.

    Several processes share the passes.

    Args:
        site: The site.
        images: Test images, bytes [n, c, h, w].
        labels: Their classes.
        filters: Sets of filters.
        sizes: The Ks of eq. 9; those larger than the number of sets are left out.
        device: Where to compute.
        batch: Images in a pass.
        tick: Called with the number of images times sets classified.
    """
    sizes = tuple(k for k in sizes if k <= len(filters))
    tick = pace(tick)

    def classify(part: slice) -> tuple[Tensor, dict[int, Tensor]]:
        x, right = to_float(images[part].to(device)), labels[part].to(device)
        inputs = site.input(x)
        rows, total = [], torch.zeros(())
        pooled: dict[int, Tensor] = {}
        for k, one in enumerate(filters, start=1):
            response = site.respond(inputs, one)
            rows.append(site.output(x, filters=one, response=response).argmax(1) == right)
            if k <= max(sizes, default=0):
                total = response if k == 1 else total + response
            if k in sizes:
                pooled[k] = (site.output(x, response=total / k).argmax(1) == right).cpu()
            tick(len(x))
        return torch.stack(rows).cpu(), pooled

    parts = spread(classify, batches(len(images), batch))
    return DrawAccuracy(
        torch.cat([single for single, _ in parts], dim=1),
        {k: torch.cat([pooled[k] for _, pooled in parts]) for k in sizes},
    )


def retraining(site: Site, train: int, test: int, config: MeasureConfig) -> int:
    """What `retrain` has to do with so many images: those pooled, trained on, and classified."""
    shown = steps_of(train, config.retrain_epochs, TRAINED) * min(TRAINED, train)
    return shown + test + (train if site.suffix is not None else 0)


def retrain(
    site: Site,
    filters: Float[Tensor, "k o j *d"],
    train: tuple[RowsLike, Int64[Tensor, " n"]],
    test: RowsLike,
    config: MeasureConfig,
    *,
    seed: int,
    device: torch.device,
    tick: Tick = lambda n: None,
) -> Float[Tensor, "m classes"]:
    """Pool over sets of filters, re-train the later layers of a copy, and classify (eq. 9).

    Where the site is straight, the pooled responses are computed once and kept in half precision;
    else the whole network runs, with `FilterPool2d` in the site's place.

    Args:
        site: The site; its network stays as it is.
        filters: K sets; one, for the real filters.
        train: Training images [n, c, h, w], bytes or from 0 to 1, and labels.
        test: Test images. All as `rows_of` makes rows.
        config: Epochs and rate.
        seed: Of the shuffles; the same for all that are to be compared.
        device: Where to compute.
        tick: Called with the number of images done, of those that `retraining` counts.

    Returns:
        Logits of the test images.

    Examples:
        >>> import torch
        >>> import filtergan as fg
        >>> images = torch.rand(32, 1, 8, 8)
        >>> site = fg.Site(fg.PaperCNN(fg.tiny().cnn, (1, 8, 8), 10), "conv2", images)
        >>> gan = fg.train(site, site.input(images), fg.GanConfig(latent=3, steps=2))
        >>> train, config = (images, torch.randint(10, (32,))), fg.MeasureConfig(retrain_epochs=1)
        >>> where = torch.device("cpu")
        >>> fg.retrain(site, gan.draw(3), train, images, config, seed=0, device=where).shape
        torch.Size([32, 10])
    """
    inputs, labels, test = rows_of(train[0]), train[1], rows_of(test)
    if site.suffix is not None:
        network = copy.deepcopy(site.suffix)
        parameters = list(network.parameters())
        inputs = _pooled_responses(site, inputs, filters, device, tick)
    else:
        network = FilterPool2d.into(site, filters)
        later = later_parameters(site, to_float(test[:2].to(device)))
        parameters = [p for name, p in unwrapped(network).named_parameters() if name in later]
    if parameters:
        for p in parameters:
            p.requires_grad_(True)
        fit(
            network,
            parameters,
            inputs,
            labels,
            epochs=config.retrain_epochs,
            batch=TRAINED,
            rate=config.retrain_rate,
            weight_decay=1e-2,
            seed=seed,
            device=device,
            on_step=lambda *_: tick(min(TRAINED, len(inputs))),
        )
    else:
        tick(steps_of(len(inputs), config.retrain_epochs, TRAINED) * min(TRAINED, len(inputs)))
    if site.suffix is None:
        logits = predict(network, test, batch=BATCH, device=device)
        tick(len(test))
        return logits
    parts = (test[part] for part in batches(len(test), 1000))
    return torch.cat(
        [
            predict(network, _pooled_responses(site, x, filters, device, tick), device=device)
            for x in parts
        ]
    )


@torch.no_grad()
def _pooled_responses(
    site: Site, images: Rows, filters: Tensor, device: torch.device, tick: Tick
) -> Tensor:
    kept: list[Tensor] = []
    for part in batches(len(images), BATCH):
        inputs = site.input(to_float(images[part].to(device)))
        kept.append(pooled_response(site, inputs, filters).half().cpu())
        tick(len(inputs))
    return torch.cat(kept)
