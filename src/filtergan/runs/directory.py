"""The run directory of a study: its files, its record and its log of events."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from filtergan.config.fields import StudyConfig, dump, load, parse
from filtergan.config.older import renewed
from filtergan.errors import UserError
from filtergan.machine.distributed import apart, first, lead, size
from filtergan.machine.files import (
    PART,
    json_safe,
    remedy,
    write_atomic,
    writing,
)
from filtergan.machine.provenance import backend, git_state, machine, now, peak_memory_mib, versions
from filtergan.runs.places import begun_in

SCHEMA = "filtergan-record-1"
# What `overwrite` may remove: these files and no others, whatever else lies in the directory.
RUN_FILES = (
    *("events.jsonl", "report.html", "cnn.safetensors", "checkpoint/*", "figures/*.png"),
    "tensorboard/*/events.out.tfevents.*",
)
SITE_FILES = ("*.safetensors", "filtergan.json", "checkpoint/*", "figures/*.png")


class RunDirectory:
    """The folder of one study.

    Attributes:
        path: The folder.
        config: The study's config.
        record: Content of record.json, plain values; change it, then `save`.
    """

    def __init__(self, path: Path, config: StudyConfig, record: dict[str, Any]) -> None:
        """Hold the parts; callers use `create` or `open`."""
        self.path = path
        self.config = config
        self.record = record

    def __repr__(self) -> str:
        """The folder, and how far its study is."""
        return f"RunDirectory({str(self.path)!r}, {self.record['status']})"

    @classmethod
    def create(
        cls, path: Path, config: StudyConfig, *, resume: bool = False, overwrite: bool = False
    ) -> "RunDirectory":
        """Begin a study in a new or empty folder, or continue or replace the one that is there.

        Of several processes the first does it for all.

        Args:
            path: The folder.
            config: The study's config.
            resume: Continue the study that lies there, if any; a finished one has nothing to do.
            overwrite: Begin anew; removes the files that filtergan wrote there and no others.

        Raises:
            UserError: The folder holds something else, or a study and neither option was given,
                or one that was begun with another config; or it cannot be written (exit code 1).
        """
        return lead(lambda: cls._create(path, config, resume, overwrite))

    @classmethod
    def _create(
        cls, path: Path, config: StudyConfig, resume: bool, overwrite: bool
    ) -> "RunDirectory":
        if path.exists() and not path.is_dir():
            raise UserError(f"{path} is a file; name a folder with --out.")
        if not path.exists() or all(item.name.endswith(PART) for item in path.iterdir()):
            return cls._begin(path, config, ())
        if not (path / "record.json").exists():
            raise UserError(
                f"{path} holds something other than a study; name another folder with --out."
            )
        if overwrite:
            return cls._begin(path, config, _layers_there(path))
        status = read_record(path)["status"]
        if not resume:
            raise UserError(
                f"{path} holds a finished study; repeat it with --overwrite, or name another "
                "folder with --out."
                if status == "finished"
                else f"{path} holds an unfinished study; continue it with --resume, or begin anew "
                "with --overwrite."
            )
        if status == "starting":  # killed before anything was done
            return cls._begin(path, config, _layers_there(path))
        return cls._continue(path, config)

    @classmethod
    def open(cls, path: Path) -> "RunDirectory":
        """Open the study that lies in a folder, with the config of its config.yaml.

        Raises:
            UserError: There is none; or its record or config is damaged, or they do not agree.
        """
        return lead(lambda: cls._open(path))

    @classmethod
    def _open(cls, path: Path) -> "RunDirectory":
        record = read_record(path)
        if record["status"] == "starting":
            raise UserError(
                f"The study in {path} was stopped before it began; start it with "
                f"`filtergan study PRESET --out {path} --resume`."
            )
        config = load(path / "config.yaml", earlier=True)
        begun = parse(renewed(record["config"]), str(path / "record.json"))
        if changed := _differing(begun, config):
            raise UserError(
                f"{path / 'config.yaml'} was changed after its study had begun ({changed}): put it "
                "back, or run the changed one in another folder (`study --config`, `--out`)."
            )
        return cls(path, config, record)

    @classmethod
    def _begin(cls, path: Path, config: StudyConfig, layers: tuple[str, ...]) -> "RunDirectory":
        """Write a fresh record, then remove what an earlier study of these layers left.

        Killed anywhere in between, the record says `starting`, and what is still to be cleared.
        """
        for name in (config.weights, config.data):
            if layers and name and Path(name).resolve().is_relative_to(path.resolve()):
                raise UserError(
                    f"{name} lies in {path}, which is to be cleared; move it elsewhere first."
                )
        run = cls(path, config, _new_record(config))
        if (folder := begun_in(path, config)) is not None:
            run.record["begun_in"] = folder
        run.record["clearing"] = sorted({*layers, *config.layer})
        run.save()
        write_atomic(path / "config.yaml", dump(config).encode())
        _clear(path, run.record.pop("clearing"))
        run.record["status"] = "running"
        run.save()
        return run

    @classmethod
    def _continue(cls, path: Path, config: StudyConfig) -> "RunDirectory":
        run = cls._open(path)
        if changed := _differing(run.config, config):
            raise UserError(
                f"The study in {path} was begun with other settings ({changed}); continue it with "
                f"`filtergan study --config {path / 'config.yaml'} --out {path} --resume`, or "
                "begin anew with --overwrite."
            )
        if run.record["status"] != "finished":
            with writing(path):
                for part in path.rglob(f".*{PART}"):
                    part.unlink()
            run.record.pop("reason", None)
            again = {"at": now(), "versions": versions(), "git": git_state()}
            run.record.setdefault("resumed", []).append(again)
            run.record["status"] = "running"
            run.save()
        return run

    def save(self) -> None:
        """Write record.json; NaN and infinity become null.

        Raises:
            UserError: It could not be written (exit code 1).
        """
        text = json.dumps(json_safe(self.record), indent=2, allow_nan=False)
        write_atomic(self.path / "record.json", text.encode() + b"\n")

    def site_path(self, layer: str) -> Path:
        """The folder of a site, made if missing.

        Raises:
            UserError: It could not be made (exit code 1).
        """
        folder = self.path / _folder(layer)
        if first():
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
        return folder

    def site(self, layer: str) -> dict[str, Any]:
        """The record's entry of a site, to be filled in."""
        return self.record["sites"].setdefault(layer, _new_site())

    def set_measures(self, layer: str, measures: dict[str, dict[str, Any]]) -> None:
        """Add measures to a site's entry, replacing those of the same name, and save."""
        self.site(layer)["measures"] |= measures
        self.save()

    def set_verdict(self, layer: str, verdict: str, reason: str) -> None:
        """Set a site's verdict (`converged`, `collapsed`, `diverged`) with its reason, and save."""
        self.site(layer).update(verdict=verdict, reason=reason)
        self.save()

    def stage_done(self, name: str) -> bool:
        """Whether a stage has ended well."""
        return bool(self.record["stages"].get(name, {}).get("done", False))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Record a stage's seconds, memory, threads, backend and code; done only if it ends well.

        The seconds of a resumed stage add up over its attempts, less those of a killed one. The
        memory is the largest that the process had up to the stage's end.

        Raises:
            UserError: The record could not be written (exit code 1).
        """
        earlier = self.record["stages"].get(name, {})
        if earlier.get("done"):  # a stage run once more, not continued
            earlier = {}
        entry: dict[str, Any] = {"done": False, "seconds": earlier.get("seconds", 0.0)}
        # Sites that an interrupted attempt had finished need not be done again.
        entry["sites"] = earlier.get("sites", [])
        entry |= {"attempts": earlier.get("attempts", 0) + 1, "peak_memory_mib": None}
        entry |= {"backend": backend(self.config.device), "threads": torch.get_num_threads()}
        entry["processes"] = size()
        entry["git"] = git_state()  # a stage may be run anew by later code than the study
        self.record["stages"][name] = entry
        self.save()
        on_card, start = entry["backend"] == "cuda", time.monotonic()
        if on_card:
            torch.cuda.reset_peak_memory_stats()

        def close(done: bool) -> None:
            entry["seconds"] = round(entry["seconds"] + time.monotonic() - start, 3)
            entry["peak_memory_mib"] = round(peak_memory_mib(), 1)
            if on_card:
                entry["peak_gpu_memory_mib"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
            entry["done"] = done
            self.save()

        try:
            yield
        except BaseException:
            with suppress(UserError), apart():  # a full disk must not hide what went wrong
                close(done=False)
            raise
        close(done=True)

    def forget(self, stages: Sequence[str]) -> None:
        """Take out of the record what these stages found, before they are run once more."""
        for name in stages:
            self.record["stages"].pop(name, None)
        if "measure" in stages:
            self.record.pop("figures", None)
        for site in self.record["sites"].values():
            if "measure" in stages:
                site.update(verdict=None, reason=None, measures={})
            site["figures"] = {k: v for k, v in site["figures"].items() if _maker(k) not in stages}
        self.record["status"] = "running"
        self.save()

    def site_done(self, stage: str, layer: str) -> bool:
        """Whether the current or an interrupted attempt at a stage has finished a site."""
        return layer in self.record["stages"].get(stage, {}).get("sites", [])

    def finish_site(self, stage: str, layer: str) -> None:
        """Remember that a stage has finished a site, and save."""
        self.record["stages"][stage]["sites"].append(layer)
        self.save()

    def finish(self) -> None:
        """Mark the study as finished."""
        self.record.pop("reason", None)
        self.record.update(status="finished", finished=now())
        self.save()

    def fail(self, reason: str) -> None:
        """Mark the study as failed, as far as the disk allows; `resume` may continue it."""
        self.record.update(status="failed", finished=now(), reason=reason)
        with suppress(UserError), apart():
            self.save()


def _maker(figure: str) -> str:
    """The stage that makes a site's figure."""
    if figure == "curves":
        return "train-gan"
    return "traverse" if figure.startswith(("grid", "traversal")) else "measure"


def _new_site() -> dict[str, Any]:
    return {"verdict": None, "reason": None, "measures": {}, "figures": {}, "files": {}}


def _new_record(config: StudyConfig) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "preset": config.preset,
        "config": config.model_dump(mode="json"),
        "seed": config.seed,
        "started": now(),
        "finished": None,
        "status": "starting",
        "versions": versions(),
        "device": machine(config.device),
        "git": git_state(),
        "dataset": {},
        "cnn": {},
        "stages": {},
        "sites": {layer: _new_site() for layer in config.layer},
    }


def read_record(path: Path) -> dict[str, Any]:
    """Read record.json of a folder, which need hold nothing else.

    Raises:
        UserError: There is none; or it is damaged, or of another version.
    """
    file = path / "record.json"
    try:
        record = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path} holds no study (no record.json); name a run directory.") from None
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise UserError(f"{file} is damaged. {remedy(file)}") from error
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        raise UserError(f"{file} was not written by this version of filtergan; use another folder.")
    parts = [record.get(key) for key in ("config", "stages", "sites")]
    if not all(isinstance(part, dict) for part in parts) or "status" not in record:
        raise UserError(f"{file} is damaged. {remedy(file)}")
    return record


def _layers_there(path: Path) -> tuple[str, ...]:
    """Layers whose folders an earlier study left; fails where the folder is not a study's.

    With a damaged record, a valid config.yaml beside it shows that the folder is one.
    """
    try:
        record = read_record(path)
    except UserError:
        try:
            return load(path / "config.yaml", earlier=True).layer
        except UserError as error:
            raise UserError(
                f"{path} cannot be recognised as a study, so nothing is removed there; name "
                "another folder with --out."
            ) from error
    return (*record["sites"], *record.get("clearing", ()))


def _folder(layer: str) -> str:
    return layer.replace("/", "_").lstrip(".") or "_"


def _clear(path: Path, layers: list[str]) -> None:
    """Remove the files of an earlier study, and the folders that this leaves empty."""
    places = [(path, RUN_FILES), *((path / _folder(layer), SITE_FILES) for layer in layers)]
    emptied: set[Path] = set()
    with writing(path):
        for folder, patterns in places:
            for file in [f for p in (*patterns, f".*{PART}") for f in folder.glob(p)]:
                if not file.is_dir():
                    file.unlink()
                    emptied.update(p for p in file.parents if p.is_relative_to(path) and p != path)
    for folder in sorted(emptied, reverse=True):
        with suppress(OSError):
            folder.rmdir()


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = prefix + key
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat


def _differing(one: StudyConfig, other: StudyConfig) -> str:
    """Dotted names of the fields in which two configs differ; empty if in none."""
    a, b = _flat(one.model_dump()), _flat(other.model_dump())
    return ", ".join(name for name in a if a[name] != b[name])
