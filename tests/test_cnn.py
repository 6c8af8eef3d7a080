"""The studied network, its training, and loading of the user's own."""

import re
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import fx, nn

from filtergan.classifiers.fitting import augmented, channels_last, fit, predict
from filtergan.classifiers.loading import check_fits, load_model
from filtergan.classifiers.networks import PaperCNN, ResNet, make
from filtergan.config.fields import CnnConfig
from filtergan.errors import UserError
from filtergan.images.domain import to_float

SMALL = CnnConfig(channels=(4, 6), pool_after=(1,))
MODEL = """
from torch import nn

def net():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3))

def broken():
    raise RuntimeError("no such file as mean.npy")

def number():
    return 7

class Zoo:
    net = staticmethod(net)
"""


def small(seed=0, classes=3) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return PaperCNN(SMALL, (1, 6, 6), classes)


def toy(n=60):
    """Images whose class is the brightness of one pixel."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (n,), generator=generator)
    images = torch.randint(0, 30, (n, 1, 6, 6), dtype=torch.uint8, generator=generator)
    images[:, 0, 2, 2] = (labels * 110).to(torch.uint8)
    return images, labels


def train(network, images, labels, **changed):
    settings = {"epochs": 2, "batch": 16, "rate": 1e-2, "weight_decay": 1e-2, "seed": 5}
    settings |= {"device": "cpu"} | changed
    parameters = settings.pop("parameters", None) or list(network.parameters())
    fit(network, parameters, images, labels, **settings)


def test_forward_is_the_papers_stack():
    network = small().eval()
    x = torch.rand(2, 1, 6, 6)
    y = F.max_pool2d(F.relu(network.bn1(F.conv2d(x, network.conv1.weight, padding=1))), 2)
    y = F.relu(network.bn2(F.conv2d(y, network.conv2.weight, padding=1)))
    expected = y.reshape(2, -1) @ network.fc.weight.T + network.fc.bias
    torch.testing.assert_close(network(x), expected)
    assert y.shape == (2, 6, 3, 3)


def test_default_network_names_and_shapes():
    network = PaperCNN(CnnConfig(), (3, 32, 32), 10)
    names = [name for name, _ in network.named_children()]
    assert names == [f"{kind}{i}" for i in range(1, 6) for kind in ("conv", "bn")] + ["fc"]
    assert network(torch.rand(2, 3, 32, 32)).shape == (2, 10)
    assert PaperCNN(CnnConfig(), (1, 8, 8), 10).fc.in_features == 64


def test_forward_is_traceable():
    network = small().eval()
    x = torch.rand(2, 1, 6, 6)
    torch.testing.assert_close(fx.symbolic_trace(network)(x), network(x))


@pytest.mark.parametrize(
    ("config", "shape", "message"),
    [
        (CnnConfig(), (1, 6, 28), "6x28 are too small for 3 poolings"),
        (CnnConfig(channels=(4, 4), pool_after=(3,)), (1, 8, 8), "names convolution 3"),
    ],
)
def test_pooling_that_cannot_be(config, shape, message):
    with pytest.raises(UserError, match=message):
        PaperCNN(config, shape, 10)


def test_forward_is_a_residual_network():
    torch.manual_seed(0)
    config = CnnConfig(architecture="resnet", channels=(4, 6), blocks=2)
    network: Any = make(config, (3, 8, 8), 5).eval()
    assert isinstance(network, ResNet)
    bns: list[Any] = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for bn in bns:
        nn.init.normal_(bn.running_mean)
        nn.init.uniform_(bn.running_var, 0.5, 2)
        nn.init.normal_(bn.weight)
    images = torch.rand(3, 3, 8, 8)

    def normal(bn, x):
        flat = [v[None, :, None, None] for v in (bn.running_mean, bn.running_var, bn.weight)]
        return (x - flat[0]) / (flat[1] + bn.eps).sqrt() * flat[2] + bn.bias[None, :, None, None]

    x = normal(network.bn, F.conv2d(images, network.conv.weight, padding=1)).clamp(min=0)
    for stage, stride in (("stage1", 1), ("stage2", 2)):
        for j in range(2):
            block: Any = network.get_submodule(f"{stage}.{j}")
            by = stride if j == 0 else 1
            y = F.conv2d(x, block.conv1.weight, stride=by, padding=1)
            y = F.conv2d(normal(block.bn1, y).clamp(min=0), block.conv2.weight, padding=1)
            around = x if by == 1 else F.conv2d(x, block.around.weight, stride=2)
            x = (normal(block.bn2, y) + around).clamp(min=0)
    assert x.shape == (3, 6, 4, 4)
    expected = x.flatten(2).mean(2) @ network.fc.weight.T + network.fc.bias
    torch.testing.assert_close(network(images), expected)
    torch.testing.assert_close(fx.symbolic_trace(network)(images), expected)


def test_augmented_is_a_mirrored_and_shifted_window():
    torch.manual_seed(0)
    images = torch.arange(1, 200 * 3 * 5 * 4 + 1).float().reshape(200, 3, 5, 4)
    seen = set()
    for before, after in zip(images, augmented(images, flip=True, shift=2), strict=True):
        wide = F.pad(before, (2, 2, 2, 2))
        found = [
            (down, right, mirrored)
            for down in range(5)
            for right in range(5)
            for mirrored in (False, True)
            for window in [wide[:, down : down + 5, right : right + 4]]
            if torch.equal(window.flip(2) if mirrored else window, after)
        ]
        assert found
        seen |= set(found) if len(found) == 1 else set()
    assert len(seen) > 40  # of 50
    torch.testing.assert_close(augmented(images, flip=False, shift=0), images)


def test_to_float():
    x = torch.tensor([0, 51, 255], dtype=torch.uint8)
    assert to_float(x).tolist() == pytest.approx([0, 0.2, 1])
    assert to_float(torch.tensor([2.0, -1.0])).tolist() == [2, -1]
    assert x.tolist() == [0, 51, 255]


def test_fit_equals_a_plain_loop():
    images, labels = toy()
    network, other = small(), small()
    train(network, images, labels)
    optimizer = torch.optim.AdamW(other.parameters(), lr=1e-2, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=6)
    generator = torch.Generator().manual_seed(5)
    for _ in range(2):
        order = torch.randperm(60, generator=generator)
        for index in (order[:16], order[16:32], order[32:48]):  # the last 12 are dropped
            optimizer.zero_grad()
            F.cross_entropy(other(images[index] / 255), labels[index]).backward()
            optimizer.step()
            schedule.step()
    for one, two in zip(network.state_dict().values(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(one, two)


def test_fit_learns():
    images, labels = toy()
    network = small()
    train(network, images, labels, epochs=40)
    assert (predict(network, images, device="cpu").argmax(1) == labels).float().mean() > 0.95


@pytest.mark.parametrize("native", [True, False])
def test_fit_in_bfloat16_where_the_processor_computes_in_it(monkeypatch, native):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: native)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    images, labels = toy()
    network, seen = small(), set()
    network.register_forward_hook(lambda *passed: seen.add(passed[2].dtype))
    train(network, images, labels, epochs=40, mixed=True)
    assert seen == {torch.bfloat16 if native else torch.float32}
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert (predict(network, images, device="cpu").argmax(1) == labels).float().mean() > 0.95


def test_fit_reports_every_step():
    images, labels = toy()
    seen = []
    train(small(), images, labels, on_step=lambda *values: seen.append(values))
    assert [(step, steps, samples) for step, steps, _, samples in seen] == [
        (i, 6, 16 * i) for i in range(1, 7)
    ]
    assert not any(loss.requires_grad for _, _, loss, _ in seen)


def test_only_minibatch_is_kept_though_short():
    images, labels = toy(10)
    seen = []
    train(small(), images, labels, epochs=3, on_step=lambda *values: seen.append(values))
    assert [samples for *_, samples in seen] == [10, 20, 30]


def test_fit_touches_nothing_else():
    images, labels = toy()
    network = small()
    network.bn2.eval()
    network.fc.train()
    network.conv1.requires_grad_(False)
    flags = [module.training for module in network.modules()]
    before = {name: value.clone() for name, value in network.named_parameters()}
    random = torch.get_rng_state()
    train(network, images, labels, parameters=[network.fc.weight])
    changed = [name for name, value in network.named_parameters() if (value != before[name]).any()]
    assert changed == ["fc.weight"]
    assert [module.training for module in network.modules()] == flags
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not network.conv1.weight.requires_grad
    assert torch.equal(torch.get_rng_state(), random)


def test_norms_of_layers_that_are_not_trained_keep_their_statistics():
    images, labels = toy()
    network = small()
    before = [norm.running_mean.clone() for norm in (network.bn1, network.bn2)]
    later = [*network.conv2.parameters(), *network.bn2.parameters(), *network.fc.parameters()]
    train(network, images, labels, parameters=later)
    assert torch.equal(network.bn1.running_mean, before[0])
    assert not torch.equal(network.bn2.running_mean, before[1])


def test_fit_repeats_dropout_too():
    images, labels = toy()
    networks = [nn.Sequential(small(), nn.Dropout(0.5)) for _ in range(2)]
    for network in networks:
        torch.rand(3)
        train(network, images, labels)
    for one, two in zip(*(network.state_dict().values() for network in networks), strict=True):
        assert torch.equal(one, two)


def test_loss_that_is_not_finite():
    images, labels = toy()
    network = small().eval()
    inputs = to_float(images)
    inputs[30:] = float("nan")
    with pytest.raises(UserError, match=r"turned to nan at step \d of 6") as caught:
        train(network, inputs, labels)
    assert caught.value.exit_code == 1
    assert not any(module.training for module in network.modules())
    assert all(parameter.isfinite().all() for parameter in network.parameters())


def test_predict_in_batches():
    images, _ = toy()
    network = small()
    logits = predict(network, images, batch=7, device="cpu")
    assert network.training
    assert not logits.requires_grad
    torch.testing.assert_close(logits, network.eval()(images / 255).detach())
    mean = predict(lambda x: x.mean((2, 3)), images, device="cpu", prepare=lambda x: x.double())
    torch.testing.assert_close(mean, images.double().mean((2, 3)))


def test_check_fits():
    network = small()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    check_fits(network, (1, 6, 6), 3)
    with pytest.raises(UserError, match=r"cannot take the dataset's images of 3x6x6"):
        check_fits(network, (3, 6, 6), 3)
    with pytest.raises(UserError, match=r"gives \[2, 3\] .* 10 classes"):
        check_fits(network, (1, 6, 6), 10)
    assert all(module.training for module in network.modules())
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


@pytest.fixture
def model(tmp_path, monkeypatch):
    """Name of a module in the working directory, another for each test."""
    monkeypatch.chdir(tmp_path)
    name = re.sub(r"\W", "_", f"own_{tmp_path.name}")
    (tmp_path / f"{name}.py").write_text(MODEL)
    return name


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_load_model_with_weights(model, tmp_path, suffix):
    state = load_model(f"{model}:net", None).state_dict()
    state = {name: torch.full_like(value, 0.5) for name, value in state.items()}
    path = tmp_path / f"net.{suffix}"
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    network = load_model(f"{model}:Zoo.net", path)
    assert all((value == 0.5).all() for value in network.state_dict().values())


def test_load_model_leaves_the_path_as_it_was(model):
    import sys

    before = list(sys.path)
    load_model(f"{model}:net", None)
    with pytest.raises(UserError):
        load_model(f"{model}:broken", None)
    assert sys.path == before


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{}", "write package.module:factory"),
        ("{}:", "write package.module:factory"),
        ("nowhere_at_all:net", "cannot be imported: ModuleNotFoundError"),
        (".relative:net", "cannot be imported"),
        ("{}:missing", "There is no 'missing'"),
        ("{}:broken", "fails when called without arguments: RuntimeError: no such file as mean"),
        ("{}:number", "returns int"),
    ],
)
def test_factory_that_does_not_work(model, spec, message):
    with pytest.raises(UserError, match=message):
        load_model(spec.format(model), None)


def test_module_with_an_error_in_it(model, tmp_path):
    (tmp_path / f"{model}_bad.py").write_text("def net(:\n")
    with pytest.raises(UserError, match="cannot be imported: SyntaxError"):
        load_model(f"{model}_bad:net", None)


class Surprise:
    def __reduce__(self):
        return (print, ("a pickle was run",))


@pytest.mark.parametrize("name", ["a.safetensors", "a.pt"])
def test_weights_that_are_damaged(model, tmp_path, name, capsys):
    state = load_model(f"{model}:net", None).state_dict()
    path = tmp_path / name
    save_file(state, path) if name.endswith("safetensors") else torch.save(state, path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match=rf"{name} is damaged"):
        load_model(f"{model}:net", path)
    path.write_bytes(b"")
    with pytest.raises(UserError, match=rf"{name} is damaged"):
        load_model(f"{model}:net", path)
    with pytest.raises(UserError, match="There is no weights file nothing"):
        load_model(f"{model}:net", "nothing")
    torch.save(Surprise(), tmp_path / "b.pt")
    with pytest.raises(UserError, match="more than tensors"):
        load_model(f"{model}:net", tmp_path / "b.pt")
    torch.save([1, 2], tmp_path / "c.pt")
    with pytest.raises(UserError, match="holds no state dict"):
        load_model(f"{model}:net", tmp_path / "c.pt")
    assert "a pickle was run" not in capsys.readouterr().out


def test_weights_that_do_not_fit(model, tmp_path):
    state = dict(load_model(f"{model}:net", None).state_dict())
    state["2.weight"] = torch.zeros(5, 8)
    state["extra"] = state.pop("0.bias")
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(UserError, match="do not fit") as caught:
        load_model(f"{model}:net", tmp_path / "a.safetensors")
    for part in ("lacks 0.bias", "has no extra", "2.weight [5, 8] instead of [3, 8]"):
        assert part in str(caught.value)


def test_channels_last_keeps_the_values() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=4), nn.Flatten(), nn.Linear(64, 2)
    ).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    x = torch.rand(3, 1, 8, 8)
    want = network(x)
    assert channels_last(network) is network
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    torch.testing.assert_close(network(x), want)
    got = network[0](x)  # also behind a single channel, where strides can be read either way
    assert got.is_contiguous(memory_format=torch.channels_last)
    assert not got.is_contiguous()
