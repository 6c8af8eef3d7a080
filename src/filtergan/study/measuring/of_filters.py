"""What the generated filters are worth: variety, latents, accuracy, fidelity of responses."""

from typing import Any

import torch
from torch import Tensor

from filtergan.config.fields import JointConfig, MeasureConfig
from filtergan.config.site_names import SiteName
from filtergan.errors import UserError
from filtergan.figures import filters_figure
from filtergan.game.gan import FilterGAN
from filtergan.machine import distributed, runtime, telling
from filtergan.machine.storage import Subset
from filtergan.machine.wording import count_of
from filtergan.measures.fidelity import prdc, two_sample
from filtergan.measures.filters import (
    coordinates,
    draws_interval,
    filter_spread,
    nearest_real_distance,
    noise_matched,
    participation_ratio,
    random_filters,
)
from filtergan.measures.latents import (
    information_nats,
    latent_intervals,
    latent_name,
    latent_r2,
)
from filtergan.measures.registry import result
from filtergan.measures.statistics import interval, quantiles, two_way_interval
from filtergan.pooling.pool import FilterPool2d
from filtergan.pooling.retraining import draw_accuracy, retrain, retraining
from filtergan.runs.directory import RunDirectory
from filtergan.runs.record import Found, MeasureRecord
from filtergan.sites.site import Site
from filtergan.study.materials import Materials
from filtergan.study.plotting import filter_map, keep_figures

RANDOM_SETS = 10  # sets of random filters behind the null of single draws
COMPARED = 1000  # real responses, and as many generated ones, that are told apart
HELD_OUT = 2000  # held-out images, each with a draw of its own, behind R²
READ, RETRAINED = "latent_r2_*, information_nats", "*_retrained_*"  # measures that may not apply
POOLED = "pooled_accuracy_k{k}"


def measure_filters(
    run: RunDirectory, materials: Materials, name: SiteName, gan: FilterGAN, seed: int
) -> Found:
    """Measure the draws of a site's generator, and plot its figures of filters.

    Args:
        run: The run directory; its record is told where the figures lie.
        materials: Images and network.
        name: The site's.
        gan: The trained generator and discriminator.
        seed: Of the site's measures.
    """
    draws = gan.draw(gan.latents(run.config.measure.draws, seed, "draws"))
    found = _variety(run, gan, draws, seed)
    left_out = not_measured(gan, run.config.measure)
    if READ not in left_out:
        found |= _latents(run, materials, gan, seed)
    found |= _accuracy(run, materials, name, gan, draws, seed)
    if RETRAINED not in left_out:
        found |= _retrained(run, materials, name, gan, draws, seed)
    found |= _fidelity(run, materials, gan, seed)
    real, generated = gan.site.filters.cpu(), draws.cpu()
    figures = {
        "filters": filters_figure(real, generated),
        "map": filter_map(run.config, real, generated),
    }
    keep_figures(run, name, figures)
    return found


def not_measured(gan: FilterGAN, config: MeasureConfig) -> dict[str, str]:
    """What does not apply to the draws of such a generator, or to so few of them, and why."""
    found, site = {}, gan.site
    # By the natural recipe Q looks on, whatever its weight.
    if not (gan.config.information or isinstance(gan.config, JointConfig)):
        found[READ] = "lambda is 0, so the game trained no Q to recover z"
    if why := unpoolable(site):
        found[RETRAINED] = why
    if large := [POOLED.format(k=k) for k in config.pooled_sizes if k > config.draws]:
        found[", ".join(large)] = f"there are but {count_of(config.draws, 'draw')}"
    return found


def unpoolable(site: Site) -> str | None:
    """Why what follows a site cannot be re-trained; None: it can."""
    if site.suffix is None:
        try:
            FilterPool2d.into(site, site.filters[None])
        except UserError as error:
            return str(error)
    return None


def _variety(run: RunDirectory, gan: FilterGAN, draws: Tensor, seed: int) -> Found:
    """How the draws differ from each other and from the real filters."""
    real, generated = gan.site.filters.cpu(), draws.cpu()
    rng = runtime.generator(seed, "controls of variety")
    noisy, random = noise_matched(real, generated, len(draws), rng), random_filters(real, 10, rng)
    points = coordinates(generated)
    nearest = torch.tensor([nearest_real_distance(one[None], real) for one in generated])
    n, resamples = len(draws), run.config.measure.resamples
    return {
        "filter_spread": result(
            "filter_spread",
            filter_spread(generated, real),
            draws_interval(lambda g: filter_spread(g, real), points),
            n,
            0.0,
        ),
        "nearest_real_distance": result(
            "nearest_real_distance",
            float(nearest.mean()),
            interval(nearest, resamples=resamples, seed=seed),
            n,
            nearest_real_distance(random, real),
        ),
        "participation_ratio": result(
            "participation_ratio",
            participation_ratio(generated),
            draws_interval(participation_ratio, points),
            n,
            participation_ratio(noisy),
        ),
    }


def _latents(run: RunDirectory, materials: Materials, gan: FilterGAN, seed: int) -> Found:
    """How well Q recovers each latent from responses to held-out images."""
    test = materials.dataset.test
    n = min(HELD_OUT, len(test))
    z = gan.latents(n, seed, "held out")
    chosen = runtime.sample(len(test), n, seed, "held out images")
    batch = min(100, gan.at_once)
    parts = zip(chosen.split(batch), z.split(batch), strict=True)
    predicted = torch.cat(
        [gan.predict(materials.inputs(gan.site, test, index), one) for index, one in parts]
    )
    z, predicted = z.cpu(), predicted.cpu()
    r2 = latent_r2(z, predicted)
    ends = latent_intervals(z, predicted, resamples=run.config.measure.resamples, seed=seed)
    values = {latent_name(i): float(one) for i, one in enumerate(r2)}
    values |= {"latent_r2_min": float(r2.min()), "latent_r2_mean": float(r2.mean())}
    values["information_nats"] = float(information_nats(r2))
    return {name: result(name, value, ends[name], n, 0.0) for name, value in values.items()}


def _accuracy(
    run: RunDirectory,
    materials: Materials,
    name: SiteName,
    gan: FilterGAN,
    draws: Tensor,
    seed: int,
) -> Found:
    """Test accuracy of single draws and of pooled ones, nothing re-trained."""
    config, test, site = run.config.measure, materials.dataset.test, gan.site
    chosen = runtime.sample(len(test), config.draw_images, seed, "classified images")
    images, labels = Subset(test.images, chosen), test.labels[chosen]
    rng = runtime.generator(seed, "random filters")
    sizes = tuple(k for k in config.pooled_sizes if k <= len(draws))
    random = random_filters(site.filters.cpu(), max((RANDOM_SETS, *sizes)), rng).to(draws)
    total = (len(draws) + len(random)) * len(images)
    with telling.progress(total, f"single draws of {name}", "images") as advance:
        ours, null = (
            draw_accuracy(
                site,
                images,
                labels,
                filters,
                sizes,
                device=materials.device,
                tick=advance,
            )
            for filters in (draws, random)
        )
    each, chance = ours.single.float().mean(1), float(null.single.float().mean())

    def over_draws(name: str, value: Tensor, statistic: Any, null: float | None) -> MeasureRecord:
        ci = two_way_interval(
            ours.single, statistic=statistic, resamples=config.resamples, seed=seed
        )
        return result(name, float(value), ci, len(draws), null, quantiles(each))

    network = run.record.cnn
    assert network is not None  # its stage is done
    found = {
        "real_accuracy": network.accuracy,
        "single_draw_accuracy": over_draws("single_draw_accuracy", each.mean(), "mean", chance),
        "single_draw_accuracy_sd": over_draws("single_draw_accuracy_sd", each.std(), "sd", None),
        "single_draw_accuracy_min": over_draws(
            "single_draw_accuracy_min", each.min(), "min", chance
        ),
    }
    for k in sizes:
        measure, right = POOLED.format(k=k), ours.pooled[k].float()
        ci = interval(right, resamples=config.resamples, seed=seed)
        none = float(null.pooled[k].float().mean())
        found[measure] = result(measure, float(right.mean()), ci, len(right), none)
    return found


def _retrained(
    run: RunDirectory,
    materials: Materials,
    name: SiteName,
    gan: FilterGAN,
    draws: Tensor,
    seed: int,
) -> Found:
    """The paper's last experiment and its controls: pooled, later layers re-trained alike."""
    config, data, site = run.config.measure, materials.dataset, gan.site
    real, k = site.filters.cpu(), config.pooled
    rng = runtime.generator(seed, "controls of pooling")
    sets = {
        "pooled": gan.draw(gan.latents(k, seed, "pooled")),
        "real": site.filters[None],
        "noise_matched": noise_matched(real, draws.cpu(), k, rng),
        "random_filters": random_filters(real, k, rng),
    }
    chosen = runtime.sample(len(data.train), config.retrain_limit, seed, "retrain images")
    train = Subset(data.train.images, chosen), data.train.labels[chosen]
    images = len(sets) * retraining(site, len(chosen), len(data.test), config)
    with telling.progress(images, f"re-training after {name}", "images") as advance:
        tick = distributed.pace(advance)

        def retrained(filters: Tensor) -> Tensor:
            logits = retrain(
                site,
                filters.to(materials.device),
                train,
                data.test.images,
                config,
                seed=seed,
                device=materials.device,
                tick=tick,
            )
            return (logits.argmax(1) == data.test.labels).float()

        found_right = distributed.spread(retrained, list(sets.values()))
    correct = dict(zip(sets, found_right, strict=True))

    null = float(correct["random_filters"].mean())
    found: Found = {}
    for kind, right in correct.items():
        measure = f"{kind}_retrained_accuracy"
        ci = interval(right, resamples=config.resamples, seed=seed)
        against = None if kind == "random_filters" else null
        found[measure] = result(measure, float(right.mean()), ci, len(right), against)
    gain = correct["pooled"] - correct["real"]
    ci = interval(gain, resamples=config.resamples, seed=seed)
    found["pooled_retrained_gain"] = result(
        "pooled_retrained_gain", float(gain.mean()), ci, len(gain), 0.0
    )
    return found


@torch.no_grad()
def _fidelity(run: RunDirectory, materials: Materials, gan: FilterGAN, seed: int) -> Found:
    """Whether generated responses can be told from real ones, of other held-out images."""
    site, test, config = gan.site, materials.dataset.test, run.config.measure
    n = min(COMPARED, len(test) // 2)
    chosen = runtime.sample(len(test), 2 * n, seed, "compared images")
    inputs = [materials.inputs(site, test, chosen[k * n : (k + 1) * n]) for k in range(2)]
    batch = min(100, gan.at_once)
    z = gan.latents(n, seed, "compared").split(batch)
    rng = runtime.generator(seed, "compared random filters")
    real, weights = site.respond(inputs[0]), site.filters.cpu()
    fake, null = [], []
    for h, one in zip(inputs[1].split(batch), z, strict=True):
        fake.append(site.respond(h, gan.draw(one)))
        # As many sets, one for each image: fewer would lie closer together.
        random = random_filters(weights, len(one), rng)
        null.append(site.respond(h, random.to(site.filters)))
    fake, null = torch.cat(fake), torch.cat(null)
    summed = [r.reshape(*r.shape[:2], -1).mean(2).cpu() for r in (real, fake, null)]
    ours, chance = prdc(summed[0], summed[1]), prdc(summed[0], summed[2])
    found = {}
    for name, values in ours.items():
        ends = interval(values, resamples=config.resamples, seed=seed)
        against = float(chance[name].float().mean())
        found[name] = result(name, float(values.float().mean()), ends, n, against)
    right = two_sample(real, fake, seed=seed, device=materials.device)
    ends = interval(right, resamples=config.resamples, seed=seed)
    name = "two_sample_accuracy"
    found[name] = result(name, float(right.float().mean()), ends, len(right), 0.5)
    return found
