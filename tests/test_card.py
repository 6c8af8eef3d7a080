"""The model card of a generator: filled in, from the record where there is one."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from huggingface_hub import ModelCard
from shareable import GAN, IMAGES, PLAIN, SHARED, gan_of, names_in, network_of, own_network

import filtergan as fg
from filtergan.config.fields import JointConfig
from filtergan.config.parsing import parse
from filtergan.game import card as cards
from filtergan.game.ablated import FiltersShown
from filtergan.report.account import account_of
from filtergan.report.tables import main_rows
from filtergan.runs.directory import RunDirectory
from filtergan.runs.reading import read_record
from filtergan.sites.wrappers import fingerprint

ROOT = Path(__file__).parents[1]
STARTS = get_args(fg.NaturalConfig.model_fields["start"].annotation)


@pytest.fixture(scope="module")
def gan() -> fg.FilterGAN:
    return gan_of(network_of())


def filled(card: ModelCard, license: str | None = None) -> str:
    """Its text, in which nothing is left open or made up."""
    text = card.content
    for gap in ("More Information Needed", "{{", "{%", "None", "nan", "example"):
        assert gap not in text, gap
    head = card.data.to_dict()
    assert (head["library_name"], head.get("license")) == ("filtergan", license)
    assert ("No licence of what lies here was given" in text) == (license is None)
    for heading in ("found", "Images", "trained", "use it", "Intended use", "Limits", "cite"):
        assert re.search(rf"^## .*{heading}$", text, re.MULTILINE), heading
    return text


@pytest.mark.parametrize("license", ["cc-by-4.0", None])
@pytest.mark.parametrize("kind", ["paper", "natural", "ablated", "own"])
def test_the_card_without_a_record(kind: str, license: str | None, tmp_path: Path) -> None:
    network = own_network() if kind == "own" else network_of()
    gan = gan_of(network, "0" if kind == "own" else "conv2", natural=kind == "natural")
    if kind == "ablated":
        gan = FiltersShown.new(gan.site, gan.site.input(IMAGES), GAN, 4)
    gan.save_pretrained(tmp_path / "g", license=license)
    text = filled(ModelCard.load(tmp_path / "g" / "README.md"), license)
    assert "no measures of it are known" in text
    carried = license is not None and kind != "own"
    assert ("goes along under the licence cc-by-4.0" in text) == carried
    assert ("its code is no part of filtergan" in text) == (kind == "own")
    assert ("`--license` of `filtergan share`" in text) == (license is None and kind != "own")
    assert (fingerprint(network) in text) == (not carried)
    assert ("network=network" in text) == (not carried)
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {"network": network, "x": IMAGES[:1]}
    exec(example.replace("path/to/this/folder", str(tmp_path / "g")), names)
    assert torch.equal(names["filters"], gan.draw(10))
    assert ("x_k" in names) == (kind == "natural")


@pytest.mark.parametrize("start", STARTS)
def test_the_card_says_what_the_training_began_at(start: str, tmp_path: Path) -> None:
    gan = gan_of(network_of(), natural=True)
    assert isinstance(gan.config, JointConfig)
    natural = gan.config.natural.model_copy(update={"start": start})
    gan.config = gan.config.model_copy(update={"natural": natural})
    gan.save_pretrained(tmp_path / "g")
    text = filled(ModelCard.load(tmp_path / "g" / "README.md"))
    assert re.search(r"The filters began at [^{}]+\. Every setting", text)


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
    assert run.record.dataset is not None
    run.record.dataset = run.record.dataset.model_copy(update={"fetched": True})
    assert account_of(run, site).datasets == ("ylecun/mnist",)  # none did: a network of one's own


def test_images_of_the_working_directory_have_its_name(tmp_path: Path) -> None:
    run = committed("digits")
    run.record.begun_in, run.path = "../..", tmp_path / "ours" / "runs" / "one"
    run.config = run.config.model_copy(update={"data": "."})
    assert "one's own, `ours`" in account_of(run, "conv4@activation").text


def test_an_earlier_card_does_not_stay(gan: fg.FilterGAN, tmp_path: Path) -> None:
    run, name = committed("digits"), "conv4@activation"
    told_of = gan_of(network_of())
    told_of.account = lambda: account_of(run, name)
    told_of.save_pretrained(tmp_path, license="mit")
    assert names_in(tmp_path) == {*SHARED, cards.PICTURE}
    gan.save_pretrained(tmp_path)
    assert names_in(tmp_path) == {*PLAIN, "README.md"}
    assert "no measures of it are known" in (tmp_path / "README.md").read_text()


def test_addresses_are_the_project_s(monkeypatch: pytest.MonkeyPatch) -> None:
    from email.message import Message

    metadata = Message()
    monkeypatch.setattr("importlib.metadata.metadata", lambda name: metadata)
    assert cards.project_url("Repository") is None
    metadata["Project-URL"] = "Documentation, https://docs.test/a, b"
    metadata["Project-URL"] = "Repository, https://code.test"
    assert cards.project_url("Repository") == "https://code.test"
    assert cards.project_url("Documentation") == "https://docs.test/a, b"


@pytest.mark.parametrize("code", ["https://code.test", None])
@pytest.mark.parametrize("docs", ["https://docs.test", None])
def test_the_card_has_the_addresses_that_there_are(
    code: str | None, docs: str | None, gan: fg.FilterGAN, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = gan._hub_mixin_info
    assert (known.repo_url, known.docs_url) == (
        *(cards.project_url("Repository"), cards.project_url("Documentation")),
    )
    monkeypatch.setattr(known, "repo_url", code)
    monkeypatch.setattr(known, "docs_url", docs)
    text = filled(gan.generate_model_card())
    links = [f"- Code: {code}"] * bool(code) + [f"- Documentation: {docs}"] * bool(docs)
    assert text.partition("## Links\n\n")[2].split("\n") == [*links, f"- Paper: {cards.PAPER}"]
    assert text.count(str(code)) == (3 if code else 0)  # the text, how to cite, and the links
    assert re.findall(r"^  url += (.*)$", text, re.MULTILINE) == (
        [f"{{{cards.PAPER}}}", *([f"{{{code}}}"] if code else [])]
    )
