import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from latentlab.data import Dataset, celeba, embedded, loading, open_dataset
from latentlab.data.attributes import CELEBA_ATTRIBUTES
from latentlab.data.export import write_celeba_layout
from latentlab.data.faces import FACTOR_NAMES, render_faces
from latentlab.errors import DataError, OutputExistsError, UsageError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(embedded.CACHE_VARIABLE, str(tmp_path / "cache"))


def picture(width: int = 16, height: int | None = None, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height or width, width, 3), dtype=np.uint8)


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def celeba_folder(root: Path, *, count: int = 3, names: str = "A B") -> Path:
    """A CelebA layout whose image k has attributes 1 and -1 alternating."""
    for k in range(1, count + 1):
        save(root / "img_align_celeba" / f"{k:06d}.png", picture(seed=k))
    rows = "".join(f"{k:06d}.png {'1 -1' if k % 2 else '-1 1'}\n" for k in range(1, count + 1))
    (root / "list_attr_celeba.txt").write_text(f"{count}\n{names}\n{rows}")
    return root


# ------------------------------------------------------------------------------------------------ embedded faces


def test_the_embedded_faces_are_drawn_once_and_read_from_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_dataset("faces", resolution=16, num_images=600, seed=3)
    monkeypatch.setattr(embedded, "render_faces", lambda *_: pytest.fail("drawn again"))
    again = open_dataset("faces", resolution=16, num_images=600, seed=3)
    expected = render_faces(3, slice(0, 600), 16)
    assert np.array_equal(again.images(slice(None)), expected.images)
    assert again.labels is not None
    assert np.array_equal(again.labels, expected.labels)
    assert again.attributes == CELEBA_ATTRIBUTES
    assert again.fingerprint == first.fingerprint
    assert again.describe() == {
        "name": "faces",
        "fingerprint": again.fingerprint,
        "num_images": 600,
        "resolution": 16,
        "crop": "none",
        "filter": "drawn",
        "num_skipped": 0,
    }


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_cache_is_drawn_again(suffix: str, damage: str) -> None:
    first = open_dataset("faces", resolution=16, num_images=5)
    (file,) = embedded.cache_folder().glob(f"*{suffix}")
    content = bytearray(file.read_bytes())
    file.unlink()
    if damage == "flip":
        content[len(content) // 2] ^= 255
    if damage != "remove":
        file.write_bytes(content[:100] if damage == "truncate" else content)
    again = open_dataset("faces", resolution=16, num_images=5)
    assert np.array_equal(again.images(slice(None)), first.images(slice(None)))
    assert np.array_equal(again.labels, first.labels)


def test_a_killed_drawing_leaves_nothing_in_the_cache() -> None:
    def kill(done: int, total: int, note: str = "") -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_dataset("faces", resolution=16, num_images=5, progress=kill)
    assert list(embedded.cache_folder().iterdir()) == []


def test_the_cache_tells_selections_and_drawing_codes_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = open_dataset("faces", resolution=16, num_images=5)
    assert open_dataset("faces", resolution=16, num_images=5, seed=1).fingerprint != faces.fingerprint
    monkeypatch.setattr(embedded, "drawing_version", lambda: "newer")
    open_dataset("faces", resolution=16, num_images=5)
    assert len(list(embedded.cache_folder().glob("*.npy"))) == 3


def test_a_cache_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(embedded.CACHE_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"file cannot be written.*LATENTLAB_CACHE"):
        open_dataset("faces", resolution=16, num_images=2)


def test_faces_without_a_combination_lack_it_and_keep_its_parts() -> None:
    faces = open_dataset("faces", resolution=16, num_images=400, missing={"Male": True, "Smiling": True})
    assert faces.labels is not None
    male, smiling = (faces.labels[:, CELEBA_ATTRIBUTES.index(name)] == 1 for name in ("Male", "Smiling"))
    assert faces.name == "faces without Male=1 Smiling=1"
    assert len(faces) == 400
    assert not (male & smiling).any()
    assert male.any()
    assert smiling.any()


@pytest.mark.parametrize("resolution", [4, 48, 0, -32, 2048])
def test_only_powers_of_two_from_8_to_1024_are_resolutions(resolution: int) -> None:
    with pytest.raises(UsageError, match=f"resolution {resolution} is not allowed.*power of two"):
        open_dataset("faces", resolution=resolution)


def test_at_least_one_image_must_be_asked_for() -> None:
    with pytest.raises(UsageError, match="0 images asked for"):
        open_dataset("faces", resolution=16, num_images=0)


def test_an_unknown_attribute_of_a_missing_combination_is_refused() -> None:
    with pytest.raises(UsageError, match="Mael"):
        open_dataset("faces", resolution=16, num_images=2, missing={"Mael": True})


# --------------------------------------------------------------------------------------------------------- export


def test_exported_faces_read_back_as_the_same_images_and_labels(tmp_path: Path) -> None:
    out = write_celeba_layout(tmp_path / "out", num_images=12, resolution=16, seed=5, missing={"Male": True})
    files = open_dataset(out, resolution=16)
    faces = open_dataset("faces", resolution=16, num_images=12, seed=5, missing={"Male": True})
    assert np.array_equal(files.images(slice(None)), faces.images(slice(None)))
    assert np.array_equal(files.labels, faces.labels)
    assert files.attributes == faces.attributes
    assert files.fingerprint == faces.fingerprint
    factors = pd.read_csv(out / "factors.csv", index_col="image")
    assert list(factors.columns) == list(FACTOR_NAMES)
    assert factors.index[-1] == "000012.png"


def test_the_attribute_file_has_the_form_of_celeba(tmp_path: Path) -> None:
    write_celeba_layout(tmp_path / "out", num_images=2, resolution=16)
    count, names, first, _ = (tmp_path / "out" / "list_attr_celeba.txt").read_text().splitlines()
    assert count == "2"
    assert tuple(names.split()) == CELEBA_ATTRIBUTES
    assert first.split()[0] == "000001.png"
    assert set(first.split()[1:]) <= {"-1", "1"}


def test_an_export_is_whole_or_absent_and_never_replaces(tmp_path: Path) -> None:
    def kill(done: int, total: int, note: str = "") -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_celeba_layout(tmp_path / "a" / "out", num_images=2, resolution=16, progress=kill)
    assert list((tmp_path / "a").iterdir()) == []
    save(tmp_path / "b" / "mine.png", picture())
    with pytest.raises(OutputExistsError):
        write_celeba_layout(tmp_path / "b", num_images=2, resolution=16)
    assert [file.name for file in (tmp_path / "b").iterdir()] == ["mine.png"]
    with pytest.raises(UsageError, match="-1 images"):
        write_celeba_layout(tmp_path / "c", num_images=-1, resolution=16)


# -------------------------------------------------------------------------------------------------------- folders


def test_images_of_any_nesting_are_read_in_path_order(tmp_path: Path) -> None:
    save(tmp_path / "b.png", picture(seed=2))
    save(tmp_path / "a" / "deep" / "x.PNG", picture(seed=1))
    save(tmp_path / ".hidden.png", picture(seed=3))
    (tmp_path / "notes.txt").write_text("no image")
    dataset = open_dataset(tmp_path, resolution=16)
    assert dataset.labels is None
    assert dataset.attributes == ()
    assert np.array_equal(dataset.images(np.array([1, 0])), [picture(seed=2), picture(seed=1)])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".webp"])
def test_every_format_is_read(tmp_path: Path, suffix: str) -> None:
    save(tmp_path / f"a{suffix}", np.full((16, 16, 3), 200, np.uint8))
    image = open_dataset(tmp_path, resolution=16).images(slice(None))
    assert image.shape == (1, 16, 16, 3)
    assert abs(image.astype(int) - 200).max() <= 2


def test_larger_images_are_averaged_over_boxes(tmp_path: Path) -> None:
    pixels = picture(32)
    save(tmp_path / "a.png", pixels)
    means = pixels.reshape(8, 4, 8, 4, 3).mean(axis=(1, 3))
    assert np.abs(open_dataset(tmp_path, resolution=8).images(slice(None))[0] - means).max() <= 0.5 + 1e-6


def test_the_celeba_crop_is_128_pixels_around_column_89_and_row_121(tmp_path: Path) -> None:
    root = celeba_folder(tmp_path, count=1)
    pixels = picture(178, 218)
    save(root / "img_align_celeba" / "000001.png", pixels)
    expected = pixels[121 - 64 : 121 + 64, 89 - 64 : 89 + 64]
    for crop in ("auto", "celeba"):
        assert np.array_equal(open_dataset(root, resolution=128, crop=crop).images(slice(None))[0], expected)


def test_the_center_crop_takes_the_largest_square_of_every_image(tmp_path: Path) -> None:
    wide, tall = picture(20, 16), picture(16, 24)
    save(tmp_path / "a.png", wide)
    save(tmp_path / "b.png", tall)
    images = open_dataset(tmp_path, resolution=16, crop="center").images(slice(None))
    assert np.array_equal(images, [wide[:, 2:18], tall[4:20]])


def test_grey_sixteen_bit_and_transparent_images_become_rgb(tmp_path: Path) -> None:
    grey = picture()[:, :, 0]
    save(tmp_path / "1.png", grey)
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "2.png")
    alpha = np.zeros((16, 16, 1), np.uint8)
    save(tmp_path / "3.png", np.concatenate([picture(), alpha], axis=2))
    one, two, three = open_dataset(tmp_path, resolution=16).images(slice(None))
    assert np.array_equal(one, np.repeat(grey[:, :, None], 3, axis=2))
    assert np.array_equal(two, one)
    assert (three == 255).all()  # white shows through what is transparent


def test_images_that_do_not_fit_into_memory_are_decoded_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for k in range(4):
        save(tmp_path / f"{k}.png", picture(seed=k))
    loaded = open_dataset(tmp_path, resolution=8)
    monkeypatch.setattr(loading, "memory_limit", lambda: 100)
    lazy = open_dataset(tmp_path, resolution=8)
    assert isinstance(lazy.pixels, loading.ImageFiles)
    rows = np.array([3, 0, 3])
    assert np.array_equal(lazy.images(rows), loaded.images(rows))
    before = lazy.fingerprint
    assert open_dataset(tmp_path, resolution=8).fingerprint == before
    os.utime(tmp_path / "2.png", ns=(1, 1))
    assert open_dataset(tmp_path, resolution=8).fingerprint != before


def test_the_fingerprint_follows_the_pixels_not_the_names(tmp_path: Path) -> None:
    save(tmp_path / "a" / "1.png", picture())
    save(tmp_path / "b" / "2.png", picture())
    save(tmp_path / "c" / "1.png", picture(seed=1))
    a, b, c = (open_dataset(tmp_path / name, resolution=16).fingerprint for name in "abc")
    assert a == b != c


def test_the_first_images_can_be_taken_but_not_more_than_there_are(tmp_path: Path) -> None:
    root = celeba_folder(tmp_path)
    dataset = open_dataset(root, resolution=16, num_images=2)
    assert len(dataset) == 2
    assert np.array_equal(dataset.labels, [[1, -1], [-1, 1]])
    with pytest.raises(DataError, match="4 images asked for, but it holds 3"):
        open_dataset(root, resolution=16, num_images=4)


def test_folders_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: no such folder or file.*'faces'"):
        open_dataset(tmp_path / "nowhere", resolution=16)
    with pytest.raises(DataError, match=r"holds no images.*\.png"):
        open_dataset(tmp_path, resolution=16)
    with pytest.raises(UsageError, match="missing combination"):
        open_dataset(tmp_path, resolution=16, missing={"Male": True})
    with pytest.raises(UsageError, match=r"crop 'middle' is not known.*auto, celeba, center"):
        open_dataset(tmp_path, resolution=16, crop="middle")


def test_images_of_unfit_sizes_are_named_with_what_to_do(tmp_path: Path) -> None:
    save(tmp_path / "wide" / "a.png", picture(20, 16))
    with pytest.raises(DataError, match=r"a\.png has 20x16 pixels and is not square: use --crop center"):
        open_dataset(tmp_path / "wide", resolution=16)
    with pytest.raises(DataError, match=r"--crop celeba is for the aligned CelebA images of 178x218"):
        open_dataset(tmp_path / "wide", resolution=16, crop="celeba")
    save(tmp_path / "two" / "a.png", picture(16))
    save(tmp_path / "two" / "b.png", picture(32))
    with pytest.raises(DataError, match=r"a\.png has 16x16 pixels but .*b\.png has 32x32.*--crop center"):
        open_dataset(tmp_path / "two", resolution=16)
    with pytest.raises(DataError, match=r"a\.png: its 16x16 pixels are too few for resolution 32.*at most 16"):
        open_dataset(tmp_path / "two", resolution=32, crop="center")


def test_unreadable_images_are_counted_and_the_first_five_named(tmp_path: Path) -> None:
    for k in range(7):
        (tmp_path / f"{k}.png").write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"none of the images \(7\) can be read") as caught:
        open_dataset(tmp_path, resolution=16)
    assert "4.png" in str(caught.value)
    assert "5.png" not in str(caught.value)
    assert "and 2 more" in str(caught.value)


def test_an_image_cut_short_is_found_when_it_is_decoded(tmp_path: Path) -> None:
    file = save(tmp_path / "a.png", picture(64))
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"none of the images \(1\) can be read.*\n.*a\.png"):
        open_dataset(tmp_path, resolution=16)


# --------------------------------------------------------------------------------------------------------- CelebA


def opened(root: Path) -> Dataset:
    return open_dataset(root, resolution=16)


def test_a_celeba_layout_has_labels_in_the_images_order(tmp_path: Path) -> None:
    dataset = opened(celeba_folder(tmp_path))
    assert dataset.attributes == ("A", "B")
    assert dataset.labels is not None
    assert dataset.labels.dtype == np.int8
    assert np.array_equal(dataset.labels, [[1, -1], [-1, 1], [1, -1]])


def test_a_csv_other_extensions_and_images_beside_the_file_are_accepted(tmp_path: Path) -> None:
    save(tmp_path / "b.png", picture())
    save(tmp_path / "a.png", picture())
    (tmp_path / "list_attr_celeba.csv").write_text("image_id,A,B\nb.jpg,-1,1\na.jpg,1,1\n\n")
    assert np.array_equal(opened(tmp_path).labels, [[1, 1], [-1, 1]])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("000002.png -1 1", "000002.png 0 1", r"txt, line 4: A of 000002.png is '0'; allowed are 1 .* and -1"),
        ("000002.png -1 1", "000002.png yes 1", r"line 4: A of 000002.png is 'yes'"),
        ("000002.png -1 1", "000002.png -1", r"line 4: 1 values for 2 attributes"),
        ("000002.png -1 1", "000002.png -1 1 1", r"line 4: 3 values for 2 attributes"),
        ("000002.png -1 1\n", "\n", r"line 4: 0 values for 2 attributes"),
        ("000002.png", "000001.png", r"a row for 000001.png occurs more than once"),
        ("000002.png", "000009.png", r"no row for the images 000002\. "),
        ("3\n", "4\n", r"line 1: it says '4', but 3 rows follow"),
        ("3\n", "", r"line 1: it says 'A B'"),
        ("A B", "A A", r"line 2: attribute A occurs more than once"),
        ("A B", "A", r"line 3: 2 values for 1 attributes"),
    ],
)
def test_errors_in_an_attribute_file_are_named_with_their_line(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    root = celeba_folder(tmp_path)
    file = root / "list_attr_celeba.txt"
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        opened(root)


def test_every_row_needs_its_image_and_every_image_its_row(tmp_path: Path) -> None:
    root = celeba_folder(tmp_path)
    (root / "img_align_celeba" / "000003.png").unlink()
    with pytest.raises(DataError, match=r"its rows name images that are not in .*img_align_celeba: 000003"):
        opened(root)
    save(root / "img_align_celeba" / "000003.png", picture())
    save(root / "img_align_celeba" / "000003.jpg", picture())
    with pytest.raises(DataError, match=r"an image called 000003 occurs more than once"):
        opened(root)


def test_an_attribute_file_without_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list_attr_celeba.txt").write_text("0\nA B\n")
    save(tmp_path / "a.png", picture())
    with pytest.raises(DataError, match="has 2 lines: 2 header lines and a row per image"):
        opened(tmp_path)


def test_the_celeba_hq_mask_layout_is_recognised(tmp_path: Path) -> None:
    save(tmp_path / "CelebA-HQ-img" / "0.png", picture())
    (tmp_path / "CelebAMask-HQ-attribute-anno.txt").write_text("1\nA B \n0.jpg  -1 1\n")
    layout = celeba.find_layout(tmp_path)
    assert layout is not None
    assert layout.images.name == "CelebA-HQ-img"
    assert np.array_equal(opened(tmp_path).labels, [[-1, 1]])
