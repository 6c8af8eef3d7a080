"""How a training at a site is followed: its lines in the log, its bar, and how it may end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypedDict

from filtergan.config.site_names import SiteName
from filtergan.figures import curves_figure, save
from filtergan.game.gan import FilterGAN
from filtergan.game.training import Diverged, Log
from filtergan.machine import telling
from filtergan.runs.directory import RunDirectory
from filtergan.runs.events import EventLog, read_events


class Callbacks(TypedDict):
    """What a training is to call."""

    log: Log
    on_start: Callable[[int], object]
    on_step: Callable[[], object]


@contextmanager
def followed(
    run: RunDirectory, stage: str, name: SiteName, steps: int, batch: int, what: str = "generator"
) -> Iterator[Callbacks]:
    """Follow a training; when it diverges, that is the site's verdict.

    Args:
        run: The run directory.
        stage: Its curves go by this and the site's name.
        name: The site's.
        steps: From its first to its last.
        batch: Samples in a step.
        what: Is trained.
    """
    curves = f"{stage}/{name}"
    with EventLog(run) as log, telling.progress(steps, f"{what} of {name}", "steps") as advance:

        def on_start(step: int) -> None:
            log.cut_back(curves, step)
            if step:
                telling.say(f"the {what} of {name.prose} goes on from step {step:,} of {steps:,}")
            advance(step)

        def on_log(step: int, values: dict[str, float]) -> None:
            log.append(curves, step, samples=step * batch, **values)

        try:
            yield {"log": on_log, "on_start": on_start, "on_step": advance}
        except Diverged as error:
            run.set_verdict(name, "diverged", str(error))
            raise


def keep(
    run: RunDirectory, stage: str, name: SiteName, gan: FilterGAN, response: tuple[int, ...]
) -> None:
    """Save what was trained at a site, and its curves; the record tells where, and of what shapes.

    Args:
        run: The run directory.
        stage: As for `followed`.
        name: The site's.
        gan: What was trained.
        response: Shape of one image's response.
    """
    folder, entry = run.site_path(name), run.site(name)
    gan.save(folder)
    entry.response = list(response)
    entry.filters, entry.convolution = list(gan.site.filters.shape), gan.site.backend
    entry.files["gan"] = f"{folder.name}/filtergan.json"
    entry.files |= {part: f"{folder.name}/{part}.safetensors" for part in gan.parts}
    figure = folder / "figures" / "curves.png"
    save(curves_figure(read_events(run.path / "events.jsonl"), f"{stage}/{name}"), figure)
    entry.figures["curves"] = str(figure.relative_to(run.path))
