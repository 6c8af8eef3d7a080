"""Stage traverse: latent grids and measured points of every site, inverted to images."""

import torch
from jaxtyping import Int64
from torch import Tensor

from filtergan import runtime
from filtergan.cnn import predict
from filtergan.data import Split
from filtergan.figures import grid_figure, grids_figure, save
from filtergan.gan import FilterGAN
from filtergan.measures.traversals import compensation, image_change, labels_kept
from filtergan.priors import NaturalImagePrior
from filtergan.record import RunDirectory, save_tensors
from filtergan.stages.materials import Materials
from filtergan.traversal import Inversion, grid_dimensions, latent_grid, points_around, walk

STAGE = "traverse"


def run(run: RunDirectory, materials: Materials) -> None:
    """Write each site's traversal.safetensors and its grids."""
    for layer in run.config.layer:
        if not run.site_done(STAGE, layer):
            _traverse_site(run, materials, layer)
            run.finish_site(STAGE, layer)


def _traverse_site(run: RunDirectory, materials: Materials, layer: str) -> None:
    config, test = run.config.traversal, materials.dataset.test
    gan = materials.gan(layer, run)
    shown = one_of_each_class(test, config.images)
    rng = runtime.generator(run.config.seed, STAGE, "images")
    measured = torch.randperm(len(test), generator=rng)[: config.measured_images]
    train = materials.dataset.train
    prior = NaturalImagePrior.measured(
        train.pixels(slice(5000)), config.alpha_weight, config.variation_weight
    )
    seed = runtime.derive_seed(run.config.seed, STAGE, layer)
    points = len(shown) * config.grid**2 + 2 * len(measured) * config.measured_points
    with runtime.progress(points * config.steps, f"traversals of {layer}", "steps") as advance:
        x = test.pixels(measured).to(materials.device)
        z = gan.latents(len(measured), seed, "measured")
        targets = points_around(z, config.measured_points, config.radius, seed)
        found = {
            "points": walk(gan, prior, x, z, targets, config, None, advance),
            "null": walk(gan, prior, x, z, targets, config, seed, advance),
        }
        tensors = {"points_index": measured, "points_z": z, "points_targets": targets}
        tensors |= _numbers(materials, test, measured, found["points"], "points")
        tensors |= _numbers(materials, test, measured, found["null"], "null")
        null = float(compensation(found["null"].before, found["null"].after).nanmedian())

        grids, layout = _grids(run, materials, gan, shown, prior, seed, advance)
        tensors |= layout | _numbers(materials, test, shown, grids, "grid")
    folder = run.site_path(layer)
    save_tensors(folder / "traversal.safetensors", tensors)
    entry = run.site(layer)
    entry["files"]["traversal"] = f"{folder.name}/traversal.safetensors"
    _draw(run, layer, tensors, test.pixels(shown), null)


def one_of_each_class(split: Split, n: int) -> Int64[Tensor, " n"]:
    """The first image of each class in turn, then the second of each, until there are n."""
    ranks = torch.zeros(len(split), dtype=torch.long)
    for label in split.labels.unique():
        of_class = (split.labels == label).nonzero()[:, 0]
        ranks[of_class] = torch.arange(len(of_class))
    order = sorted(range(len(split)), key=lambda i: (int(ranks[i]), int(split.labels[i])))
    return torch.tensor(order[:n])


def _grids(
    run: RunDirectory,
    materials: Materials,
    gan: FilterGAN,
    shown: Tensor,
    prior: NaturalImagePrior,
    seed: int,
    advance: runtime.Tick,
) -> tuple[Inversion, dict[str, Tensor]]:
    """Grids around one z for each image, all their points inverted (eq. 8)."""
    config = run.config.traversal
    z = gan.latents(len(shown), seed, "shown")
    dims = (
        grid_dimensions(len(shown), gan.latent, seed)
        if config.dims is None
        else torch.tensor([config.dims] * len(shown))
    )
    offsets = torch.linspace(-config.extent, config.extent, config.grid)
    targets = torch.stack(
        [
            latent_grid(one, (int(i), int(j)), offsets.to(z.device)).flatten(0, 1)
            for one, (i, j) in zip(z, dims, strict=True)
        ]
    )
    x = materials.dataset.test.pixels(shown).to(materials.device)
    found = walk(gan, prior, x, z, targets, config, None, advance)
    layout = {"grid_index": shown, "grid_z": z, "grid_dims": dims, "grid_offsets": offsets}
    return found, layout


def _numbers(
    materials: Materials, test: Split, index: Tensor, found: Inversion, name: str
) -> dict[str, Tensor]:
    """Images and numbers of an inversion, [images, points, ...] each."""
    n = len(index)
    x = test.pixels(index)
    x_k = found.images.cpu().unflatten(0, (n, -1))
    logits = predict(materials.network, x, device=materials.device)
    logits_k = predict(materials.network, found.images.cpu(), device=materials.device)
    before, after = (t.cpu().unflatten(0, (n, -1)) for t in (found.before, found.after))
    return {
        f"{name}_images": x_k,
        f"{name}_before": before,
        f"{name}_after": after,
        f"{name}_compensation": compensation(before, after),
        f"{name}_image_change": image_change(x[:, None], x_k),
        f"{name}_labels_kept": labels_kept(logits[:, None], logits_k.unflatten(0, (n, -1))),
    }


def _draw(
    run: RunDirectory, layer: str, tensors: dict[str, Tensor], sources: Tensor, null: float
) -> None:
    """The page of grids (figs. 3, 4) and each grid with its numbers beside it (appendix)."""
    side = run.config.traversal.grid
    images, before, after, compensated, changed, kept = (
        tensors[f"grid_{key}"].unflatten(1, (side, side))
        for key in ("images", "before", "after", "compensation", "image_change", "labels_kept")
    )
    dims = [(int(i), int(j)) for i, j in tensors["grid_dims"]]
    offsets = tensors["grid_offsets"].tolist()
    folder = run.site_path(layer) / "figures"
    figures = {
        "traversal": grids_figure(
            images,
            before,
            after,
            compensated,
            changed,
            kept,
            dims,
            offsets,
            f"{layer}: images that cause the same response under other filters",
            compensation_null=null,
        )
    }
    for n, source in enumerate(sources):
        figures[f"grid_{n}"] = grid_figure(
            source,
            images[n],
            before[n],
            after[n],
            compensated[n],
            changed[n],
            kept[n],
            dims[n],
            offsets,
            f"{layer}, test image {int(tensors['grid_index'][n])}",
            compensation_null=null,
        )
    for key, figure in figures.items():
        save(figure, folder / f"{key}.png")
        run.site(layer)["figures"][key] = str((folder / f"{key}.png").relative_to(run.path))
