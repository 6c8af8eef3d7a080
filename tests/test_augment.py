"""Augmentation by what a network ignores."""

import pickle

import pytest
import torch
import torch.nn.functional as F
from movable import PAPER, gan, images, network
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset, default_collate

import filtergan as fg
from filtergan.errors import UserError
from filtergan.natural.natural_gan import NaturalGAN

DATA = images(1, 8)
X = DATA.test.pixels()


@pytest.fixture(scope="module")
def moved_by() -> NaturalGAN:
    return gan(network(PAPER, DATA), DATA, PAPER)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_it_is_the_transformer_at_its_latents(moved_by: NaturalGAN) -> None:
    found = fg.InvarianceAugment(moved_by, generator=seeded())(X)
    z, z_k = fg.InvarianceAugment(moved_by, generator=seeded()).latents(len(X))
    for k in range(0, len(X), 9):  # image by image
        one = moved_by.transform(X[k : k + 1], z[k : k + 1], z_k[k : k + 1])
        assert torch.allclose(found[k], one[0], atol=1e-6)
    assert not torch.allclose(found, X, atol=0.05)


def test_at_no_strength_images_stay_exactly_as_they_are(moved_by: NaturalGAN) -> None:
    augment = fg.InvarianceAugment(moved_by, strength=0.0)
    assert torch.equal(augment(X), X)
    assert torch.equal(augment(DATA.test.images[:]), DATA.test.images[:])


def test_at_full_strength_latents_are_two_independent_draws(moved_by: NaturalGAN) -> None:
    z, z_k = fg.InvarianceAugment(moved_by, generator=seeded()).latents(100_000)
    found = torch.cat([z, z_k], dim=1).T.cov()
    assert torch.allclose(found, torch.eye(6), atol=0.02)


def test_strength_is_the_length_of_the_way(moved_by: NaturalGAN) -> None:
    whole, half = (
        fg.InvarianceAugment(moved_by, s, generator=seeded()).latents(50) for s in (1.0, 0.5)
    )
    assert torch.allclose(half[1] - half[0], (whole[1] - whole[0]) / 2, atol=1e-6)
    assert torch.allclose(half[1] + half[0], whole[1] + whole[0], atol=1e-6)


def test_only_the_chosen_latents_move(moved_by: NaturalGAN) -> None:
    z, z_k = fg.InvarianceAugment(moved_by, latents=[0, 2]).latents(50)
    assert torch.equal(z[:, 1], z_k[:, 1])
    assert (z != z_k)[:, [0, 2]].all()


def test_one_generator_gives_the_same_images(moved_by: NaturalGAN) -> None:
    first, again, other = (
        fg.InvarianceAugment(moved_by, generator=seeded(s))(X) for s in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_one_image_and_bytes(moved_by: NaturalGAN) -> None:
    whole = fg.InvarianceAugment(moved_by, generator=seeded())(X[:1])
    one = fg.InvarianceAugment(moved_by, generator=seeded())(X[0])
    assert torch.equal(whole[0], one)
    rounded = fg.InvarianceAugment(moved_by, generator=seeded())(DATA.test.images[:1])
    assert rounded.dtype == torch.uint8
    assert torch.allclose(rounded / 255, whole, atol=0.51 / 255)


def test_it_is_a_module_among_others(moved_by: NaturalGAN) -> None:
    augment = fg.InvarianceAugment(moved_by, generator=None)
    assert not [p for p in augment.parameters() if p.requires_grad]
    torch.manual_seed(3)
    found = nn.Sequential(nn.Identity(), augment)(X)
    torch.manual_seed(3)
    assert torch.equal(pickle.loads(pickle.dumps(augment))(X), found)
    assert str(augment).startswith("InvarianceAugment(\n  strength=1, latents=[0, 1, 2]")


def test_it_composes_with_kornia(moved_by: NaturalGAN) -> None:
    kornia = pytest.importorskip("kornia.augmentation", reason="kornia is not installed")
    augment = fg.InvarianceAugment(moved_by, generator=seeded())
    found = kornia.ImageSequential(augment, kornia.RandomHorizontalFlip(p=1.0))(X)
    wanted = fg.InvarianceAugment(moved_by, generator=seeded())(X).flip(-1)
    assert torch.allclose(found, wanted, atol=1e-6)


class Moved(Dataset[Tensor]):
    """Single images, moved as a user's data set would."""

    def __init__(self, augment: nn.Module) -> None:
        self.augment = augment

    def __len__(self) -> int:
        return 8

    def __getitem__(self, k: int) -> Tensor:
        return self.augment(X[0])


@pytest.mark.parametrize("own", [False, True])
def test_workers_of_a_loader_move_images_differently(moved_by: NaturalGAN, own: bool) -> None:
    def passes() -> Tensor:
        augment = fg.InvarianceAugment(moved_by, generator=seeded() if own else None)
        loader = DataLoader(Moved(augment), batch_size=4, num_workers=2, generator=seeded())
        return torch.cat([x for _ in range(2) for x in loader])

    found = passes()
    assert len({bytes(x.numpy().tobytes()) for x in found}) == 16  # in both passes
    assert torch.equal(passes(), found)


class Wrapped(Tensor):
    """As torchvision wraps images: results of operations are plain tensors."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # pyright: ignore


def test_it_passes_on_labels_and_wrappings_as_v2_of_torchvision_wants(moved_by: NaturalGAN) -> None:
    # v2.Compose hands on what the transform before gave: an image, or an image and its label.
    augment = fg.InvarianceAugment(moved_by, generator=seeded())
    moved, label = augment(X.as_subclass(Wrapped), "label")
    assert (type(moved), label) == (Wrapped, "label")
    again = fg.InvarianceAugment(moved_by, generator=seeded())(X)
    assert type(again) is Tensor
    assert torch.equal(moved.as_subclass(Tensor), again)


def test_what_interpolation_put_beyond_black_and_white_is_put_back(moved_by: NaturalGAN) -> None:
    further = X + torch.where(X > 0.5, 0.2, -0.2) * (X - 0.5).abs().gt(0.45)
    assert further.min() < -0.1
    found = fg.InvarianceAugment(moved_by, generator=seeded())(further)
    wanted = fg.InvarianceAugment(moved_by, generator=seeded())(further.clamp(0, 1))
    assert torch.equal(found, wanted)


def test_batches_of_a_loader_are_moved_at_once(moved_by: NaturalGAN) -> None:
    augment = fg.InvarianceAugment(moved_by, generator=seeded())

    def collate(items: list[tuple[Tensor, ...]]) -> Tensor:
        return augment(default_collate(items)[0])

    loader = DataLoader(TensorDataset(X), batch_size=20, collate_fn=collate)
    assert [len(batch) for batch in loader] == [20, 20]


def test_images_of_another_size_are_moved_by_as_large_a_part(moved_by: NaturalGAN) -> None:
    large = F.interpolate(X, scale_factor=4, mode="bicubic").clamp(0, 1)
    small = F.interpolate(large, (8, 8), mode="bilinear", antialias=True)
    found = fg.InvarianceAugment(moved_by, 0.3, generator=seeded(), size=(32, 32))(large)
    wanted = fg.InvarianceAugment(moved_by, 0.3, generator=seeded())(small)
    found = F.interpolate(found, (8, 8), mode="bilinear", antialias=True)
    assert (found - wanted).norm() < 0.25 * (wanted - small).norm()  # 8x8 is coarse
    assert moved_by.transformer.space.shape == (1, 8, 8)


def test_what_is_shown_to_the_encoder_has_its_own_size(moved_by: NaturalGAN) -> None:
    large = F.interpolate(X, scale_factor=4, mode="bicubic").clamp(0, 1)
    small = F.interpolate(large, (8, 8), mode="bilinear", antialias=True)
    z, z_k = fg.InvarianceAugment(moved_by, generator=seeded()).latents(len(X))
    own, other = moved_by.transformer, moved_by.transformer.resized(32, 32)
    coefficients = own.coefficients(small, z, z_k)
    assert torch.equal(other.coefficients(large, z, z_k), coefficients)
    near, far = (one.space.fields(coefficients) for one in (own, other))
    spread = F.interpolate(near["flow"], (32, 32), mode="bicubic")  # four times as many pixels
    assert (far["flow"] - 4 * spread).norm() < 0.05 * far["flow"].norm()
    assert torch.equal(other.resized(8, 8)(small, z, z_k), own(small, z, z_k))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"size": (8, 9)}, "8x9 have other proportions than those of 8x8"),
        ({"strength": -1.0}, "strength is -1"),
        ({"strength": float("nan")}, "strength is nan"),
        ({"latents": [0, 3]}, "no latent 3; .* has 0 to 2"),
        ({"latents": []}, "no latent to move"),
    ],
)
def test_bad_choices_are_refused(moved_by: NaturalGAN, given: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        fg.InvarianceAugment(moved_by, **given)


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (torch.rand(2, 1, 9, 8), "2x1x9x8, but the transformer moves images of 1x8x8"),
        (torch.rand(8, 8), "8x8, but"),
        (3 * X, "pixels from 0 to 1"),
    ],
)
def test_bad_images_are_refused(moved_by: NaturalGAN, x: Tensor, said: str) -> None:
    with pytest.raises(UserError, match=said):
        fg.InvarianceAugment(moved_by)(x)
