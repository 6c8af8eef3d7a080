"""Networks of others, from the images and weights that packages ship to what they ignore."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import face_images
import face_network
import foreign
import others
import pytest
import torch
from networks import traces
from torch import Tensor, nn

import filtergan as fg
from filtergan.classifiers.loading import check_fits
from filtergan.errors import UserError
from filtergan.measures.registry import result
from filtergan.report.operations import operations_of

RESNET, CONVNEXT = "resnet.encoder.stages.1", "convnext.encoder.stages.1"
BRIEF = fg.NaturalConfig(latent=(2,), grid=3, channels=4, steps=3, null_steps=2)
GAME = fg.GanConfig(hidden=8, discriminator_channels=4)
DOMAIN = fg.Domain(0.5, 0.501960784)

shipped = pytest.mark.skipif(
    find_spec("facenet_pytorch") is None, reason="facenet-pytorch, which ships R-Net, is missing"
)


def photographs(n: int, side: int) -> Tensor:
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("make", "layer", "point"),
    [
        (foreign.resnet, f"{RESNET}.layers.0.layer.0.convolution", "+1"),
        (foreign.convnext, f"{CONVNEXT}.layers.0.dwconv", f"{CONVNEXT}.layers.0.act"),
        pytest.param(face_network.rnet, "conv2", "+1", marks=shipped),
    ],
)
def test_from_a_site_to_measures(make: Callable[[], nn.Module], layer: str, point: str) -> None:
    network, x = make(), photographs(40, 24)
    before = traces(network)
    site = fg.Site(fg.Classifier(network, DOMAIN), layer, x, point)
    gan = fg.learn(site, x, BRIEF, game=GAME)
    measures = fg.measure(gan, x, fg.tiny().traversal, resamples=50)
    assert {"compensation", "search_compensation", "labels_kept"} <= set(measures)
    assert all(one.value is not None and one.n for one in measures.values())
    assert traces(network) == before


# ------------------------------------------------------------------------- what is handed over


class Heads(nn.Module):
    """Two of them, as detectors have; the second is the one wanted."""

    def __init__(self, last: nn.Module) -> None:
        super().__init__()
        self.conv, self.fc, self.last = nn.Conv2d(3, 2, 8), nn.Linear(2, 2), last

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.conv(x).flatten(1)
        return y, self.last(self.fc(y))


class Second(nn.Module):
    """The second head alone, as docs/howto/others.md wraps a network."""

    def __init__(self, heads: nn.Module) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        return self.heads(x)[1]


def test_several_outputs_and_probabilities_are_refused() -> None:
    with pytest.raises(UserError, match=r"gives a tuple for 2 images.* logits alone"):
        check_fits(Heads(nn.Identity()), (3, 8, 8), 2)
    with pytest.raises(UserError, match=r"gives probabilities.* leave out its last softmax"):
        check_fits(Second(Heads(nn.Softmax(1))), (3, 8, 8), 2)
    for last in (nn.Identity(), nn.LogSoftmax(1), nn.Sigmoid()):
        check_fits(Second(Heads(last)), (3, 8, 8), 2)


# -------------------------------------------------------------------------- faces of a package


def theirs() -> nn.Module:
    """Their own R-Net, from its file without what imports torchvision."""
    package = find_spec("facenet_pytorch")
    assert package is not None
    assert package.origin is not None
    file, module = Path(package.origin).parent / "models" / "mtcnn.py", ModuleType("mtcnn")
    module.__file__ = str(file)
    source = file.read_text().replace("from .utils.detect_face import", "#")
    exec(compile(source, file, "exec"), module.__dict__)
    return module.RNet()


@shipped
def test_our_rnet_is_theirs() -> None:
    x = DOMAIN.to_network(photographs(5, 24))
    with torch.no_grad():
        torch.testing.assert_close(face_network.rnet()(x).softmax(1), theirs()(x)[1])


@shipped
def test_their_rnet_is_studied_where_its_second_output_is_logits() -> None:
    x, network = photographs(5, 24), theirs()
    network.softmax5_1 = nn.Identity()
    site = fg.Site(fg.Classifier(Second(network), DOMAIN), "heads.conv2", x, "+1")
    assert site.point == "heads.prelu3"
    assert site.straight
    with torch.no_grad():
        torch.testing.assert_close(site.output(x), face_network.rnet()(DOMAIN.to_network(x)))


@shipped
def test_the_page_can_run_it() -> None:
    kinds = {op.kind for op in operations_of(face_network.rnet(), photographs(1, 24))}
    assert kinds >= {"convolution", "prelu", "max_pool", "permute", "linear"}


@shipped
def test_faces_are_told_from_backgrounds(tmp_path: Path) -> None:
    face_images.write(tmp_path)
    data = fg.load_dataset(tmp_path)
    assert data.shape == (3, 24, 24)
    assert data.classes == ("background", "face")  # the order of its logits
    assert (len(data.train), len(data.test)) == (266, 67)
    network = fg.Classifier(face_network.rnet(), DOMAIN)
    right = fg.predict(network, data.test.images).argmax(1) == data.test.labels
    assert right.float().mean() > 0.9


def test_no_copy_of_a_test_image_is_trained_on(tmp_path: Path) -> None:
    face_images.write(tmp_path)
    data = fg.load_dataset(tmp_path)
    train, test = (set(map(bytes, s.images[:].numpy())) for s in (data.train, data.test))
    mirrored = set(map(bytes, data.train.images[:].flip(3).contiguous().numpy()))
    assert mirrored == train
    assert not train & test


# ------------------------------------------------------------------------------------ the study


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "nothing speaks against it"),
        ({"compensation": (0.4, 0.25)}, "no better than its null"),
        ({"repeatability": (0.7, 0.6), "labels_kept": (0.9, 0.8)}, "not repeatable; too few"),
        ({"image_change": (0.1, 0.05)}, "the images hardly change"),
    ],
)
def test_what_speaks_against_an_invariance(
    changed: dict[str, tuple[float, float]], said: str
) -> None:
    """Values, and lower ends of their intervals, beside a null of .3 at most."""
    good = {"compensation": (0.7, 0.6), "compensation_null": (0.2, 0.1)}
    good |= {"repeatability": (0.9, 0.8), "labels_kept": (1.0, 1.0), "image_change": (0.3, 0.2)}
    found = {
        name: result(name, value, (low, 2 * value - low), 9)
        for name, (value, low) in (good | changed).items()
    }
    assert others.verdict(found).startswith(said)


def test_the_networks_trained_here_give_logits() -> None:
    for make in (others.resnet, others.convnext):
        check_fits(fg.Classifier(make(), fg.Domain(0.5, 0.5)), (1, 28, 28), 10)
