"""A visitor's own image: uploads of all kinds, good and bad, and drawings."""

import threading

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile, PngImagePlugin
from sent import bomb, encoded

from filtergan.errors import UserError
from filtergan.explorer import uploads


def test_a_picture_that_fits_is_taken_as_it_is() -> None:
    pixels = np.random.default_rng(0).integers(256, size=(6, 5, 3), dtype=np.uint8)
    image, said = uploads.read_upload(encoded(Image.fromarray(pixels)), (3, 6, 5))
    assert np.array_equal((255 * image.numpy()).round().astype(np.uint8).transpose(1, 2, 0), pixels)
    assert said == "Your picture, as it is."


def test_a_photograph_is_turned_as_the_camera_was_held() -> None:
    pixels = np.random.default_rng(0).integers(256, size=(6, 6), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown a quarter turn clockwise
    sideways = encoded(Image.fromarray(np.rot90(pixels).copy()), exif=exif)
    plain = encoded(Image.fromarray(pixels), exif=b"no notes")  # damaged ones are passed over
    for content in (sideways, plain):
        image, _ = uploads.read_upload(content, (1, 6, 6))
        assert np.array_equal((255 * image[0].numpy()).round().astype(np.uint8), pixels)


def test_the_ground_is_told_by_the_border() -> None:
    dark = torch.zeros(2, 1, 6, 5)
    dark[..., 1:-1, 1:-1] = 1  # what is in the middle does not count
    assert not uploads.on_bright(dark)
    assert uploads.on_bright(1 - dark)
    assert uploads.on_bright(1 - dark[0])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_all_kinds_become_images_of_the_network(mode: str, channels: int) -> None:
    picture = Image.fromarray(np.full((40, 20, 3), 200, dtype=np.uint8)).convert(mode)
    content = encoded(picture, "jpeg" if mode == "CMYK" else "png")
    image, said = uploads.read_upload(content, (channels, 8, 8))
    assert image.shape == (channels, 8, 8)
    assert "brought to 8 x 8" in said
    assert ("grey" in said) == (channels == 1 and mode not in ("1", "L", "LA"))
    assert float(image.min()) == pytest.approx(1.0 if mode == "1" else 200 / 255, abs=0.02) or (
        mode == "1"
    )


def with_text() -> bytes:
    """A PNG with a comment that is small when packed, and a hundred megabytes when not."""
    more = PngImagePlugin.PngInfo()
    more.add_text("comment", "a" * (100 * 2**20), zip=True)
    return encoded(Image.new("L", (8, 8)), pnginfo=more)


BAD = {
    "nothing": (b"", "is no picture"),
    "words": (b"these are words", "is no picture"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is no picture"),
    "tiff": (encoded(Image.new("L", (8, 8)), "tiff"), "is no picture"),
    "cut": (encoded(Image.effect_noise((64, 64), 9))[:900], "is damaged"),
    "deep": (encoded(Image.fromarray(np.zeros((8, 8), dtype=np.uint16))), "more than 8 bits"),
    "50 megapixels": (encoded(Image.new("1", (10_000, 5_000))), "10000 x 5000 pixels"),
    "bomb": (bomb(5_000), "5000 x 5000 pixels"),
    "larger bomb": (bomb(10_000), "too many pixels"),
    "largest bomb": (bomb(60_000), "too many pixels"),
    "too many bytes": (bytes(uploads.MOST_BYTES + 1), "larger than 8 MiB"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_uploads_are_refused_with_a_sentence_and_not_decoded(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, said = BAD[name]
    if name != "cut":
        monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(UserError, match=said) as refused:
        uploads.read_upload(content, (1, 8, 8))
    assert str(refused.value).endswith(".")


def test_a_packed_comment_is_not_unpacked_for_ever() -> None:
    with pytest.raises(UserError, match="is damaged"):
        uploads.read_upload(with_text(), (1, 8, 8))


def test_reading_is_bounded_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that never ends: the visitor is told, and the next one is not kept waiting."""
    begun, released = threading.Event(), threading.Event()

    def load(self: ImageFile.ImageFile) -> None:
        if not begun.is_set():
            begun.set()
            released.wait(60)
        raise OSError

    monkeypatch.setattr(uploads, "MOST_SECONDS", 0.1)
    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    good = encoded(Image.new("L", (8, 8)))
    try:
        with pytest.raises(UserError, match=r"longer than 0\.1 seconds; save it anew"):
            uploads.read_upload(good, (1, 8, 8))
        assert begun.wait(60)
        monkeypatch.setattr(uploads, "MOST_SECONDS", 30.0)
        with pytest.raises(UserError, match="is damaged"):
            uploads.read_upload(good, (1, 8, 8))
    finally:
        released.set()


@pytest.mark.parametrize("name", ["50 megapixels", "larger bomb", "words"])
def test_what_is_larger_than_the_paper_is_not_decoded(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    said = {"50 megapixels": "pixels, more than 78,400"}.get(name, BAD[name][1])
    with pytest.raises(UserError, match=said):
        uploads.opened(BAD[name][0], 280**2)
    assert uploads.opened(encoded(Image.new("RGBA", (280, 280))), 280**2).size == (280, 280)


def test_ink_is_dark_and_covers() -> None:
    paper = np.zeros((2, 2, 4), dtype=np.uint8)
    paper[0, 0] = 0, 0, 0, 255
    paper[0, 1] = 255, 255, 255, 255
    paper[1, 0] = 0, 0, 0, 100
    assert uploads.ink(paper).tolist() == [[255, 0], [100, 0]]


def test_a_drawing_is_reduced_to_means() -> None:
    ink = np.random.default_rng(0).integers(256, size=(12, 20), dtype=np.uint8)
    found = uploads.reduced(ink, (1, 3, 5))
    loop = [
        [ink[4 * i : 4 * i + 4, 4 * j : 4 * j + 4].mean() / 255 for j in range(5)] for i in range(3)
    ]
    np.testing.assert_allclose(found[0], loop, atol=1.01 / 255)
