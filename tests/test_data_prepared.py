"""Prepared images: the form of the file, and what opens it or is refused."""

import hashlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from latentlab.data import open_dataset, prepared
from latentlab.data.decoding import Preparation
from latentlab.data.prepared import check_prepared, read_prepared
from latentlab.data.preparing import prepare
from latentlab.errors import DataError, UsageError


def picture(width: int = 16, height: int | None = None, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height or width, width, 3), dtype=np.uint8)


def folder_of(root: Path, *, count: int = 5, size: int = 32) -> Path:
    for k in range(count):
        file = root / f"{k % 2}" / f"{k}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(size, seed=k)).save(file)
    return root


def celeba_of(root: Path) -> Path:
    folder_of(root / "img_align_celeba", count=4)
    rows = "".join(f"{k}.jpg {'1 -1' if k % 2 else '-1 1'}\n" for k in range(4))
    (root / "list_attr_celeba.txt").write_text(f"4\nA B\n{rows}")
    return root


def made(tmp_path: Path, *, resolution: int = 16, **options: object) -> Path:
    out = tmp_path / "out.h5"
    prepare(folder_of(tmp_path / "set"), out, Preparation(resolution), **options)
    return out


# -------------------------------------------------------------------------------------------------------- the form


@pytest.mark.parametrize(("resampling", "resolution"), [("box", 16), ("lanczos", 16), ("box", 32)])
def test_a_prepared_folder_opens_as_the_folder_does(tmp_path: Path, resampling: str, resolution: int) -> None:
    root = celeba_of(tmp_path / "faces of mine")
    out = tmp_path / "new" / "out.h5"
    prepare(root, out, Preparation(resolution, filter=resampling))
    one, other = (open_dataset(path, resolution=resolution, filter=resampling) for path in (root, out))
    assert np.array_equal(other.images(slice(None)), one.images(slice(None)))
    assert np.array_equal(other.labels, one.labels)
    assert other.labels is not None
    assert other.labels.dtype == np.int8
    assert other.attributes == ("A", "B")
    assert other.describe() == one.describe()


def test_the_file_has_the_form_that_the_documentation_specifies(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    prepare(celeba_of(tmp_path / "set"), out, Preparation(16, filter="lanczos"))
    with h5py.File(out) as file:
        attributes = dict(file.attrs)
        assert attributes.pop("created_at").endswith("+00:00")
        assert attributes.pop("latentlab_version")
        assert attributes == {
            "schema_version": 1,
            "kind": "images",
            "source": "set",
            "resolution": 16,
            "crop": "none",
            "filter": "lanczos",
            "num_images": 4,
            "fingerprint": hashlib.sha256(file["images"][()].tobytes()).hexdigest(),
        }
        assert sorted(file) == ["attributes", "images", "labels", "names", "skipped"]
        images = file["images"]
        assert (images.shape, images.dtype, images.chunks, images.compression) == ((4, 16, 16, 3), np.uint8, None, None)
        assert list(file["names"].asstr()) == ["0/0.png", "0/2.png", "1/1.png", "1/3.png"]
        assert list(file["attributes"].asstr()) == ["A", "B"]
        assert np.array_equal(file["labels"][()], [[-1, 1], [-1, 1], [1, -1], [1, -1]])
        assert file["skipped"].shape == (0,)
        mapped = np.memmap(out, np.uint8, "r", offset=images.id.get_offset(), shape=images.shape)
        assert np.array_equal(mapped, images[()])
        smaller = Image.fromarray(picture(32, seed=2)).resize((16, 16), Image.Resampling.LANCZOS)
        assert np.array_equal(mapped[1], smaller)


def test_labels_are_there_only_if_the_source_has_them(tmp_path: Path) -> None:
    out = made(tmp_path)
    with h5py.File(out) as file:
        assert sorted(file) == ["images", "names", "skipped"]
    dataset = open_dataset(out, resolution=16)
    assert (dataset.labels, dataset.attributes) == (None, ())


# --------------------------------------------------------------------------------------------------------- opening


def test_a_file_that_does_not_fit_into_memory_is_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = made(tmp_path, resolution=32)
    loaded = [open_dataset(out, resolution=resolution) for resolution in (32, 8)]
    monkeypatch.setattr(prepared, "memory_limit", lambda: 100)
    for whole, resolution in zip(loaded, (32, 8), strict=True):
        mapped = open_dataset(out, resolution=resolution)
        assert isinstance(mapped.pixels, prepared.MappedImages)
        assert isinstance(whole.pixels, np.ndarray)
        rows = np.array([4, 0, 4, 2])
        assert np.array_equal(mapped.images(rows), whole.images(rows))
        assert mapped.images(np.array([], int)).shape == (0, resolution, resolution, 3)
        assert mapped.fingerprint == whole.fingerprint


def test_opening_hashes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = made(tmp_path)
    found = read_prepared(out)
    with out.open("r+b") as raw:
        raw.seek(found.offset)
        raw.write(b"changed")
    assert open_dataset(out, resolution=16).fingerprint == found.fingerprint
    with pytest.raises(DataError, match=r"out\.h5 is damaged: its pixels have the SHA-256 .*, but its fingerprint"):
        check_prepared(out)


def test_a_lower_resolution_is_averaged_and_has_a_fingerprint_of_its_own(tmp_path: Path) -> None:
    out = made(tmp_path, resolution=32)
    whole, lower = open_dataset(out, resolution=32), open_dataset(out, resolution=8)
    means = whole.images(slice(None)).reshape(5, 8, 4, 8, 4, 3).mean(axis=(2, 4))
    assert np.abs(lower.images(slice(None)) - means).max() <= 0.5 + 1e-6
    assert (lower.resolution, lower.filter, len(lower)) == (8, "box", 5)
    some = open_dataset(out, resolution=32, num_images=4)
    assert np.array_equal(some.images(slice(None)), whole.images(slice(0, 4)))
    assert len({whole.fingerprint, lower.fingerprint, some.fingerprint}) == 3
    assert open_dataset(out, resolution=32, num_images=5).fingerprint == whole.fingerprint
    assert open_dataset(out, resolution=8).fingerprint == lower.fingerprint


def test_the_first_images_come_with_their_labels(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    prepare(celeba_of(tmp_path / "set"), out, Preparation(16))
    assert np.array_equal(open_dataset(out, resolution=16, num_images=3).labels, [[-1, 1], [-1, 1], [1, -1]])


def test_what_the_file_cannot_give_is_refused_with_what_it_has(tmp_path: Path) -> None:
    out = made(tmp_path)
    with pytest.raises(DataError, match=r"out\.h5: its 16x16 pixels are too few for resolution 32.*at most 16"):
        open_dataset(out, resolution=32)
    with pytest.raises(DataError, match="6 images asked for, but it holds 5"):
        open_dataset(out, resolution=16, num_images=6)
    with pytest.raises(UsageError, match=r"--crop center: .*out\.h5 was prepared with crop none"):
        open_dataset(out, resolution=16, crop="center")
    with pytest.raises(UsageError, match=r"--filter lanczos: .*out\.h5 was prepared with filter box"):
        open_dataset(out, resolution=16, filter="lanczos")
    with pytest.raises(UsageError, match="missing combination"):
        open_dataset(out, resolution=16, missing={"Male": True})


def damage(out: Path, kind: str) -> None:
    if kind in ("cut", "cut in the header", "text"):
        content = out.read_bytes()
        out.write_bytes({"cut": content[:-1000], "cut in the header": content[:60], "text": b"no HDF5"}[kind])
        return
    with h5py.File(out, "r+") as file:
        match kind:
            case "version":
                file.attrs["schema_version"] = 2
            case "number":
                file.attrs["num_images"] = 6
            case "names":
                del file["names"]
            case "field":
                del file.attrs["crop"]
            case "chunked":
                pixels = file["images"][()]
                del file["images"]
                file.create_dataset("images", data=pixels, compression="gzip")
            case "store":
                del file.attrs["kind"]
                file.move("images", "z")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("cut", "is cut short: copy it again"),
        ("cut in the header", "is cut short"),
        ("text", "is damaged or not an HDF5 file"),
        ("version", "schema version 2, and this LatentLab reads version 1"),
        ("number", r"images is .*5, 16, 16, 3.* but .*6, 16, 16, 3.* is needed"),
        ("names", "names is 0, but 5 is needed"),
        ("field", r"is damaged.*crop"),
        ("chunked", "in one piece, unchunked and uncompressed"),
        ("store", r"is an HDF5 file, but not one of prepared images: it holds names, skipped, z.*data prepare"),
    ],
)
def test_files_that_cannot_be_used_are_refused(tmp_path: Path, kind: str, message: str) -> None:
    out = made(tmp_path)
    damage(out, kind)
    for refused in (lambda: open_dataset(out, resolution=16), lambda: check_prepared(out)):
        with pytest.raises(DataError, match=message) as caught:
            refused()
        assert "out.h5" in str(caught.value)


def test_a_file_is_known_by_its_content_too(tmp_path: Path) -> None:
    out = made(tmp_path).rename(tmp_path / "images.data")
    assert len(open_dataset(out, resolution=16)) == 5
    with pytest.raises(DataError, match=r"nowhere\.h5: no such folder or file"):
        open_dataset(tmp_path / "nowhere.h5", resolution=16)
