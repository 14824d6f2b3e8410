"""Where images come from: zip files, and the layouts of well-known data sets."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentlab.data import loading, open_dataset
from latentlab.errors import DataError


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


def zipped(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def images_of(path: Path, resolution: int = 16, **options: object) -> np.ndarray:
    return open_dataset(path, resolution=resolution, **options).images(slice(None))


# ------------------------------------------------------------------------------------------------------ zip files


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_file_equals_the_folder_it_was_made_from(tmp_path: Path, method: int) -> None:
    members = {name: encoded(picture(seed=k)) for k, name in enumerate(["b.png", "a/deep/x.PNG", "a/y.png"])}
    for name, content in members.items():
        write(tmp_path / "folder" / name, content)
    extra = {".hidden.png": b"", "__MACOSX/._b.png": b"", ".git/z.png": b"", "notes.txt": b"", "a/": b""}
    archive = zipped(tmp_path / "images.zip", members | extra, method)
    dataset, folder = open_dataset(archive, resolution=16), open_dataset(tmp_path / "folder", resolution=16)
    assert np.array_equal(dataset.images(slice(None)), folder.images(slice(None)))
    assert np.array_equal(dataset.images(slice(None)), [picture(seed=k) for k in (1, 2, 0)])
    assert dataset.fingerprint == folder.fingerprint
    assert dataset.name == "images"
    assert dataset.labels is None


@pytest.mark.parametrize("form", ["zip", "folder"])
@pytest.mark.parametrize("labels", [None, [["00000/img00000000.png", 3], ["00000/img00000001.png", 1]]])
def test_the_form_of_stylegan2_ada_gives_images_and_no_labels(tmp_path: Path, form: str, labels: object) -> None:
    members = {f"00000/img{k:08d}.png": encoded(picture(seed=k)) for k in (1, 0)}
    members["dataset.json"] = json.dumps({"labels": labels}).encode()
    path = tmp_path / "set"
    if form == "zip":
        path = zipped(tmp_path / "set.zip", members)
    else:
        for name, content in members.items():
            write(path / name, content)
    dataset = open_dataset(path, resolution=16)
    assert np.array_equal(dataset.images(slice(None)), [picture(seed=0), picture(seed=1)])
    assert (dataset.name, dataset.labels, dataset.attributes) == ("set", None, ())


def test_members_that_point_outside_are_read_and_never_written(tmp_path: Path) -> None:
    members = {"/abs.png": encoded(picture(seed=0)), "../../up.png": encoded(picture(seed=1))}
    archive = zipped(tmp_path / "in" / "set.zip", members)
    assert len(open_dataset(archive, resolution=16)) == 2
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == ["set.zip"]


def test_a_zip_file_too_large_for_the_memory_is_decoded_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = {f"{k:02d}.png": encoded(picture(seed=k)) for k in range(40)}
    archive = zipped(tmp_path / "set.zip", members)
    monkeypatch.setattr(loading, "memory_limit", lambda: 100)
    dataset = open_dataset(archive, resolution=16)
    rows = np.random.default_rng(0).integers(0, 40, 400)
    assert np.array_equal(dataset.images(rows), [picture(seed=int(row)) for row in rows])
    zipped(archive, members | {"00.png": encoded(picture(seed=99))})
    assert open_dataset(archive, resolution=16).fingerprint != dataset.fingerprint


def test_a_wrong_crc_in_a_zip_file_is_found(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "set.zip", {f"{k}.png": encoded(picture(seed=k)) for k in range(3)})
    content = bytearray(archive.read_bytes())
    place = content.index(encoded(picture(seed=1))) + 300
    content[place] ^= 1
    archive.write_bytes(content)
    with pytest.raises(DataError, match=r"1 image of 3 cannot be read.*--skip-bad.*\n.*set\.zip: 1\.png: "):
        open_dataset(archive, resolution=16)
    dataset = open_dataset(archive, resolution=16, skip_bad=True)
    assert dataset.skipped == ("1.png",)
    assert np.array_equal(dataset.images(slice(None)), [picture(seed=0), picture(seed=2)])


def test_zip_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "set.zip", {"secret.png": encoded(picture())})
    whole = archive.read_bytes()
    archive.write_bytes(whole[:-30])
    with pytest.raises(DataError, match=r"set\.zip is damaged or not a zip file"):
        open_dataset(archive, resolution=16)
    content = bytearray(whole)
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag of encryption, in the central directory
    archive.write_bytes(content)
    with pytest.raises(DataError, match=r"is encrypted \(secret\.png.*unpack it"):
        open_dataset(archive, resolution=16)
    with pytest.raises(DataError, match=r"holds no images"):
        open_dataset(zipped(tmp_path / "empty.zip", {"a.txt": b""}), resolution=16)
    with pytest.raises(DataError, match=r"nothing\.zip: no such folder or file"):
        open_dataset(tmp_path / "nothing.zip", resolution=16)


# -------------------------------------------------------------------------------------------------------- layouts


@pytest.mark.parametrize("prefix", ["", "Img/"])
def test_celeba_is_read_while_its_images_are_still_zipped(tmp_path: Path, prefix: str) -> None:
    members = {f"img_align_celeba/{k:06d}.jpg": encoded(picture(178, 218, seed=k), "JPEG") for k in (1, 2)}
    zipped(tmp_path / f"{prefix}img_align_celeba.zip", members)
    (tmp_path / "list_attr_celeba.txt").write_text("2\nA B\n000001.jpg  1 -1\n000002.jpg -1 -1\n")
    dataset = open_dataset(tmp_path, resolution=128)
    assert (dataset.attributes, dataset.crop) == (("A", "B"), "celeba")
    assert np.array_equal(dataset.labels, [[1, -1], [-1, -1]])
    with Image.open(io.BytesIO(members["img_align_celeba/000002.jpg"])) as image:
        assert np.array_equal(dataset.images(slice(None))[1], np.asarray(image)[57:185, 25:153])


def test_ffhq_is_read_from_one_of_its_folders_and_never_from_several(tmp_path: Path) -> None:
    for size, folder in ((128, "thumbnails128x128"), (256, "images1024x1024")):
        for k in range(2):
            write(tmp_path / "ffhq" / folder / "00000" / f"{k:05d}.png", encoded(picture(size, seed=k)))
    with pytest.raises(DataError, match=r"several sizes, in images1024x1024, thumbnails128x128: name one of these"):
        open_dataset(tmp_path / "ffhq", resolution=128)
    dataset = open_dataset(tmp_path / "ffhq" / "thumbnails128x128", resolution=128)
    assert np.array_equal(dataset.images(slice(None)), [picture(128, seed=k) for k in range(2)])


def test_lsun_as_images_needs_the_center_crop_and_the_message_says_so(tmp_path: Path) -> None:
    for k, (width, height) in enumerate([(20, 16), (16, 30), (41, 32)]):
        pixels = encoded(picture(width, height, seed=k), "WEBP", lossless=True)
        write(tmp_path / "a" / "f" / f"{k}" / f"a{k}.webp", pixels)
    with pytest.raises(DataError, match=r"a0\.webp has 20x16 pixels but .*a1\.webp has 16x30.*--crop center"):
        open_dataset(tmp_path, resolution=16)
    dataset = open_dataset(tmp_path, resolution=16, crop="center")
    assert np.array_equal(dataset.images(slice(None))[1], picture(16, 30, seed=1)[7:23])
    assert dataset.crop == "center"


def test_an_lmdb_is_refused_with_what_to_do(tmp_path: Path) -> None:
    file = write(tmp_path / "lsun" / "bedroom_train_lmdb" / "data.mdb", b"lmdb")
    for path in (tmp_path / "lsun", file.parent, file):
        with pytest.raises(DataError, match=r"data\.mdb is an LMDB.*[Ee]xport it to images.*--crop center"):
            open_dataset(path, resolution=16)


def test_a_folder_that_holds_only_a_zip_file_says_so(tmp_path: Path) -> None:
    zipped(tmp_path / "set.zip", {"a.png": encoded(picture())})
    with pytest.raises(DataError, match=r"holds no images.*found set\.zip: name it instead of the folder"):
        open_dataset(tmp_path, resolution=16)


def test_too_small_images_name_the_largest_resolution_that_all_allow(tmp_path: Path) -> None:
    for k, size in enumerate([60, 40, 20]):
        write(tmp_path / f"{k}.png", encoded(picture(size)))
    with pytest.raises(DataError, match=r"2\.png: its 20x20 pixels are too few.*at most 16"):
        open_dataset(tmp_path, resolution=64, crop="center")
    assert images_of(tmp_path, crop="center").shape == (3, 16, 16, 3)


def test_aligned_celeba_without_its_list_names_both_crops(tmp_path: Path) -> None:
    write(tmp_path / "000001.png", encoded(picture(178, 218)))
    with pytest.raises(DataError, match=r"not square: use --crop center .*or --crop celeba"):
        open_dataset(tmp_path, resolution=128)
    assert np.array_equal(images_of(tmp_path, 128, crop="celeba")[0], picture(178, 218)[57:185, 25:153])
