"""What the live page shows: looks, grids, searches, files; and who may come in."""

import io
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import told
from explored import NATURAL, PAPER, made
from PIL import Image

import filtergan as fg
from filtergan.config.site_names import SiteName
from filtergan.errors import UserError
from filtergan.explorer import keeping, panels, rasters, serving
from filtergan.explorer.exploring import SIDE, TRAINING, Explorer
from filtergan.explorer.searching import Searches
from filtergan.machine.runtime import generator
from filtergan.natural.natural_gan import NaturalGAN
from filtergan.natural.recovering import EVALUATIONS, FieldSearch, Transformation
from filtergan.runs.directory import RunDirectory
from filtergan.walks.walk import walk


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("explored") / "run")


@pytest.fixture(scope="module")
def explorer(run: Path) -> Explorer:
    return Explorer(run)


Z = torch.tensor([1.5, -2.0, 0.5])


def natural(run: Path) -> NaturalGAN:
    found = fg.open_run(run).gan(NATURAL)
    assert isinstance(found, NaturalGAN)
    return found


# ----------------------------------------------------------------------------------- what is seen


def test_a_look_is_what_a_walk_finds(explorer: Explorer, run: Path) -> None:
    """T, the residuals, the labels, by the ways that a study takes."""
    look, opened, gan = explorer.look(NATURAL, explorer.image(5), Z), fg.open_run(run), natural(run)
    x = opened.dataset.test.pixels(slice(5, 6))
    assert look.image.equal(x[0])
    z = torch.zeros(1, 3)
    found = walk(gan, Transformation(), x, z, Z[None, None])
    torch.testing.assert_close(look.moved, found.images[0])
    assert [look.before, look.after] == pytest.approx([float(found.before), float(found.after)])
    assert look.compensation == pytest.approx(1 - look.after / look.before)
    assert look.maps is not None
    torch.testing.assert_close(look.maps[1].sum(), found.after[0])
    sure = opened.network(torch.cat([x, found.images])).softmax(1)
    assert [one.who for one in look.opinions] == ["network", "judge 1", "judge 2", "judge 3"]
    torch.testing.assert_close(torch.stack([look.opinions[0].before, look.opinions[0].after]), sure)
    assert set(look.fields) == {"flow", "gain", "blur"}
    still = explorer.look(NATURAL, explorer.image(5), torch.zeros(3))
    assert still.moved.equal(still.image)
    assert np.isnan(still.compensation)


def test_a_grid_is_made_of_looks(explorer: Explorer) -> None:
    image = explorer.image(2)
    grid = explorer.grid(NATURAL, image, Z, (2, 0))
    assert grid.images.shape == (SIDE, SIDE, 1, 8, 8)
    for row, column in ((0, 0), (1, 4), (2, 2)):
        z = Z.clone()
        z[2], z[0] = grid.offsets[row], grid.offsets[column]
        look = explorer.look(NATURAL, image, z)
        torch.testing.assert_close(grid.images[row, column], look.moved)
        assert float(grid.compensation[row, column]) == pytest.approx(look.compensation, abs=1e-4)
        assert grid.labels[row][column] == int(look.opinions[0].after.argmax())
    with pytest.raises(UserError, match="two different latents"):
        explorer.grid(NATURAL, image, Z, (1, 1))
    with pytest.raises(UserError, match="two different latents"):
        explorer.grid(NATURAL, image, Z, (0, 3))


def test_a_search_begins_where_the_transformer_ends(explorer: Explorer, run: Path) -> None:
    """After no step it is there, and after some it is nearer."""
    gan, x = natural(run), explorer.image(7)[None]
    z = torch.zeros(1, 3)
    space = gan.transformer.space
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("filtergan.natural.recovering.EVALUATIONS", 1)
        found = walk(gan, FieldSearch(space, from_transformer=True), x, z, Z[None, None])
    torch.testing.assert_close(found.images, gan.transform(x, z, Z[None]))
    ticks: list[int] = []
    look = explorer.look(NATURAL, x[0], Z)
    searched = explorer.search(NATURAL, x[0], Z, ticks.append)
    assert sum(ticks) == EVALUATIONS
    assert searched.before == pytest.approx(look.before)
    assert searched.after < look.after


def test_a_search_is_cancelled_or_takes_too_long(explorer: Explorer) -> None:
    searches, image = Searches(explorer), explorer.image(0)
    steps: list[tuple[int, int]] = []

    def show(done: int, of: int) -> None:
        steps.append((done, of))
        if done == 3:
            assert searches.cancel("somebody")
            assert not searches.cancel("somebody else")

    assert searches.run("somebody", NATURAL, image, Z, show) is None
    assert steps == [(1, EVALUATIONS), (2, EVALUATIONS), (3, EVALUATIONS)]
    assert not searches.cancel("somebody")
    searches.begin("somebody")
    assert searches.cancel("somebody")
    assert searches.run("somebody", NATURAL, image, Z, lambda done, of: None) is None
    with explorer._searching:  # of somebody else; one that waits can be cancelled as well
        searches.begin("somebody")
        threading.Timer(0.5, searches.cancel, ["somebody"]).start()
        assert searches.run("somebody", NATURAL, image, Z, lambda done, of: None) is None
    found = searches.run("somebody", NATURAL, image, Z, lambda done, of: None)
    assert found is not None
    with pytest.raises(UserError, match="given up after 0 s"):
        Searches(explorer, longest=0.0).run("one", NATURAL, image, Z, lambda done, of: None)
    with pytest.raises(UserError, match="has no transformer"):
        searches.run("somebody", PAPER, image, Z, lambda done, of: None)


def test_a_site_of_the_papers_recipe_has_filters_and_what_the_study_found(
    explorer: Explorer, run: Path
) -> None:
    assert explorer.sites == (SiteName.parse(NATURAL), SiteName.parse(PAPER))
    assert not explorer.has_transformer(PAPER)
    with pytest.raises(UserError, match="no transformer"):
        explorer.look(PAPER, explorer.image(0), Z)
    real, drawn = explorer.filters(PAPER, Z)
    gan = fg.open_run(run).gan(PAPER)
    torch.testing.assert_close(real, gan.site.filters)
    torch.testing.assert_close(drawn, gan.draw(Z[None])[0])
    found = explorer.traversals(PAPER)
    assert found is not None
    assert panels.traversals(found).count("<img") == 9
    assert "no transformer" in panels.heading(PAPER, explorer.record(PAPER), moves=False)


def test_images_are_those_of_the_run(explorer: Explorer, run: Path) -> None:
    """The test images are all there, whatever of the others was read."""
    assert explorer.test.pixels().equal(fg.open_run(run).dataset.test.pixels())
    with pytest.raises(UserError, match="There is no image 40; they are 0 to 39"):
        explorer.image(40)
    training = fg.open_run(run).dataset.train
    assert explorer.image(7, TRAINING).equal(training.pixels(slice(7, 8))[0])
    with pytest.raises(UserError, match=f"they are 0 to {len(training) - 1}"):
        explorer.image(len(training), TRAINING)
    few = fg.open_run(run)
    assert few.images_to_show.fingerprint == few.dataset.fingerprint
    opened = fg.open_run(run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("filtergan.study.opened.UNCHANGED", -1.0)
        with pytest.raises(UserError, match="holds other images"):
            _ = opened.images_to_show


def test_without_judges(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FILTERGAN_CACHE", str(tmp_path))
    explorer = Explorer(run)
    assert explorer.judges is None
    look = explorer.look(NATURAL, explorer.image(0), Z)
    assert [one.who for one in look.opinions] == ["network"]
    assert "train-judges" in panels.opinions(look, explorer.classes, judged=False)
    assert list(tmp_path.iterdir()) == []


def test_what_is_damaged_is_told_and_not_said_to_be_untrained(run: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(run, tmp_path / "run")
    (copied / PAPER / "generator.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match=r"generator\.safetensors is damaged"):
        Explorer(copied)


def test_what_is_not_trained_is_left_out(run: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(run, tmp_path / "run")
    directory = RunDirectory.open(copied)
    directory.record.stages["natural"].sites = []
    directory.save()
    assert Explorer(copied).sites == (SiteName.parse(PAPER),)
    directory.record.stages["train-gan"].sites = []
    directory.save()
    with pytest.raises(UserError, match="has no trained generator yet"):
        Explorer(copied)


def test_a_run_has_a_name_even_from_inside(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run)
    assert Explorer(".").path.name == run.name


# -------------------------------------------------------------------------------- parts of the page


def test_words_are_text_and_no_markup(explorer: Explorer) -> None:
    look = explorer.look(NATURAL, explorer.image(0), Z)
    classes = [f"<script>{i}" for i in range(10)]
    grid = panels.grid(explorer.grid(NATURAL, explorer.image(0), Z, (0, 1)), classes)
    for made_of in (panels.opinions(look, classes, judged=True), grid):
        assert "<script>" not in made_of
        assert "&lt;script&gt;" in made_of


def test_signed_numbers_are_transparent_at_zero() -> None:
    picture = rasters.of_signed(torch.tensor([[-2.0, -0.5, 0.0, 1.0]]), 1.0)
    assert picture[0, :, 3].tolist() == [255, 128, 0, 255]
    assert tuple(picture[0, 0, :3]) == rasters.BELOW
    assert tuple(picture[0, 3, :3]) == rasters.ABOVE
    assert rasters.on_white(picture)[0, 2].tolist() == [255, 255, 255]


def test_arrows_point_where_pixels_went() -> None:
    """Pixels are taken from the right, so they went to the left: heads, broader, are there."""
    flow = torch.zeros(2, 9, 9)
    flow[0] = 0.9
    alpha = rasters.of_flow(flow)[..., 3].astype(float)
    one = alpha[:, : alpha.shape[1] // 9]
    assert alpha.shape == (rasters.SIDE, rasters.SIDE)
    assert one[:, one.shape[1] // 2 :].sum() > 0
    assert (alpha == alpha.max()).any()
    still = rasters.of_flow(torch.zeros(2, 9, 9))[..., 3]
    assert 0 < (still > 0).mean() < 0.01


def test_filters_are_rows_of_channels() -> None:
    filters = torch.randn(12, 3, 3, 3, generator=generator(0, "filters"))
    picture = rasters.of_filters(filters, 10.0)
    assert picture.shape == (8 * 4 - 1, 3 * 4 - 1, 4)
    assert picture[4:7, 8:11].tolist() == rasters.of_signed(filters[1, 2], 10.0).tolist()
    assert rasters.of_filters(torch.randn(2, 2, 5), 1.0).shape == (3, 11, 4)


def test_files(explorer: Explorer) -> None:
    look = explorer.look(NATURAL, explorer.image(1), Z)
    found = panels.panels_of(look)
    Image.open(io.BytesIO(keeping.picture(found))).load()
    walked = explorer.walk(NATURAL, look.image, torch.stack([0 * Z, Z / 2, Z]))
    torch.testing.assert_close(walked[2], look.moved)
    animation = Image.open(io.BytesIO(keeping.animation(walked)))
    assert getattr(animation, "n_frames", 0) == 4
    arrays = np.load(io.BytesIO(keeping.numbers(look, *explorer.filters(NATURAL, Z))))
    assert arrays["z"].tolist() == Z.tolist()
    assert arrays["residual_after"] == pytest.approx(look.after)
    assert np.array_equal(arrays["moved"], look.moved.numpy())
    assert arrays["filters"].shape == arrays["real_filters"].shape
    assert {"flow", "gain", "blur", "network_before", "judge_3_after"} <= set(arrays)


# -------------------------------------------------------------------------------------- the command


def test_without_the_extra(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install 'filtergan[explorer]'" in told(capsys, "explore", run)


def test_who_may_come_in(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(serving.PASSWORD, raising=False)
    for host in ("127.0.0.1", "127.8.8.8", "localhost", "::1"):
        assert serving.check(host) is None
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.org"):
        assert serving.PASSWORD in told(capsys, "explore", run, "--host", host)
    monkeypatch.setenv(serving.PASSWORD, "short")
    assert "8 letters or more" in told(capsys, "explore", run)
    monkeypatch.setenv(serving.PASSWORD, "open sesame")
    assert serving.check("0.0.0.0") == "open sesame"


def test_mistakes_are_told(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "holds no study" in told(capsys, "explore", tmp_path / "none")
    assert "no port 99999" in told(capsys, "explore", run, "--port", "99999")
    with serving._listen("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        assert "Choose another --port" in told(capsys, "explore", run, "--port", port)
