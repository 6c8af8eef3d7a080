"""A generator is handed on: what is written, what its card says, what is loaded or refused."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import command, told
from huggingface_hub import ModelCard
from shareable import IMAGES, PLAIN, SHARED, gan_of, names_in, network_of, own_network
from stub_hub import COMMIT, StubHub, serving

import filtergan as fg
from filtergan.classifiers.networks import ARCHITECTURES
from filtergan.cli.arguments import commands_of, parser
from filtergan.config.fields import StudyConfig
from filtergan.machine.files import sha256
from filtergan.sites.wrappers import fingerprint


@pytest.fixture(scope="module")
def gan() -> fg.FilterGAN:
    return gan_of(network_of())


# -------------------------------------------------------------------------------- there and back


@pytest.mark.parametrize(
    ("architecture", "layer"),
    [("paper", "conv2"), ("resnet", "stage2.0.conv1"), ("whitened", "group1.conv1")],
)
@pytest.mark.parametrize("domain", [fg.Domain(), fg.Domain(0.1, 0.3)])
def test_a_folder_is_all_that_is_needed(
    architecture: str, layer: str, domain: fg.Domain, tmp_path: Path
) -> None:
    network = fg.Classifier(network_of(architecture), domain, ("a", "b", "c"))
    one = gan_of(network, layer)
    one.save_pretrained(tmp_path, license="mit")
    assert names_in(tmp_path) == SHARED
    state = torch.get_rng_state()
    other = fg.FilterGAN.from_pretrained(str(tmp_path), device="cpu")
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(other.draw(3), one.draw(3))
    found = other.site.classifier
    assert found is not None
    assert (found.domain, found.classes, found.training) == (domain, ("a", "b", "c"), False)
    assert not any(p.requires_grad for p in found.parameters())
    torch.testing.assert_close(found(IMAGES), network(IMAGES))
    assert fingerprint(found) == fingerprint(network)


def test_the_transformer_goes_along(tmp_path: Path) -> None:
    one = gan_of(network_of(), natural=True)
    assert isinstance(one, fg.NaturalGAN)
    one.save_pretrained(tmp_path, license="mit")
    assert names_in(tmp_path) == {*SHARED, "transformer.safetensors", "reader.safetensors"}
    other = fg.NaturalGAN.from_pretrained(tmp_path, device="cpu")
    z, z_k = one.latents(20).split(10)
    torch.testing.assert_close(other.transform(IMAGES, z, z_k), one.transform(IMAGES, z, z_k))
    plain = fg.FilterGAN.from_pretrained(tmp_path, device="cpu")  # its generator alone
    assert torch.equal(plain.draw(3), one.draw(3))


@pytest.mark.parametrize(("own", "license"), [(True, "mit"), (True, None), (False, None)])
def test_a_network_that_stays_behind_is_named(
    own: bool, license: str | None, tmp_path: Path
) -> None:
    """One of filtergan's kinds for want of a licence, another with any."""
    network = own_network() if own else network_of()
    one = gan_of(network, "0" if own else "conv2")
    one.save_pretrained(tmp_path, license="mit")  # which may have gone along before
    one.save_pretrained(tmp_path, license=license)
    assert names_in(tmp_path) == {*PLAIN, "README.md"}
    other = fg.FilterGAN.from_pretrained(tmp_path, network=network)
    assert torch.equal(other.draw(3), one.draw(3))
    named = rf"begins with {fingerprint(network)[:8]}\); give it with network="
    with pytest.raises(fg.UserError, match=rf"does not hold the network .* {named}"):
        fg.FilterGAN.from_pretrained(tmp_path)
    with pytest.raises(fg.UserError, match="holds a generator for another network"):
        fg.FilterGAN.from_pretrained(tmp_path, network=network_of(seed=1))


def test_what_a_run_saves_is_as_before(gan: fg.FilterGAN, tmp_path: Path) -> None:
    """One format: sharing adds to it."""
    gan.save(tmp_path / "run")
    gan.save_pretrained(tmp_path / "shared", license="mit")
    assert names_in(tmp_path / "run") == PLAIN
    run, shared = (
        json.loads((tmp_path / side / "filtergan.json").read_text()) for side in ("run", "shared")
    )
    network = shared["weights"].pop("network.safetensors")
    assert network == sha256(tmp_path / "shared" / "network.safetensors")
    assert run == shared


HERE = """
import sys
import filtergan as fg

print(fg.FilterGAN.from_pretrained("me/conv2").draw(3).double().sum().item())
"""


def elsewhere(folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", HERE],
        cwd=folder,
        env=os.environ | {"HF_HOME": str(folder / "hub"), "CUDA_VISIBLE_DEVICES": ""} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_from_the_hub_s_own_layout_without_a_network(gan: fg.FilterGAN, tmp_path: Path) -> None:
    cache = tmp_path / "hub" / "hub"
    repository = cache / "models--me--conv2"
    gan.save_pretrained(repository / "snapshots" / COMMIT, license="mit")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    found = elsewhere(tmp_path, HF_HUB_OFFLINE="1")
    assert float(found.stdout) == pytest.approx(gan.draw(3).double().sum().item(), rel=1e-6)
    options: dict[str, Any] = {"cache_dir": cache, "local_files_only": True, "device": "cpu"}
    for revision in (None, "main", COMMIT):
        other = fg.FilterGAN.from_pretrained("me/conv2", revision=revision, **options)
        assert torch.equal(other.draw(3), gan.draw(3))
    for name in ("me/conv4", "./nowhere", "me/a/b"):
        with pytest.raises(fg.UserError, match=f"There is no folder '{name}', and no such") as e:
            fg.FilterGAN.from_pretrained(name, cache_dir=cache, local_files_only=True)
        assert e.value.exit_code == 1


# ------------------------------------------------------------------------------------- the upload


@pytest.fixture
def hub() -> Iterator[StubHub]:
    with serving() as hub:
        yield hub


SHARE = """
import sys
from filtergan import cli

sys.exit(cli.main(sys.argv[1:]))
"""


def share(hub: StubHub, folder: Path, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """The command, in a process that takes the stub for the Hub."""
    place = {"HF_HOME": str(folder / "hub"), "HF_TOKEN": "hf_of_a_test"}
    quiet = {"HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    return subprocess.run(
        [sys.executable, "-c", SHARE, "share", *map(str, arguments)],
        env=os.environ | hub.environment() | place | quiet,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_run_s_generator_is_uploaded_and_comes_back(
    begun: Path, hub: StubHub, tmp_path: Path
) -> None:
    options = ("--to", "hf://me/conv2", "--license", "cc-by-4.0", "--private")
    done = share(hub, tmp_path, begun, "conv2@activation", *options)
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.splitlines() == [
        f"Shared: {hub.address}/me/conv2/commit/{COMMIT}",
        "The network goes along under the licence cc-by-4.0.",
    ]
    (created,) = hub.created
    assert (created["organization"], created["name"]) == ("me", "conv2")
    assert created["visibility"] == "private"
    assert hub.tokens == {"Bearer hf_of_a_test"}
    assert len(hub.commits) == 1
    files = hub.files["me/conv2"]
    run = fg.open_run(begun, device="cpu")
    run.gan("conv2@activation").save_pretrained(tmp_path / "same", license="mit")
    assert files.keys() == names_in(tmp_path / "same")
    for name in files.keys() - {"README.md"}:
        assert files[name] == (tmp_path / "same" / name).read_bytes()
    card = files["README.md"].decode()
    assert hub.checked == [card]
    assert 'from_pretrained("me/conv2")' in card
    assert ModelCard(card).data.to_dict()["license"] == "cc-by-4.0"
    found = elsewhere(tmp_path, **hub.environment())
    drawn = run.gan("conv2@activation").draw(3).double().sum().item()
    assert float(found.stdout) == pytest.approx(drawn, rel=1e-6)


def test_what_the_hub_refuses_is_told(begun: Path, hub: StubHub, tmp_path: Path) -> None:
    hub.refuse = 403
    arguments = (begun, "conv2@activation", "--to", "hf://me/conv2")
    done = share(hub, tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("filtergan: The repository 'me/conv2' could not be written on")
    assert done.stderr.count("\n") == 1
    assert "hf_of_a_test" not in done.stderr
    hub.address = "http://127.0.0.1:9"  # where nobody answers
    done = share(hub, tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert "could not be written on the Hugging Face Hub" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_writes_a_folder(
    begun: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "conv2"
    said = command("share", begun, "conv2@activation", "--to", to).splitlines()
    assert said[0] == f"Shared: {to}"
    assert said[1:] == [
        "The network does not go along, since no licence of it was given (`license=` in Python, "
        "`--license` of `filtergan share`)."
    ]
    assert names_in(to) == {*PLAIN, "README.md"}
    asked = ("share", begun, "conv2@activation", "--to", to, "--json", "-q")
    assert json.loads(command(*asked)) == {"shared": str(to), "network": False, "license": None}
    found = json.loads(command(*asked, "--license", "mit"))
    assert found == {"shared": str(to), "network": True, "license": "mit"}
    assert names_in(to) == SHARED
    drawn = fg.open_run(begun, device="cpu").gan("conv2@activation").draw(2)
    assert torch.equal(fg.FilterGAN.from_pretrained(to, device="cpu").draw(2), drawn)
    assert "holds no study" in told(capsys, "share", tmp_path, "conv2@activation", "--to", to)
    assert "has no site 'conv9@activation'" in told(
        capsys, "share", begun, "conv9@activation", "--to", to
    )
    assert "has no site 'conv2'; it has conv2@" in told(capsys, "share", begun, "conv2", "--to", to)
    refused = told(capsys, "share", begun, "conv2@activation", "--to", to, "--private")
    assert "A folder cannot be private" in refused
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("mine")
    (tmp_path / "mine" / "config.json").write_text("{}")
    refused = told(capsys, "share", begun, "conv2@activation", "--to", tmp_path / "mine")
    assert "holds something other than a generator" in refused
    assert names_in(tmp_path / "mine") == {"README.md", "config.json"}


def test_help_and_page_name_the_kinds_that_can_go_along() -> None:
    page = Path(__file__).parents[1] / "docs" / "sharing.md"
    for text in (commands_of(parser(StudyConfig()))["share"].format_help(), page.read_text()):
        assert all(kind.__name__ in text for kind in ARCHITECTURES.values())


# --------------------------------------------------------------------------------- what is refused


@pytest.fixture
def folder(gan: fg.FilterGAN, tmp_path: Path) -> Path:
    gan.save_pretrained(tmp_path / "g", license="mit")
    return tmp_path / "g"


def test_a_folder_has_no_revisions(folder: Path) -> None:
    with pytest.raises(fg.UserError, match="is a folder on this machine, which has no revision"):
        fg.FilterGAN.from_pretrained(folder, revision="v1")


def test_another_network_is_refused(folder: Path) -> None:
    with pytest.raises(fg.UserError, match="holds a generator for another network"):
        fg.FilterGAN.from_pretrained(folder, network=network_of(seed=1))
    # Whole, but that of another generator.
    gan_of(network_of(seed=1)).save_pretrained(folder.with_name("other"), license="mit")
    shutil.copy(folder.with_name("other") / "network.safetensors", folder)
    with pytest.raises(fg.UserError, match=r"network\.safetensors is damaged, or was not saved"):
        fg.FilterGAN.from_pretrained(folder)


@pytest.mark.parametrize("name", ["network", "generator", "discriminator"])
def test_damaged_files_are_refused(folder: Path, name: str) -> None:
    path = folder / f"{name}.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(fg.UserError, match=rf"{name}\.safetensors is damaged"):
        fg.FilterGAN.from_pretrained(folder)
    path.unlink()
    with pytest.raises(fg.UserError, match=rf"{name}\.safetensors cannot be read"):
        fg.FilterGAN.from_pretrained(folder)


def test_newer_versions_are_refused(folder: Path) -> None:
    path = folder / "filtergan.json"
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 2'))
    with pytest.raises(fg.UserError, match="was written by a newer filtergan"):
        fg.FilterGAN.from_pretrained(folder)


class Harmful:
    """Unpickled, it makes a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (self.path, "w"))


@pytest.mark.parametrize("name", ["network", "generator"])
@pytest.mark.parametrize("zipped", [False, True])
def test_pickles_are_never_run(folder: Path, tmp_path: Path, name: str, zipped: bool) -> None:
    """Not even where filtergan.json vouches for them."""
    path, harm = folder / f"{name}.safetensors", tmp_path / "harm"
    if zipped:
        torch.save(Harmful(str(harm)), path)
    else:
        path.write_bytes(pickle.dumps(Harmful(str(harm))))
    said = json.loads((folder / "filtergan.json").read_text())
    said["weights"][path.name] = sha256(path)
    (folder / "filtergan.json").write_text(json.dumps(said))
    with pytest.raises(fg.UserError, match=rf"{name}\.safetensors is damaged"):
        fg.FilterGAN.from_pretrained(folder)
    assert not harm.exists()


@pytest.mark.parametrize(
    "change", [{"cnn": {}}, {"outputs": 4}, {"image": [1, 8]}, {"mean": ["a"]}, None]
)
def test_a_network_file_that_cannot_be_followed(folder: Path, change: Any) -> None:
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    path = folder / "network.safetensors"
    with safe_open(path, framework="pt") as file:
        words = json.loads(file.metadata()["filtergan"])
    metadata = None if change is None else {"filtergan": json.dumps(words | change)}
    save_file(load_file(path), path, metadata)
    said = json.loads((folder / "filtergan.json").read_text())
    said["weights"][path.name] = sha256(path)
    (folder / "filtergan.json").write_text(json.dumps(said))
    with pytest.raises(fg.UserError, match=r"is no network of filtergan's"):
        fg.FilterGAN.from_pretrained(folder)
