"""How images are decoded: filters, colours, and files that are damaged."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentlab.data import loading, open_dataset
from latentlab.data.decoding import read_image
from latentlab.data.sources import find_images
from latentlab.errors import DataError, UsageError


def picture(width: int = 16, height: int | None = None, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height or width, width, 3), dtype=np.uint8)


def encoded(pixels: np.ndarray, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def images_of(path: Path, resolution: int = 16, **options: object) -> np.ndarray:
    return open_dataset(path, resolution=resolution, **options).images(slice(None))


# -------------------------------------------------------------------------------------------------------- filters


@pytest.mark.parametrize(("size", "expected"), [(48, Image.Resampling.BOX), (64, Image.Resampling.BOX)])
def test_the_filter_is_box_unless_lanczos_is_asked_for(tmp_path: Path, size: int, expected: Image.Resampling) -> None:
    pixels = picture(size)
    write(tmp_path / "a.png", encoded(pixels))
    box, lanczos = (images_of(tmp_path, 32, filter=name)[0] for name in ("box", "lanczos"))
    image = Image.fromarray(pixels)
    assert np.abs(box.astype(int) - np.asarray(image.resize((32, 32), expected))).max() <= 1
    assert np.array_equal(lanczos, image.resize((32, 32), Image.Resampling.LANCZOS))
    assert open_dataset(tmp_path, resolution=32).filter == "box"
    described = open_dataset(tmp_path, resolution=32, filter="lanczos").describe()
    assert (described["filter"], described["crop"], described["num_skipped"]) == ("lanczos", "none", 0)


def test_lanczos_comes_after_the_crop_and_leaves_images_of_the_right_size_alone(tmp_path: Path) -> None:
    pixels = picture(40, 32)
    write(tmp_path / "a.png", encoded(pixels))
    square = pixels[:, 4:36]
    assert np.array_equal(images_of(tmp_path, 32, crop="center", filter="lanczos")[0], square)
    smaller = Image.fromarray(square).resize((16, 16), Image.Resampling.LANCZOS)
    assert np.array_equal(images_of(tmp_path, 16, crop="center", filter="lanczos")[0], smaller)


def test_an_unknown_filter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"filter 'bicubic' is not known.*box, lanczos"):
        open_dataset(tmp_path, resolution=16, filter="bicubic")


def test_the_filter_is_part_of_the_fingerprint_of_files_decoded_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.png", encoded(picture(32)))
    monkeypatch.setattr(loading, "memory_limit", lambda: 1)
    fingerprints = {open_dataset(tmp_path, resolution=16, filter=name).fingerprint for name in ("box", "lanczos")}
    assert len(fingerprints) == 2


# -------------------------------------------------------------------------------------------------------- colours


def grey_alpha() -> tuple[Image.Image, np.ndarray]:
    pixels = np.zeros((16, 16, 2), np.uint8)
    pixels[:8] = (100, 255)
    return Image.fromarray(pixels), np.repeat([[[100] * 3]] * 8 + [[[255] * 3]] * 8, 16, axis=1)


def palette(*, transparent: bool) -> tuple[Image.Image, np.ndarray]:
    image = Image.fromarray(np.repeat([[0, 1] * 8], 16, axis=0).astype(np.uint8), "L").convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    if transparent:
        image.info["transparency"] = 1
    colours = [[10, 20, 30], [255] * 3 if transparent else [40, 50, 60]]
    return image, np.repeat([colours * 8], 16, axis=0)


def one_bit() -> tuple[Image.Image, np.ndarray]:
    bits = np.repeat([[False, True] * 8], 16, axis=0)
    return Image.fromarray(bits), np.repeat(bits[:, :, None] * 255, 3, axis=2)


def sixteen_bit() -> tuple[Image.Image, np.ndarray]:
    grey = picture()[:, :, 0]
    return Image.fromarray(grey.astype(np.uint16) * 256 + 255), np.repeat(grey[:, :, None], 3, axis=2)


COLOURS: dict[str, Callable[[], tuple[Image.Image, np.ndarray]]] = {
    "grey with alpha": grey_alpha,
    "palette": lambda: palette(transparent=False),
    "palette with transparency": lambda: palette(transparent=True),
    "one bit": one_bit,
    "sixteen bit": sixteen_bit,
}


@pytest.mark.parametrize("kind", COLOURS)
def test_every_kind_of_png_becomes_rgb(tmp_path: Path, kind: str) -> None:
    image, expected = COLOURS[kind]()
    image.save(tmp_path / "a.png")
    assert np.array_equal(images_of(tmp_path)[0], expected)


@pytest.mark.parametrize(("mode", "colour"), [("CMYK", (0, 255, 255, 0)), ("L", 77)])
def test_jpegs_of_four_inks_or_one_become_rgb(tmp_path: Path, mode: str, colour: int | tuple[int, ...]) -> None:
    Image.new(mode, (16, 16), colour).save(tmp_path / "a.jpg", quality=100)
    expected = (255, 0, 0) if mode == "CMYK" else (77, 77, 77)
    assert np.abs(images_of(tmp_path)[0].astype(int) - expected).max() <= 3


# -------------------------------------------------------------------------------------------------- damaged files


def oversized() -> bytes:
    """A PNG of a few bytes whose header promises 60,000 x 60,000 pixels."""
    content = bytearray(encoded(picture()))
    content[16:24] = (60_000).to_bytes(4, "big") * 2
    return bytes(content)


def damaged(root: Path) -> Path:
    """Three sound images, and one of every kind of damage."""
    for k in range(3):
        write(root / f"{k}.png", encoded(picture(64, seed=k)))
    for name, content in {
        "1-bomb.png": oversized(),
        "1-cut.png": encoded(picture(64))[:5000],
        "1-empty.png": b"",
        "1-header.png": encoded(picture(64))[:20],
        "1-text.png": b"no image",
        "9-cut.jpg": encoded(picture(64), "JPEG")[:700],
        "9-cut.webp": encoded(picture(64), "WEBP")[:700],
    }.items():
        write(root / name, content)
    return root


BAD = ("1-bomb.png", "1-cut.png", "1-empty.png", "1-header.png", "1-text.png", "9-cut.jpg", "9-cut.webp")


@pytest.mark.filterwarnings("default::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("limit", [loading.MEMORY_LIMIT, 100])
def test_what_cannot_be_read_is_left_out_if_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(loading, "memory_limit", lambda: limit)
    dataset = open_dataset(damaged(tmp_path), resolution=64, skip_bad=True)
    assert dataset.skipped == BAD
    assert dataset.describe()["num_skipped"] == len(BAD)
    assert dataset.describe()["num_images"] == 3
    assert np.array_equal(dataset.images(slice(None)), [picture(64, seed=k) for k in range(3)])
    assert len({dataset.fingerprint, open_dataset(tmp_path, resolution=32, skip_bad=True).fingerprint}) == 2


def test_all_that_cannot_be_read_is_counted_and_the_first_five_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"7 images of 10 cannot be read.*--skip-bad") as caught:
        open_dataset(damaged(tmp_path), resolution=64)
    lines = str(caught.value).splitlines()[1:]
    assert [line.split(":")[0].rsplit("/", 1)[1] for line in lines[:5]] == list(BAD[:5])
    assert lines[5:] == ["and 2 more"]
    assert "0x" not in str(caught.value)  # no address of a Python object


def test_labels_of_what_is_left_out_are_left_out(tmp_path: Path) -> None:
    for k in range(4):
        content = b"broken" if k == 1 else encoded(picture(64, seed=k))
        write(tmp_path / "img_align_celeba" / f"{k}.png", content[:4000] if k == 2 else content)
    (tmp_path / "list_attr_celeba.txt").write_text("4\nA B\n0.jpg -1 1\n1.jpg 1 1\n2.jpg 1 1\n3.jpg 1 -1\n")
    dataset = open_dataset(tmp_path, resolution=64, skip_bad=True)
    assert dataset.skipped == ("1.png", "2.png")
    assert np.array_equal(dataset.labels, [[-1, 1], [1, -1]])
    assert np.array_equal(dataset.images(np.array([1])), [picture(64, seed=3)])
    assert open_dataset(tmp_path, resolution=64, skip_bad=True, num_images=3).skipped == ("1.png", "2.png")


@pytest.mark.parametrize("content", [b"", encoded(picture(64))[:4000]])
@pytest.mark.parametrize("skip_bad", [True, False])
def test_a_set_of_which_nothing_can_be_read_is_refused(tmp_path: Path, content: bytes, skip_bad: bool) -> None:
    write(tmp_path / "a.png", content)
    with pytest.raises(DataError, match=r"none of the images \(1\) can be read"):
        open_dataset(tmp_path, resolution=16, skip_bad=skip_bad)


def test_an_image_that_breaks_after_opening_is_named_when_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for k in range(2):
        write(tmp_path / f"{k}.png", encoded(picture(seed=k)))
    monkeypatch.setattr(loading, "memory_limit", lambda: 1)
    dataset = open_dataset(tmp_path, resolution=16)
    (tmp_path / "1.png").unlink()
    with pytest.raises(DataError, match=r"1 image of 2 cannot be read.*\n.*1\.png: No such file"):
        dataset.images(np.array([0, 1]))


def test_other_forms_than_the_three_are_not_decoded_whatever_their_name(tmp_path: Path) -> None:
    write(tmp_path / "a.png", encoded(picture(), "BMP"))
    with pytest.raises(DataError, match=r"a\.png: not a PNG, JPEG or WebP image"):
        read_image(find_images(tmp_path)[0], resolution=16, box=None, resampling="box")


def test_names_that_are_not_utf8_can_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        write(tmp_path / "caf\udce9.png", encoded(picture()))
    except (OSError, UnicodeEncodeError):
        pytest.skip("this file system takes UTF-8 names only")
    monkeypatch.setattr(loading, "memory_limit", lambda: 1)
    assert len(open_dataset(tmp_path, resolution=16).fingerprint) == 64
