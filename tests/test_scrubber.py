"""What travels with the page, and that JavaScript makes of it what torch does."""

import base64
import json
from pathlib import Path
from typing import Any, cast

import movable
import networks
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from filtergan.config.fields import CnnConfig
from filtergan.images.domain import Domain
from filtergan.images.shown import one_of_each_class
from filtergan.images.splits import Split
from filtergan.report import page, scrubber
from filtergan.report.operations import Unknown, operations_of, program, steps_of
from filtergan.report.packing import fewest_bits, packed, rounded
from filtergan.sites.site import Site
from filtergan.walks.inverter import residual

AGREES = 1e-3


@pytest.mark.browser
@pytest.mark.parametrize(
    ("channels", "side", "cnn", "natural", "domain"),
    [
        (1, 8, movable.PAPER, {}, Domain()),
        (1, 28, movable.PAPER, {"grid": 7, "start": "paper"}, Domain((0.3,), (0.4,))),
        (1, 20, movable.PAPER, {"fields": ("gain", "offset")}, Domain()),
        (3, 32, movable.RESIDUAL, {"grid": 7}, Domain((0.4, 0.5, 0.3), (0.2, 0.3, 0.25))),
        (3, 9, movable.PAPER, {"fields": ("offset", "blur", "flow"), "grid": 3}, Domain()),
        (3, 8, movable.PAPER, {"fields": ("flow", "brightness", "ground")}, Domain()),
        (3, 20, movable.WHITENED, {"fields": ("flow", "gain", "offset")}, Domain()),
    ],
)
def test_node_moves_and_sees_as_torch_does(
    channels: int, side: int, cnn: CnnConfig, natural: Any, domain: Domain
) -> None:
    """Weights rounded for the page there, as they are here."""
    data = movable.images(channels, side)
    classifier = movable.network(cnn, data, domain)
    gan = movable.gan(classifier, data, cnn, **natural)
    x, z, z_k = movable.moves(data, gan.latent)
    given = scrubber.travelling(data, classifier, movable.named(gan))
    asked = {"data": given, "x": x.flatten(1).tolist(), "z": z.tolist(), "zk": z_k.tolist()}
    found = movable.in_node(movable.MOVED, asked)

    moved = gan.transform(x, z, z_k)
    change = (moved - x).abs().flatten(1).amax(1)
    assert (change > 0.1).all()
    assert_close([f["moved"] for f in found], moved.flatten(1))
    with torch.no_grad():
        coefficients = gan.transformer.coefficients(x, z, z_k).flatten(1)
        assert_close([f["coefficients"] for f in found], coefficients, 1e-2)
        for name, images in (("origin", x), ("probabilities", moved)):
            probabilities = classifier(images).softmax(1)
            assert probabilities.max() < 0.999
            assert_close([f[name] for f in found], probabilities)
        profile = gan.site.respond(gan.site.input(x), gan.draw(z))
        for name, images in (("before", x), ("after", moved)):
            expected = residual(gan.site, images, profile, gan.draw(z_k))
            assert (expected > 0.01).all()
            got = torch.tensor([f[name] for f in found])
            assert torch.allclose(got, expected, rtol=0.02, atol=5e-3)


def assert_close(found: list[list[float]], expected: Tensor, tolerance: float = AGREES) -> None:
    assert (torch.tensor(found) - expected).abs().max() < tolerance


@pytest.mark.browser
def test_where_nothing_is_moved_the_image_is_what_it_is() -> None:
    data = movable.images(1, 8)
    classifier = movable.network(movable.PAPER, data)
    gan = movable.gan(classifier, data, movable.PAPER)
    x, z, _ = movable.moves(data, gan.latent)
    given = scrubber.travelling(data, classifier, movable.named(gan))
    asked = {"data": given, "x": x.flatten(1).tolist(), "z": z.tolist(), "zk": z.tolist()}
    for one, found in zip(x, movable.in_node(movable.MOVED, asked), strict=True):
        assert torch.equal(torch.tensor(found["moved"]), one.flatten())
        assert found["before"] == found["after"] == 0


# ------------------------------------------------------------------------------------ the network

LOGITS = """
const network = new filtergan.Network(given.program);
return given.x.map((pixels) => {
  const known = new Map([[0, filtergan.array(given.shape, Float32Array.from(pixels))]]);
  return Array.from(network.run(network.operations.length - 1, known).data);
});
"""


class Poolings(nn.Module):
    """Each known operation in a way of its own, modules and functions; and what has no part."""

    def __init__(self) -> None:
        super().__init__()
        self.same = nn.Conv2d(1, 4, (3, 5), padding="same", dilation=(1, 2))
        self.groups = nn.Conv2d(4, 6, 3, stride=2, padding=(1, 2), groups=2)
        self.unscaled = nn.BatchNorm2d(6, affine=False)
        self.pools = nn.Sequential(nn.MaxPool2d(2, 1, padding=1, dilation=2), nn.ReLU(inplace=True))
        self.means = nn.AvgPool2d(3, 2, padding=1, count_include_pad=False)
        self.fc = nn.Linear(6 * 6, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        _ = F.gelu(x)
        y = F.dropout(self.unscaled(self.groups(self.same(x))), training=False)
        y = self.pools(F.max_pool2d(y, 2, 1, ceil_mode=True) + F.max_pool2d(y, 2, 1))
        y = F.avg_pool2d(self.means(y).contiguous(), 1)
        return self.fc(F.adaptive_avg_pool2d(y, (3, 2)).view(len(x), -1))


class Slopes(nn.Module):
    """Of one number and of one for each channel, and dimensions in another order."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.slope = nn.Conv2d(1, 3, (3, 2)), nn.PReLU(init=0.3)
        self.slopes, self.fc = nn.PReLU(3), nn.Linear(126, 3)
        nn.init.uniform_(self.slopes.weight, -1, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.slopes(self.slope(self.conv(x)))
        y = torch.permute(y, (0, 3, 1, 2)).permute(0, 2, 1, -1).contiguous()
        return self.fc(y.view(len(x), -1))


class Activations(nn.Module):
    """One after the other, as modules and functions."""

    def __init__(self) -> None:
        super().__init__()
        exact = [nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.LeakyReLU(0.2), nn.ELU(0.7)]
        self.each = nn.ModuleList([*exact, nn.Sigmoid(), nn.Tanh(), nn.ReLU6(), nn.Hardtanh()])
        self.convolutions = nn.ModuleList(nn.Conv2d(1, 2, 3, padding=1) for _ in self.each)
        self.fc = nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = [f(6 * conv(x)) for f, conv in zip(self.each, self.convolutions, strict=True)]
        z = y[0]
        for one in y[1:]:
            z = z + one
        return self.fc(F.leaky_relu(F.max_pool2d(z, 2).flatten(1), 0.3))


class Constants(nn.Module):
    """Pixels normalised inside, layer norms and scales as in ConvNeXt, gates of channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.wide, self.narrow = nn.Conv2d(1, 4, 3), nn.Linear(4, 6), nn.Linear(6, 4)
        self.norm, self.plain = nn.LayerNorm(4), nn.LayerNorm([4, 6, 6], elementwise_affine=False)
        self.groups = nn.GroupNorm(2, 4)
        self.places = torch.rand(1, 1, 8, 8)
        self.layer_scale, self.gate, self.fc = torch.rand(4), nn.Linear(4, 4), nn.Linear(4, 3)
        for norm in (self.norm, self.groups):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv((1 - (x - 0.3) / torch.full((1, 1, 1), 0.5)) * 2 + self.places)
        z = self.norm(y.permute(0, 2, 3, 1))
        z = self.layer_scale * self.narrow(F.gelu(self.wide(z)))
        y = self.plain(self.groups(y)) + z.permute(0, 3, 1, 2)
        y = torch.sigmoid(self.gate(y.mean((2, 3)))).view(-1, 4, 1, 1) * y
        return self.fc((y * y).mean((2, 3)))


KNOWN = (
    *("plain", "in place", "group norm", "no norm", "spectral", "functional", "method in place"),
    *("functional gelu", "shared", "residual", "untraceable"),
    *("poolings", "slopes", "activations", "constants"),
)
OWN = {
    "poolings": Poolings,
    "slopes": Slopes,
    "activations": Activations,
    "constants": Constants,
}


@pytest.mark.browser
@pytest.mark.parametrize("name", KNOWN)
def test_networks_of_many_makes_give_their_logits(name: str) -> None:
    torch.manual_seed(0)
    network = OWN[name]().eval() if name in OWN else networks.make(name)
    x = networks.images(5)
    operations = operations_of(network, x[:1])
    asked = {"program": program(operations, 32) | {"domain": None}, "shape": networks.SHAPE}
    found = movable.in_node(LOGITS, asked | {"x": x.flatten(1).tolist()})
    with torch.no_grad():
        assert_close(found, network(x), 1e-4)


class Odd(networks.Functional):
    """A part of a network is something else."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        if self.how == "softmax":
            y = y.softmax(1)
        elif self.how == "add":
            y = y + y.mean((1, 2, 3), keepdim=True)
        elif self.how == "number":
            y = y / y.max().item()
        elif self.how == "transposed":
            y = y + y.mT
        elif self.how == "buffer":
            total = torch.zeros(1, 4, 8, 8)
            total += y
            y = total
        elif self.how == "broadcast":
            y = y.mean((2, 3), keepdim=True) + torch.rand(1, 4, 8, 8)
        elif self.how == "prototypes":
            y = y * F.linear(torch.ones(1, 4), y.mean((2, 3)).expand(4, 4)).view(1, 4, 1, 1)
        elif self.how == "slope":
            y = F.leaky_relu(y, cast(float, torch.tensor(0.2)))
        elif self.how == "detour":
            y = torch.from_numpy(y.numpy())
        elif self.how == "view":
            y[:, :2].relu_().mul_(2)
        y = F.max_pool2d(F.relu(self.norm2(self.conv2(y))), 4)
        return self.fc(y.flatten(1))


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("softmax", "does not know, softmax"),
        ("add", "does not know, mean"),
        ("number", "cannot be followed"),
        ("transposed", "does not know, get"),
        ("buffer", "does not know, add"),
        ("broadcast", "does not know, add"),
        ("prototypes", "does not know"),
        ("slope", "does not know, leaky_relu"),
        ("detour", "cannot be followed"),
        ("view", "in place"),
    ],
)
def test_what_the_page_does_not_know_is_named(how: str, says: str) -> None:
    with pytest.raises(Unknown, match=says):
        operations_of(Odd(how).eval(), networks.images(1))


def test_the_network_is_left_as_it_was_found() -> None:
    network = networks.in_disorder(networks.make("residual"))
    before = networks.traces(network)
    operations_of(network, networks.images(1))
    assert networks.traces(network) == before


def test_the_site_is_found_among_the_operations() -> None:
    network, x = networks.make("residual"), networks.images(1)
    operations = operations_of(network, x)
    for layer, point in (("block.conv1", "activation"), ("block.conv2", "conv"), ("stem", "last")):
        site = Site(network, layer, networks.images(2), point)
        convolution, response = steps_of(site, operations, x)
        assert operations[convolution].weights[0] is network.get_submodule(layer).weight
        with torch.no_grad():
            expected = site.respond(site.input(x))
        assert torch.allclose(operations[response].value, expected, atol=1e-5)


# -------------------------------------------------------------------------------------- the parcel


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_numbers_come_out_as_they_were_rounded(bits: int) -> None:
    values = torch.randn(3, 4, 5) * torch.tensor([1e-3, 1.0, 50.0])[:, None, None]
    said = json.loads(json.dumps(packed(values, bits)))
    kind = {8: np.int8, 16: np.int16, 32: np.float32}[bits]
    numbers = np.frombuffer(base64.b64decode(said["data"]), kind).reshape(said["shape"])
    read = numbers if bits == 32 else numbers * np.array(said["steps"])[:, None, None]
    assert np.allclose(read, rounded(values, bits), rtol=1e-6, atol=0)
    error = (rounded(values, bits) - values).abs().flatten(1).amax(1)
    half = values.flatten(1).abs().amax(1) / 2 ** (bits - 1)
    assert (error <= (0 if bits == 32 else 0.6) * half).all()


def test_rounding_goes_as_far_as_nothing_is_seen() -> None:
    layer = nn.Linear(20, 20)

    def computed(module: nn.Linear) -> Tensor:
        return module.weight

    before = layer.weight.clone()
    half = float(layer.weight.detach().abs().max()) / 2
    for tolerance, bits in ((half / 120, 8), (half / 2**14, 16), (0.0, 32)):
        other, found = fewest_bits(layer, computed, tolerance)
        assert found == bits
        assert torch.equal(other.weight, rounded(layer.weight, bits))
    assert torch.equal(layer.weight, before)


def test_images_of_all_classes() -> None:
    labels = torch.tensor([2, 2, 0, 2, 1, 0])
    split = Split(torch.zeros(6, 1, 2, 2, dtype=torch.uint8), labels)
    assert one_of_each_class(split, 5).tolist() == [2, 4, 0, 5, 1]
    assert one_of_each_class(split, 9).tolist() == [2, 4, 0, 5, 1, 3]


def test_the_ground_is_that_of_the_border() -> None:
    x = torch.zeros(2, 1, 5, 5)
    x[..., 1:-1, 1:-1] = 1
    assert not scrubber.bright(x)
    assert scrubber.bright(1 - x)


def test_a_network_that_cannot_come_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    data = movable.images(1, 8)
    classifier = movable.network(movable.PAPER, data)
    gans = movable.named(movable.gan(classifier, data, movable.PAPER))
    for limit, says in (("MOST_WORK", "multiplications"), ("LARGEST", "too much for a page")):
        with monkeypatch.context() as patch:
            patch.setattr(scrubber, limit, 10)
            found = scrubber.travelling(data, classifier, gans)
        assert found["network"] is None
        assert found["sites"][0]["seen"] is None
        assert found["why"].startswith("Labels and residuals are not shown here: ")
        assert says in found["why"]
        assert found["why"].endswith(".")


def test_sites_beyond_what_the_page_holds_stay_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = movable.images(1, 8)
    classifier = movable.network(movable.PAPER, data)
    first = movable.gan(classifier, data, movable.PAPER)
    gans = movable.named(first, movable.gan(classifier, data, movable.PAPER, "activation"))
    whole = scrubber.travelling(data, classifier, gans)
    one, two = (len(json.dumps(site)) + 2 for site in whole["sites"])
    assert whole["left_out"] == []
    rest = len(json.dumps(whole | {"sites": []}))
    for most, sites in ((rest + one + two, 2), (rest + one + two - 1, 1), (rest + one - 1, 0)):
        monkeypatch.setattr(scrubber, "MOST", most)
        found = scrubber.travelling(data, classifier, gans)
        assert found["sites"] == whole["sites"][:sites]
        assert found["left_out"] == [name.prose for name in list(gans)[sites:]]
        assert len(json.dumps(found | {"left_out": []})) <= most
    told = movable.page(tmp_path / "run", two=True).read_text()  # none has room
    assert told_left_out(told) == "conv2 read at bn3 (natural); conv2 read at activation (natural)"
    assert 'id="scrubber-data"' not in told


def told_left_out(told: str) -> str:
    return told.partition("small enough to be passed on: ")[2].partition(".</p>")[0]


def test_sites_beyond_the_size_of_a_page_are_left_out_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = movable.page(tmp_path / "whole", two=True)
    sizes, left_out = [whole.stat().st_size], [told_left_out(whole.read_text())]
    for count in range(2):
        monkeypatch.setattr(page, "MOST", sizes[-1] - 1)
        smaller = movable.page(tmp_path / f"{count}", two=True)
        sizes.append(smaller.stat().st_size)
        left_out.append(told_left_out(smaller.read_text()))
    assert sizes == sorted(sizes, reverse=True)
    second = "conv2 read at activation (natural)"
    assert left_out == ["", second, f"conv2 read at bn3 (natural); {second}"]
    monkeypatch.setattr(page, "MOST", 1)  # figures and numbers are all there
    last = movable.page(tmp_path / "last", two=True).read_text()
    assert told_left_out(last) == left_out[-1]
    assert 'id="scrubber-data"' not in last
