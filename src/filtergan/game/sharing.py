"""Sharing a generator: a folder or a repository of the Hugging Face Hub that tells of itself."""

import os
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from huggingface_hub import ModelCard, ModelHubMixin, snapshot_download
from huggingface_hub.errors import HTTPError  # pyright: ignore[reportPrivateImportUsage]
from torch import nn

from filtergan.classifiers.saving import FILE as NETWORK
from filtergan.classifiers.saving import can_be_saved
from filtergan.config.fields import GanConfig
from filtergan.errors import UserError
from filtergan.game.card import PAPER, PICTURE, TAGS, Account, card_of, project_url
from filtergan.game.description import FILE
from filtergan.machine.files import write_atomic, writing
from filtergan.sites.site import Site

CARD = "README.md"
NEEDED = [FILE, f"*/{FILE}", "*.safetensors"]
"""What is downloaded of a repository, its null in a folder within too."""
Kind = TypeVar("Kind", bound="Shared")


class Shared(
    ModelHubMixin,
    library_name="filtergan",
    tags=TAGS,
    repo_url=project_url("Repository"),
    docs_url=project_url("Documentation"),
    paper_url=PAPER,
):
    """What can be handed on with all that it needs, under a model card that is filled in.

    Attributes:
        site: The site whose filters are generated.
        config: How the generator was made.
        account: Gives what a study's record says of it, for the card; None: there is no record.
    """

    site: Site
    config: GanConfig
    account: Callable[[], Account] | None = None
    meaning: ClassVar[str]
    """What the card says of how it works."""
    example: ClassVar[str] = ""
    """Lines of Python that the card adds to its example, where `gan` is loaded."""
    place: ClassVar[str] = "filtergan"
    """Where that example imports it from."""

    @property
    @abstractmethod
    def whole_network(self) -> nn.Module:
        """The network as it was handed over."""

    @abstractmethod
    def save(self, folder: str | os.PathLike[str], *, network: bool = False) -> None:
        """Write all but card and picture into a folder."""

    @classmethod
    @abstractmethod
    def load(
        cls, folder: str | os.PathLike[str], network: nn.Module | None = None, *, device: str
    ) -> Any:
        """Read what `save` wrote."""

    @classmethod
    def from_pretrained(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls: type[Kind],
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        network: nn.Module | None = None,
        device: str = "auto",
        revision: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        token: str | bool | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
    ) -> Kind:
        """Load what `save_pretrained` or `push_to_hub` shared; no code is run from there.

        Args:
            pretrained_model_name_or_path: A folder, or a repository of the Hugging Face Hub.
            network: As for `load`; needed where the network was not shared.
            device: As for `load`.
            revision: Branch, tag or commit of the repository.
            cache_dir: Where the download is kept; by default the cache of the Hub.
            token: For a private repository; by default that of `hf auth login`.
            force_download: Whether to download what is in the cache already.
            local_files_only: Whether to take what is in the cache, and ask nobody.

        Raises:
            UserError: The repository cannot be read (exit code 1); a folder is to have a revision;
                or as for `load`.

        Examples:
            >>> import filtergan as fg
            >>> gan = fg.NaturalGAN.from_pretrained("digits-conv2")  # a folder
            >>> len(gan.draw(10))
            10
        """
        name = os.fspath(pretrained_model_name_or_path)
        folder = Path(name)
        if folder.is_dir() and revision is not None:
            raise UserError(
                f"{name!r} is a folder on this machine, which has no revision {revision!r}; leave "
                "that out, or move the folder elsewhere to read the repository."
            )
        if not folder.is_dir():
            refusal = f"There is no folder {name!r}, and no such repository could be read"
            with _reaching(refusal):
                found = snapshot_download(
                    name,
                    revision=revision,
                    cache_dir=None if cache_dir is None else Path(cache_dir),
                    token=token,
                    force_download=force_download,
                    local_files_only=local_files_only,
                    allow_patterns=NEEDED,
                )
            folder = Path(found)
        return cls.load(folder, network, device=device)

    def left_behind(self, license: str | None) -> str | None:
        """Why the network would not go along; None: it would.

        Args:
            license: As for `save_pretrained`.

        Examples:
            >>> import filtergan as fg
            >>> fg.NaturalGAN.load("digits-conv2").left_behind(license=None)
            'no licence of it was given ...'
        """
        if not can_be_saved(self.whole_network):
            return "its code is no part of filtergan"
        given = "`license=` in Python, `--license` of `filtergan share`"
        return None if license else f"no licence of it was given ({given})"

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        *,
        license: str | None = None,
        **options: Any,
    ) -> str | None:
        """Write what others need into a folder: what `save` does, and a model card.

        The network goes along if it is one of this package's kinds and a licence is given. The card
        tells what the record says, where the generator comes from a run
        (`fg.open_run(path).gan(site)`).

        Args:
            save_directory: A folder that is new, empty, or holds a generator, which is replaced.
            license: Of all that is written, the network too, by the Hub's name for it; None: none
                was given, and the network stays behind.
            **options: Those of `huggingface_hub.ModelHubMixin.save_pretrained`.

        Raises:
            UserError: The folder holds something else, or could not be written (exit code 1).

        Examples:
            >>> import filtergan as fg
            >>> gan = fg.NaturalGAN.from_pretrained("digits-conv2")
            >>> gan.save_pretrained("handed-on", license="cc-by-4.0")
            >>> fg.NaturalGAN.from_pretrained("handed-on").draw(2).equal(gan.draw(2))
            True
        """
        card = {"license": license} | (options.pop("model_card_kwargs", None) or {})
        folder = Path(save_directory)
        _clear(folder)
        self.save(folder, network=self.left_behind(card["license"]) is None)
        account = self.account() if self.account else None
        if account is not None and account.picture is not None:
            write_atomic(folder / PICTURE, account.picture.read_bytes())
        with writing(folder):
            return super().save_pretrained(folder, model_card_kwargs=card, **options)

    def push_to_hub(self, repo_id: str, *, license: str | None = None, **options: Any) -> str:
        """Upload what `save_pretrained` writes to the Hugging Face Hub, as one commit.

        Args:
            repo_id: The repository, as in `me/conv4`; made if missing.
            license: As for `save_pretrained`.
            **options: Those of `huggingface_hub.ModelHubMixin.push_to_hub`: `private`, `token`,
                `commit_message`, ...

        Returns:
            Address of the commit.

        Raises:
            UserError: The Hub cannot be reached, or refuses (exit code 1).

        Examples:
            >>> import filtergan as fg
            >>> gan = fg.NaturalGAN.from_pretrained("digits-conv2")
            >>> address = gan.push_to_hub("me/digits-conv2", license="cc-by-4.0", private=True)
        """
        card = {"repo_id": repo_id, "license": license}
        card |= options.pop("model_card_kwargs", None) or {}
        with _reaching(f"The repository {repo_id!r} could not be written"):
            return super().push_to_hub(repo_id, model_card_kwargs=card, **options)

    def generate_model_card(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, *, license: str | None = None, repo_id: str = "path/to/this/folder"
    ) -> ModelCard:
        """Its model card, filled in from what it is, and from the record where there is one.

        Args:
            license: As for `save_pretrained`.
            repo_id: What the card's example loads.

        Examples:
            >>> import filtergan as fg
            >>> gan = fg.NaturalGAN.load("digits-conv2")
            >>> gan.generate_model_card(license="cc-by-4.0").data.license
            'cc-by-4.0'
        """
        info = self._hub_mixin_info
        return card_of(
            self,
            self.account() if self.account else None,
            info.model_card_data.to_dict() | ({"license": license} if license else {}),
            {"repo_url": info.repo_url, "docs_url": info.docs_url, "paper_url": info.paper_url},
            repo_id,
        )

    def _save_pretrained(self, save_directory: Path) -> None:
        """Write nothing: `save_pretrained` did, since it knows the licence."""


def _clear(folder: Path) -> None:
    """Take away what tells of a generator that lay here; the files of weights are replaced.

    Raises:
        UserError: The folder holds something else, which is left as it is.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / FILE).is_file():
        raise UserError(f"{folder} holds something other than a generator; name another folder.")
    with writing(folder):
        for name in (CARD, PICTURE, NETWORK):
            (folder / name).unlink(missing_ok=True)


@contextmanager
def _reaching(refusal: str) -> Iterator[None]:
    """Turn what the Hub's client raises into a sentence that begins with this one.

    Raises:
        UserError: It raised something (exit code 1).
    """
    try:
        yield
    except (OSError, ValueError, HTTPError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise UserError(
            f"{refusal} on the Hugging Face Hub: {reason}. Check its name, the network, and your "
            "token (`hf auth login`).",
            exit_code=1,
        ) from error
