"""The run directory of a study: its files, its record and its log of events."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import torch

from filtergan.config.fields import StudyConfig
from filtergan.config.older import renewed
from filtergan.config.parsing import dump, load, parse
from filtergan.config.site_names import folder_of
from filtergan.config.values import flattened
from filtergan.errors import UserError
from filtergan.machine.distributed import apart, first, lead, size
from filtergan.machine.files import PART, write_atomic, writing
from filtergan.machine.provenance import backend, git_state, machine, now, peak_memory_mib, versions
from filtergan.runs.clearing import STUDY, folders, folders_there, forget, remove
from filtergan.runs.owned import Owned
from filtergan.runs.places import begun_in, named_here
from filtergan.runs.reading import read_record
from filtergan.runs.record import (
    SCHEMA,
    GitRecord,
    Record,
    ResumedRecord,
    SiteRecord,
    StageRecord,
    Verdict,
)


class RunDirectory:
    """The folder of one study.

    Attributes:
        path: The folder.
        config: The study's config.
        record: Content of record.json; change it, then `save`.
    """

    def __init__(self, path: Path, config: StudyConfig, record: Record) -> None:
        """Hold the parts; callers use `create` or `open`."""
        self.path = path
        self.config = config
        self.record = record

    def __repr__(self) -> str:
        """The folder, and how far its study is."""
        return f"RunDirectory({str(self.path)!r}, {self.record.status})"

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
            return cls._begin(path, config, folders_there(path))
        status = read_record(path).status
        if not resume:
            raise UserError(
                f"{path} holds a finished study; repeat it with --overwrite, or name another "
                "folder with --out."
                if status == "finished"
                else f"{path} holds an unfinished study; continue it with --resume, or begin anew "
                "with --overwrite."
            )
        if status == "starting":  # killed before anything was done
            return cls._begin(path, config, folders_there(path))
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
        if record.status == "starting":
            raise UserError(
                f"The study in {path} was stopped before it began; start it with "
                f"`filtergan study PRESET --out {path} --resume`."
            )
        config = load(path / "config.yaml", earlier=True)
        begun = parse(renewed(record.config), str(path / "record.json"))
        if changed := _differing(begun, config):
            raise UserError(
                f"{path / 'config.yaml'} was changed after its study had begun ({changed}): put it "
                "back, or run the changed one in another folder (`study --config`, `--out`)."
            )
        return cls(path, config, record)

    @classmethod
    def _begin(cls, path: Path, config: StudyConfig, earlier: tuple[str, ...]) -> "RunDirectory":
        """Write a fresh record, then remove what an earlier study left in these folders.

        Killed anywhere in between, the record says `starting`, and what is still to be cleared.
        """
        for name in named_here(config):
            if earlier and Path(name).resolve().is_relative_to(path.resolve()):
                raise UserError(
                    f"{name} lies in {path}, which is to be cleared; move it elsewhere first."
                )
        run = cls(path, config, _new_record(config))
        run.record.begun_in = begun_in(path, config)
        run.record.clearing = sorted({*earlier, *folders(run.record)})
        run.save()
        write_atomic(path / "config.yaml", dump(config).encode())
        remove(path, STUDY, run.record.clearing)
        run.record.clearing, run.record.status = [], "running"
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
        if run.record.status != "finished":
            with writing(path):
                for part in path.rglob(f".*{PART}"):
                    part.unlink()
            again = {"at": now(), "versions": versions(), "git": git_state()}
            run.record.resumed.append(ResumedRecord.model_validate(again))
            run.record.status, run.record.reason = "running", None
            run.save()
        return run

    def save(self) -> None:
        """Write record.json.

        Raises:
            UserError: It could not be written (exit code 1).
        """
        text = self.record.model_dump_json(indent=2, by_alias=True)
        write_atomic(self.path / "record.json", text.encode() + b"\n")

    def site_path(self, name: str) -> Path:
        """The folder of a site, made if missing; its name is the site's.

        Raises:
            UserError: It could not be made (exit code 1).
        """
        folder = self.path / (self.site(name).folder or folder_of(name))
        if first():
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
        return folder

    def site(self, name: str) -> SiteRecord:
        """The record's entry of a site, to be filled in."""
        return self.record.sites.setdefault(name, SiteRecord())

    def set_verdict(self, name: str, verdict: Verdict, reason: str) -> None:
        """Set a site's verdict with its reason, and save."""
        site = self.site(name)
        site.verdict, site.reason = verdict, reason
        self.save()

    def stage_done(self, name: str) -> bool:
        """Whether a stage has ended well."""
        return name in self.record.stages and self.record.stages[name].done

    @contextmanager
    def stage(self, name: str, device: str | None = None) -> Iterator[None]:
        """Record a stage's seconds, memory, threads, backend and code; done only if it ends well.

        The seconds of a resumed stage add up over its attempts, less those of a killed one. The
        memory is the largest that the process had up to the stage's end.

        Args:
            name: The stage.
            device: Another device than the config says.

        Raises:
            UserError: The record could not be written (exit code 1).
        """
        earlier = self.record.stages.get(name)
        if earlier is None or earlier.done:  # a stage run once more, not continued
            earlier = StageRecord(attempts=0)
        entry = StageRecord(
            seconds=earlier.seconds,
            sites=earlier.sites,  # what an interrupted attempt had finished need not be done again
            attempts=earlier.attempts + 1,
            backend=backend(device or self.config.device),
            threads=torch.get_num_threads(),
            processes=size(),
        )
        if state := git_state():  # a stage may be run anew by later code than the study
            entry.git = GitRecord.model_validate(state)
        self.record.stages[name] = entry
        self.save()
        on_card, start = entry.backend == "cuda", time.monotonic()
        if on_card:
            torch.cuda.reset_peak_memory_stats()

        def close(done: bool) -> None:
            entry.seconds = round(entry.seconds + time.monotonic() - start, 3)
            entry.peak_memory_mib = round(peak_memory_mib(), 1)
            if on_card:
                entry.peak_gpu_memory_mib = round(torch.cuda.max_memory_allocated() / 2**20, 1)
            entry.done = done
            self.save()

        try:
            yield
        except BaseException:
            with suppress(UserError), apart():  # a full disk must not hide what went wrong
                close(done=False)
            raise
        close(done=True)

    def forget(self, stages: Mapping[str, Owned]) -> None:
        """Take back what stages have made, before they are run once more.

        Args:
            stages: Name to what the stage makes.

        Raises:
            UserError: A file could not be removed, or the record not written (exit code 1).
        """
        for name, owned in stages.items():
            self.record.stages.pop(name, None)
            forget(self.record, owned)
        self.record.status, self.record.reason, self.record.finished = "running", None, None
        self.save()  # first: what the record names is there
        for owned in stages.values():
            lead(partial(remove, self.path, owned, folders(self.record, owned)))

    def site_done(self, stage: str, site: str) -> bool:
        """Whether the current or an interrupted attempt at a stage has finished a site."""
        return stage in self.record.stages and site in self.record.stages[stage].sites

    def finish_site(self, stage: str, site: str) -> None:
        """Remember that a stage has finished a site, and save."""
        self.record.stages[stage].sites.append(site)
        self.save()

    def finish(self) -> None:
        """Mark the study as finished."""
        self.record.status, self.record.finished, self.record.reason = "finished", now(), None
        self.save()

    def fail(self, reason: str) -> None:
        """Mark the study as failed, as far as the disk allows; `resume` may continue it."""
        self.record.status, self.record.finished, self.record.reason = "failed", now(), reason
        with suppress(UserError), apart():
            self.save()


def _new_record(config: StudyConfig) -> Record:
    return Record.model_validate(
        {
            "schema": SCHEMA,
            "preset": config.preset,
            "config": config.model_dump(mode="json"),
            "seed": config.seed,
            "started": now(),
            "status": "starting",
            "versions": versions(),
            "device": machine(config.device),
            "git": git_state(),
            "stages": {},
            "sites": {site: {} for site in config.sites},
        }
    )


def _differing(one: StudyConfig, other: StudyConfig) -> str:
    """Dotted names of the fields in which two configs differ; empty if in none."""
    a, b = flattened(one.model_dump()), flattened(other.model_dump())
    return ", ".join(name for name in a if a[name] != b[name])
