"""A generator is handed on: what is written, what its card says, what is loaded or refused."""

import json
import os
import pickle
import re
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
from stub_hub import COMMIT, StubHub, serving
from torch import nn

import filtergan as fg
from filtergan.classifiers import networks
from filtergan.config.fields import CnnConfig, parse
from filtergan.game import card as cards
from filtergan.game.ablated import FiltersShown
from filtergan.machine.files import sha256
from filtergan.report.account import account_of
from filtergan.report.tables import main_rows
from filtergan.runs.directory import RunDirectory
from filtergan.runs.reading import read_record
from filtergan.sites.wrappers import fingerprint

ROOT = Path(__file__).parents[1]
GAN = fg.GanConfig(latent=3, hidden=8, discriminator_channels=4)
NATURAL = fg.NaturalConfig(latent=(3,), channels=4, grid=3)
IMAGES = torch.rand(10, 1, 8, 8, generator=torch.Generator().manual_seed(0))
PLAIN = {"filtergan.json", "generator.safetensors", "discriminator.safetensors"}
SHARED = {*PLAIN, "network.safetensors", "README.md"}


def network_of(architecture: str = "paper", seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    values = {"architecture": architecture, "channels": (4, 5), "pool_after": (1,)}
    network = networks.make(CnnConfig.model_validate(values), (1, 8, 8), 3)
    network(IMAGES)  # so that batch norm has statistics of its own
    return network.eval()


def gan_of(network: nn.Module, layer: str = "conv2", natural: bool = False) -> fg.FilterGAN:
    site = fg.Site(network, layer, IMAGES[:2])
    inputs = site.input(IMAGES)
    if natural:
        return fg.NaturalGAN.new(site, inputs, fg.joint_config(GAN, NATURAL), 4)
    return fg.FilterGAN.new(site, inputs, GAN, 4)


@pytest.fixture(scope="module")
def gan() -> fg.FilterGAN:
    return gan_of(network_of())


def names_in(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


# -------------------------------------------------------------------------------- there and back


@pytest.mark.parametrize("architecture", ["paper", "resnet"])
@pytest.mark.parametrize("domain", [fg.Domain(), fg.Domain(0.1, 0.3)])
def test_a_folder_is_all_that_is_needed(
    architecture: str, domain: fg.Domain, tmp_path: Path
) -> None:
    network = fg.Classifier(network_of(architecture), domain, ("a", "b", "c"))
    layer = {"paper": "conv2", "resnet": "stage2.0.conv1"}[architecture]
    one = gan_of(network, layer)
    one.save_pretrained(tmp_path)
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
    one.save_pretrained(tmp_path)
    assert names_in(tmp_path) == {*SHARED, "transformer.safetensors", "reader.safetensors"}
    other = fg.NaturalGAN.from_pretrained(tmp_path, device="cpu")
    z, z_k = one.latents(20).split(10)
    torch.testing.assert_close(other.transform(IMAGES, z, z_k), one.transform(IMAGES, z, z_k))
    plain = fg.FilterGAN.from_pretrained(tmp_path, device="cpu")  # its generator alone
    assert torch.equal(plain.draw(3), one.draw(3))


def own_network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))


def test_a_network_of_one_s_own_is_named_and_not_handed_on(tmp_path: Path) -> None:
    network = own_network()
    one = gan_of(network, "0")
    one.save_pretrained(tmp_path)
    assert names_in(tmp_path) == {*PLAIN, "README.md"}
    other = fg.FilterGAN.from_pretrained(tmp_path, network=network)
    assert torch.equal(other.draw(3), one.draw(3))
    text = (tmp_path / "README.md").read_text()
    assert fingerprint(network) in text
    assert "network=network" in text
    with pytest.raises(fg.UserError, match=r"does not hold the network .* give it with network="):
        fg.FilterGAN.from_pretrained(tmp_path)


def test_what_a_run_saves_is_as_before(gan: fg.FilterGAN, tmp_path: Path) -> None:
    """One format: sharing adds to it."""
    gan.save(tmp_path / "run")
    gan.save_pretrained(tmp_path / "shared")
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
    gan.save_pretrained(repository / "snapshots" / COMMIT)
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
    assert done.stdout == f"Shared: {hub.address}/me/conv2/commit/{COMMIT}\n"
    (created,) = hub.created
    assert (created["organization"], created["name"]) == ("me", "conv2")
    assert created["visibility"] == "private"
    assert hub.tokens == {"Bearer hf_of_a_test"}
    assert len(hub.commits) == 1
    files = hub.files["me/conv2"]
    run = fg.open_run(begun, device="cpu")
    run.gan("conv2@activation").save_pretrained(tmp_path / "same")
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
    said = command("share", begun, "conv2@activation", "--to", to)
    assert said == f"Shared: {to}\n"
    assert names_in(to) == SHARED
    drawn = fg.open_run(begun, device="cpu").gan("conv2@activation").draw(2)
    assert torch.equal(fg.FilterGAN.from_pretrained(to, device="cpu").draw(2), drawn)
    assert "holds no study" in told(capsys, "share", tmp_path, "conv2@activation", "--to", to)
    assert "has no site 'conv9@activation'" in told(
        capsys, "share", begun, "conv9@activation", "--to", to
    )
    refused = told(capsys, "share", begun, "conv2@activation", "--to", to, "--private")
    assert "A folder cannot be private" in refused
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("mine")
    (tmp_path / "mine" / "config.json").write_text("{}")
    refused = told(capsys, "share", begun, "conv2@activation", "--to", tmp_path / "mine")
    assert "holds something other than a generator" in refused
    assert names_in(tmp_path / "mine") == {"README.md", "config.json"}


# --------------------------------------------------------------------------------------- the card


def filled(card: ModelCard) -> str:
    """Its text, in which nothing is left open."""
    text = card.content
    for gap in ("More Information Needed", "{{", "{%", "None", "nan"):
        assert gap not in text, gap
    head = card.data.to_dict()
    assert (head["library_name"], head["license"]) == ("filtergan", "mit")
    for heading in ("found", "Images", "trained", "use it", "Intended use", "Limits", "cite"):
        assert re.search(rf"^## .*{heading}$", text, re.MULTILINE), heading
    return text


@pytest.mark.parametrize("kind", ["paper", "natural", "ablated", "own"])
def test_the_card_without_a_record(kind: str, tmp_path: Path) -> None:
    network = own_network() if kind == "own" else network_of()
    gan = gan_of(network, "0" if kind == "own" else "conv2", natural=kind == "natural")
    if kind == "ablated":
        gan = FiltersShown.new(gan.site, gan.site.input(IMAGES), GAN, 4)
    gan.save_pretrained(tmp_path / "g")
    text = filled(ModelCard.load(tmp_path / "g" / "README.md"))
    assert "no measures of it are known" in text
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {"network": network, "x": IMAGES[:1]}
    exec(example.replace("path/to/this/folder", str(tmp_path / "g")), names)
    assert torch.equal(names["filters"], gan.draw(10))
    assert ("x_k" in names) == (kind == "natural")


def committed(study: str) -> RunDirectory:
    """A run whose record and figures are in the repository."""
    path = ROOT / "results" / study / "seed0"
    record = read_record(path)
    return RunDirectory(path, parse(record.config, "a record"), record)


@pytest.mark.parametrize("name", ["conv2@activation/natural", "conv4@activation"])
def test_the_card_tells_what_the_record_says(name: str, tmp_path: Path) -> None:
    run, gan = committed("digits"), gan_of(network_of(), natural="natural" in name)
    gan.account = lambda: account_of(run, name)
    gan.save_pretrained(tmp_path)
    text = filled(ModelCard.load(tmp_path / "README.md"))
    site = run.record.sites[name]
    assert site.verdict is not None
    assert f"**{site.verdict}**" in text
    rows = {line.split(" | ")[0][2:]: line for line in text.splitlines() if line[:2] == "| "}
    shown = main_rows(site.measures)
    assert len(shown) > 20
    for row in shown:
        assert rows[row["name"]].split(" | ")[1:5] == [
            *(row["value"], row["interval"], str(row["n"]), row["null"])
        ]
    for check in site.gates:
        state = {True: "passed", False: "failed", None: "not tested"}[check.passed]
        assert f"| {check.name} | {state} | {check.told} |" in text
    for latent in site.latents:
        assert f"- {latent.sentence}\n" in text
    assert run.record.dataset is not None
    assert f"{run.record.dataset.train:,} for training" in text
    picture = tmp_path / cards.PICTURE
    assert picture.read_bytes() == (run.path / site.figures["traversal"]).read_bytes()
    assert f"]({cards.PICTURE})" in text


def test_what_fails_its_tests_is_said_to() -> None:
    run = committed("mnist_both")
    judged = {name: account_of(run, name).text for name in run.record.sites}
    for name, text in judged.items():
        failed = [check.name for check in run.record.sites[name].gates if check.passed is False]
        assert ("not to be believed" in text) == bool(failed)
    assert any("not to be believed" in text for text in judged.values())


def test_images_are_named_but_not_the_machine_s_folders() -> None:
    run = committed("mnist_both")
    site = "conv2@activation"
    assert "A folder of images of one's own, `mnist`" in account_of(run, site).text
    assert account_of(run, site).datasets == ()
    assert ".." not in account_of(run, site).text.partition("## Images")[2].partition("##")[0]
    run.config = run.config.model_copy(update={"data": "ylecun/mnist"})
    assert account_of(run, site).datasets == ("ylecun/mnist",)
    run.record.begun_in = "../.."  # a folder of that name lay there
    assert account_of(run, site).datasets == ()


def test_an_earlier_card_does_not_stay(gan: fg.FilterGAN, tmp_path: Path) -> None:
    run, name = committed("digits"), "conv4@activation"
    told_of = gan_of(network_of())
    told_of.account = lambda: account_of(run, name)
    told_of.save_pretrained(tmp_path)
    assert cards.PICTURE in names_in(tmp_path)
    gan.save_pretrained(tmp_path)
    assert names_in(tmp_path) == SHARED
    assert "no measures of it are known" in (tmp_path / "README.md").read_text()


def test_addresses_are_the_project_s(monkeypatch: pytest.MonkeyPatch) -> None:
    from email.message import Message

    metadata = Message()
    monkeypatch.setattr("importlib.metadata.metadata", lambda name: metadata)
    assert cards.project_url("Repository") == cards.PLACEHOLDER
    metadata["Project-URL"] = "Documentation, https://docs.test/a, b"
    metadata["Project-URL"] = "Repository, https://code.test"
    assert cards.project_url("Repository") == "https://code.test"
    assert cards.project_url("Documentation") == "https://docs.test/a, b"


def test_the_card_has_the_package_s_addresses(gan: fg.FilterGAN) -> None:
    text = gan.generate_model_card().content
    for label, said in (("Repository", "Code"), ("Documentation", "Documentation")):
        assert f"- {said}: {cards.project_url(label)}\n" in text
    assert f"- Paper: {cards.PAPER}" in text


# --------------------------------------------------------------------------------- what is refused


@pytest.fixture
def folder(gan: fg.FilterGAN, tmp_path: Path) -> Path:
    gan.save_pretrained(tmp_path / "g")
    return tmp_path / "g"


def test_another_network_is_refused(folder: Path) -> None:
    with pytest.raises(fg.UserError, match="holds a generator for another network"):
        fg.FilterGAN.from_pretrained(folder, network=network_of(seed=1))
    # Whole, but that of another generator.
    gan_of(network_of(seed=1)).save_pretrained(folder.with_name("other"))
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
