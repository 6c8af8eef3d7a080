"""What a study says of itself, record.json: its parts."""

import math
from collections.abc import Mapping
from operator import not_
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

SCHEMA = "filtergan-record-3"
"""Written into every record; `migration` reads those of earlier schemas."""

Verdict = Literal["converged", "collapsed", "diverged", "too short to say"]
TOO_SHORT: Verdict = "too short to say"


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_finite)]
"""A number; None where there is none, or where it is not finite, which JSON cannot say."""
Ends = tuple[Number, Number]


class _Part(BaseModel):
    """A part of the record; what it does not name is refused."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)


class _Fixed(_Part):
    """A part that is written once."""

    model_config = ConfigDict(frozen=True)


class MeasureRecord(_Fixed):
    """One measured number.

    Attributes:
        value: The estimate.
        ci95: Its 95 % interval.
        n: Number of independent things behind it (images, groups of them, or draws).
        null: Its value under the null that the registry describes.
        better: Which way is better.
        unit: Of the value.
        quantiles: Level to value, where the distribution matters.
    """

    value: Number = None
    ci95: Ends = (None, None)
    n: int = 0
    null: Number = None
    better: Literal["higher", "lower", "neither"] = "neither"
    unit: str = ""
    quantiles: dict[str, Number] = Field(default={}, exclude_if=not_)

    def __str__(self) -> str:
        """Value, interval and null, as in 0.71 [0.68, 0.74], null 0.10."""
        if self.value is None:
            return "undefined"
        ends = "" if None in self.ci95 else " [{:.2f}, {:.2f}]".format(*self.ci95)
        return f"{self.value:.2f}{ends}" + ("" if self.null is None else f", null {self.null:.2f}")


Found = dict[str, MeasureRecord]
"""Measures by their registered names."""
NOT_MEASURED = MeasureRecord()


class CheckRecord(_Fixed):
    """One test of a site's traversals.

    Attributes:
        name: What is tested, in a word or two.
        passed: None: could not be tested.
        told: The numbers behind it.
        failure: What to say where it is failed.
    """

    name: str
    passed: bool | None
    told: str
    failure: str


class ConditionRecord(_Fixed):
    """A part of a claim.

    Attributes:
        says: What must hold.
        met: None: the intervals leave it open.
        told: The numbers.
    """

    says: str
    met: bool | None
    told: str


class ClaimRecord(_Fixed):
    """One of the paper's sentences, decided.

    Attributes:
        site: The site that it is about.
        sentence: What is claimed.
        verdict: What the conditions make of it.
        reason: The numbers that decide.
        conditions: What must hold.
    """

    site: str
    sentence: str
    verdict: Literal["supported", "not supported", "undecided"]
    reason: str
    conditions: list[ConditionRecord]


class LatentRecord(_Fixed):
    """What one direction of latent space does.

    Attributes:
        name: A latent, or a combination of some.
        sentence: What it does, in words.
        direction: Of length one, in latent space.
        images: How many were walked along it.
        shifts: Of each morphometric, with the ends of its interval, in standard deviations.
        explained: Share of the image change that each family explains.
        labels_kept: Share of images whose label independent judges keep.
        image_change: Median, in norms of the image.
        compensation: Mean.
        compensation_null: Mean of the null's, as far along its own axes where a transformer walks
            them; else at random points as far away.
    """

    name: str
    sentence: str
    direction: list[float]
    images: int
    shifts: Mapping[str, tuple[Number, Number, Number]]
    explained: Mapping[str, Number]
    labels_kept: Number
    image_change: Number
    compensation: Number
    compensation_null: Number = None


class CeilingRecord(_Fixed):
    """What filters undo of a known transformation of images, those fitted to it.

    Attributes:
        family: That the transformation belongs to.
        image_change: Median, in norms of the image.
        response_change: Of the response, under the real filters, in its norm.
        compensation: Share of the response's change by the filters that the images take back.
        share: Share of the response's change by the images that the filters take back.
        at_best: The compensation, where filters go as far as is best for it; None: not measured.
    """

    family: str
    image_change: Number
    response_change: Number
    compensation: MeasureRecord
    share: MeasureRecord
    at_best: MeasureRecord | None = Field(default=None, exclude_if=not_)

    @property
    def undone(self) -> MeasureRecord:
        """The ceiling; of records without it, what the fitted filters undo."""
        return self.at_best or self.compensation


class SiteRecord(_Part):
    """What is known of one site.

    Attributes:
        verdict: On its generator; None: not assessed.
        reason: The numbers behind the verdict.
        filters: Shape [o, i, *k].
        response: Shape of one image's response.
        convolution: How filters of its own for every sample were applied.
        inputs: Where the site inputs were kept.
        ceilings: Of known transformations of images, whatever the generator.
        measures: Of filters and traversals.
        references: The same of the null, and of each reference transformation.
        gates: The tests of the traversals.
        latents: What each direction of latent space does.
        not_measured: What does not apply, and why.
        figures: Name to path in the run directory.
        files: The same.
        folder: Where they lie; None: in the folder of its name. Earlier versions named it by layer.
    """

    verdict: Verdict | None = None
    reason: str | None = None
    filters: list[int] | None = None
    response: list[int] | None = None
    convolution: Literal["grouped", "unfolded"] | None = None
    inputs: Literal["memory", "disk", "recomputed"] | None = None
    ceilings: dict[str, CeilingRecord] = Field(default={}, exclude_if=not_)
    measures: Found = {}
    references: dict[str, Found] = {}
    gates: list[CheckRecord] = []
    latents: list[LatentRecord] = []
    not_measured: dict[str, str] = {}
    figures: dict[str, str] = {}
    files: dict[str, str] = {}
    folder: str | None = Field(default=None, exclude_if=not_)


class GitRecord(_Fixed):
    """The code that ran: its commit, and whether nothing was changed since."""

    commit: str
    clean: bool


class StageRecord(_Part):
    """How a stage went.

    Attributes:
        done: Whether it has ended well.
        seconds: Of all attempts, less those of a killed one.
        sites: That it has finished.
        attempts: How often it was begun or continued.
        peak_memory_mib: The largest that the process had up to the stage's end.
        backend: cpu or cuda.
        threads: CPU threads.
        processes: That shared the work.
        git: A stage may be run anew by later code than the study.
        peak_gpu_memory_mib: On a card.
    """

    done: bool = False
    seconds: float = 0.0
    sites: list[str] = []
    attempts: int = 1
    peak_memory_mib: float | None = None
    backend: str = "cpu"
    threads: int = 1
    processes: int = 1
    git: GitRecord | None = None
    peak_gpu_memory_mib: float | None = Field(default=None, exclude_if=not_)


class DatasetRecord(_Fixed):
    """The images: what they are, and how many for training and test.

    Attributes:
        name: As the config has it.
        fetched: From the Hub; not known in records of earlier versions.
        fingerprint: Of pixels and labels.
        train: How many for training.
        test: How many for test.
        shape: Channels, height and width.
        classes: Their names.
    """

    name: str
    fetched: bool = Field(default=False, exclude_if=not_)
    fingerprint: str
    train: int
    test: int
    shape: list[int]
    classes: list[str]


class WeightsRecord(_Fixed):
    """A file of weights that was loaded."""

    path: str
    sha256: str


class NetworkRecord(_Fixed):
    """The studied network.

    Attributes:
        source: The factory of a network of one's own, or how it came to be.
        weights: What was loaded.
        accuracy: On the test images.
        parameters: How many.
        sha256: Of cnn.safetensors.
        figures: Name to path in the run directory.
        warning: What may be wrong with it.
        taken_over_from: The run directory, seen from this one, whose training it comes from.
    """

    source: str
    weights: WeightsRecord | None
    accuracy: MeasureRecord
    parameters: int
    sha256: str
    figures: dict[str, str] = {}
    warning: str | None = Field(default=None, exclude_if=not_)
    taken_over_from: str | None = Field(default=None, exclude_if=not_)


class JudgesRecord(_Fixed):
    """The independent classifiers: how good each is, their file, and seconds of their training."""

    accuracies: list[MeasureRecord]
    sha256: str
    seconds: float


class MachineRecord(_Fixed):
    """The device setting, and what it led to."""

    requested: str
    cpu: str
    cores: int | None
    gpu: str | None


class ResumedRecord(_Fixed):
    """When, and by which code, a study was continued."""

    at: str
    versions: dict[str, str]
    git: GitRecord | None


class Record(_Part):
    """A whole study.

    Attributes:
        schema_: Of this record, in the file `schema`.
        preset: Name of the preset that the config came from.
        config: Plain values, as they were then: an older one may lack or have what is now unknown.
        seed: Of everything random.
        started: In UTC, as `finished`.
        finished: When it ended, well or not.
        status: `starting`: nothing was done yet, and what `clearing` names is still to be cleared.
        reason: Why it failed.
        versions: Of Python and the packages that can change a number.
        device: The machine.
        git: The code.
        begun_in: The working directory in which it was begun, as seen from the run directory.
        resumed: When it was continued.
        left_out: Sites that the config stands for as well, but that cannot be studied, and why.
        clearing: Folders of sites whose files of an earlier study are still to be removed.
        dataset: The images.
        cnn: The studied network.
        judges: The independent classifiers.
        stages: How each went.
        sites: By name, layer and reading as in conv4@bn5.
        claims: The paper's two sentences; empty where there is but one site, None: not decided.
        figures: Of the whole study: name to path in the run directory.
    """

    schema_: Literal["filtergan-record-3"] = Field(default=SCHEMA, alias="schema")
    preset: str
    config: dict[str, Any]
    seed: int
    started: str
    finished: str | None = None
    status: Literal["starting", "running", "finished", "failed"]
    reason: str | None = Field(default=None, exclude_if=not_)
    versions: dict[str, str]
    device: MachineRecord
    git: GitRecord | None
    begun_in: str | None = Field(default=None, exclude_if=not_)
    resumed: list[ResumedRecord] = Field(default=[], exclude_if=not_)
    left_out: dict[str, str] = Field(default={}, exclude_if=not_)
    clearing: list[str] = Field(default=[], exclude_if=not_)
    dataset: DatasetRecord | None = None
    cnn: NetworkRecord | None = None
    judges: JudgesRecord | None = None
    stages: dict[str, StageRecord]
    sites: dict[str, SiteRecord]
    claims: dict[str, ClaimRecord] | None = None
    figures: dict[str, str] = Field(default={}, exclude_if=not_)
