"""Stage train-cnn: train the studied network, or load the user's, and measure its accuracy."""

from pathlib import Path

import torch
from jaxtyping import Int64
from torch import Tensor

from filtergan.classifiers.fast_fitting import fit_fast
from filtergan.classifiers.fitting import augmented, fit, predict, steps_of
from filtergan.classifiers.networks import WhitenedCNN
from filtergan.figures import curves_figure, save
from filtergan.images.domain import to_float
from filtergan.images.sources import of_the_hub
from filtergan.machine import distributed, runtime, telling
from filtergan.machine.files import save_tensors, sha256
from filtergan.measures.accuracies import reordered_accuracy
from filtergan.measures.registry import result
from filtergan.measures.statistics import interval
from filtergan.runs.directory import RunDirectory
from filtergan.runs.events import EventLog, read_events
from filtergan.runs.record import DatasetRecord, NetworkRecord, WeightsRecord
from filtergan.sites.wrappers import unwrapped
from filtergan.study.materials import Materials

STAGE = "train-cnn"


def run(run: RunDirectory, materials: Materials) -> None:
    """Write cnn.safetensors and the record's parts on dataset and network."""
    config, data, network = run.config, materials.dataset, materials.network
    run.record.dataset = DatasetRecord(
        name=data.name,
        fetched=of_the_hub(data.name),
        fingerprint=data.fingerprint,
        train=len(data.train),
        test=len(data.test),
        shape=list(data.shape),
        classes=list(data.classes),
    )
    figures: dict[str, str] = {}
    if config.model is None:
        _train(run, materials)
        figures["curves"] = "figures/cnn_curves.png"
        events = read_events(run.path / "events.jsonl")
        save(curves_figure(events, STAGE), run.path / figures["curves"])
    path = run.path / "cnn.safetensors"
    save_tensors(path, unwrapped(network).state_dict())

    predicted = predict(network, data.test.images, device=materials.device).argmax(1)
    correct = (predicted == data.test.labels).float()
    ci = interval(correct, resamples=config.measure.resamples, seed=config.seed)
    most = float(data.test.labels.bincount().max()) / len(correct)
    warning = None
    if config.model is not None and ci[0] <= most:
        warning = _near_chance(predicted, data.test.labels, ci)
        telling.warn(warning)
    run.record.cnn = NetworkRecord(
        source=config.model or "trained here",
        weights=_loaded(config.weights),
        accuracy=result("real_accuracy", float(correct.mean()), ci, len(correct), most),
        parameters=sum(p.numel() for p in network.parameters()),
        sha256=sha256(path),
        figures=figures,
        warning=warning,
    )
    run.save()


def _loaded(weights: str | None) -> WeightsRecord | None:
    return None if weights is None else WeightsRecord(path=weights, sha256=sha256(Path(weights)))


def _near_chance(
    predicted: Int64[Tensor, " n"], labels: Int64[Tensor, " n"], ci: tuple[float, float]
) -> str:
    """What may be wrong with a network that is no better than to name the commonest class."""
    low, high = (100 * end for end in ci)
    most = 100 * float(labels.bincount().max()) / len(labels)
    renamed = 100 * reordered_accuracy(labels, predicted)
    return (
        f"The network is near chance on these labels: it is right on {low:.1f} to {high:.1f} % of "
        f"the test images, and the most frequent class is {most:.1f} % of them. Perhaps it wants "
        "its pixels normalised (--mean, --std), or has its classes in another order than the "
        f"dataset (in the best order it would be right on {renamed:.1f} %), or the weights or the "
        "images are not those meant."
    )


def _train(run: RunDirectory, materials: Materials) -> None:
    """Train the network, each of several processes alike: batch norm needs the whole minibatch."""
    config, train = run.config.cnn, materials.dataset.train
    steps = steps_of(len(train), config.epochs, config.batch)
    every = max(1, steps // 200)
    with (
        EventLog(run) as log,
        telling.progress(steps, "network", "steps") as advance,
    ):
        log.cut_back(STAGE, -1)

        def on_step(step: int, _total: int, loss: torch.Tensor, samples: int) -> None:
            if step % every == 0:
                log.append(STAGE, step, loss=float(loss), samples=samples)
            advance()

        def prepare(images: torch.Tensor) -> torch.Tensor:
            return augmented(to_float(images), config.flip, config.shift)

        seed, network = runtime.derive_seed(run.config.seed, STAGE), unwrapped(materials.network)
        materials.network.requires_grad_(True)
        if isinstance(network, WhitenedCNN):
            images, labels, device = train.images, train.labels, materials.device
            fit_fast(network, images, labels, config, seed=seed, device=device, on_step=on_step)
            return distributed.agree(materials.network)
        fit(
            materials.network,
            materials.network.parameters(),
            train.images,
            train.labels,
            epochs=config.epochs,
            batch=config.batch,
            rate=config.rate,
            weight_decay=config.weight_decay,
            seed=seed,
            device=materials.device,
            prepare=prepare,
            on_step=on_step,
        )
    distributed.agree(materials.network)
