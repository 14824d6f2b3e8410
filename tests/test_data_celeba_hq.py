"""CelebA-HQ: labels of image i are those of the CelebA image that the official index names in row i."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from latentlab.cli import app
from latentlab.data import open_dataset
from latentlab.data.decoding import Preparation
from latentlab.data.preparing import prepare
from latentlab.errors import DataError

CELEBA = {"000001": (1, -1), "000002": (-1, 1), "000003": (1, 1), "000004": (-1, -1), "000005": (1, -1)}
ORIGINALS = ("000004", "000002", "000005", "000001")  # of images 0 to 3; 000003 is no part of CelebA-HQ
EXPECTED = [CELEBA[name] for name in ORIGINALS]
MASK_INDEX, GAN_INDEX = "CelebA-HQ-to-CelebA-mapping.txt", "image_list.txt"


def save(file: Path, number: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16), (number, 0, 0)).save(file)


def attributes(root: Path, name: str = "list_attr_celeba.txt") -> None:
    rows = {f"{file}.jpg": values for file, values in CELEBA.items()}
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".csv"):
        file.write_text("image_id,A,B\n" + "".join(f"{row},{a},{b}\n" for row, (a, b) in rows.items()))
    else:
        file.write_text(f"{len(rows)}\nA B\n" + "".join(f"{row}  {a}  {b}\n" for row, (a, b) in rows.items()))


def index(root: Path, name: str = MASK_INDEX) -> Path:
    more = ("proc_md5", "final_md5") if name == GAN_INDEX else ()
    rows = [(str(k), str(int(file) - 1), f"{file}.jpg", *more) for k, file in enumerate(ORIGINALS)]
    lines = [" ".join(f"{value:<10}" for value in row) for row in [("idx", "orig_idx", "orig_file", *more), *rows]]
    (root / name).write_text("\n".join(lines) + "\n")
    return root / name


def celeba_hq(root: Path, form: str = "CelebA-HQ-img/{}.jpg", *, numbers: tuple[int, ...] = (0, 1, 2, 3)) -> Path:
    for number in numbers:
        save(root / form.format(number), number)
    attributes(root)
    index(root)
    return root


def refused(root: Path, match: str) -> None:
    with pytest.raises(DataError, match=match):
        open_dataset(root, resolution=16)


@pytest.mark.parametrize(
    "form",
    [
        "CelebA-HQ-img/{}.jpg",
        "celeba_hq/{:05d}.png",
        "images/imgHQ{:05d}.png",
        "{:05d}.png",
        "data1024x1024/{:05d}.webp",
        "images/00000/img{:08d}.png",
    ],
)
@pytest.mark.parametrize("index_file", [MASK_INDEX, GAN_INDEX])
def test_labels_come_through_the_index(tmp_path: Path, form: str, index_file: str) -> None:
    root = celeba_hq(tmp_path / "celeba-hq", form)
    (root / MASK_INDEX).unlink()
    index(root, index_file)
    dataset = open_dataset(root, resolution=16)
    assert (dataset.name, dataset.attributes, dataset.crop) == ("celeba-hq", ("A", "B"), "none")
    assert np.array_equal(dataset.labels, EXPECTED)


@pytest.mark.parametrize("file", ["list_attr_celeba.csv", "Anno/list_attr_celeba.txt"])
def test_every_form_of_the_attribute_file_serves(tmp_path: Path, file: str) -> None:
    root = celeba_hq(tmp_path)
    (root / "list_attr_celeba.txt").unlink()
    attributes(root, file)
    assert np.array_equal(open_dataset(root, resolution=16).labels, EXPECTED)


def test_numbers_count_not_places_in_the_folder(tmp_path: Path) -> None:
    root = celeba_hq(tmp_path, numbers=())
    originals = {number: f"{100 - number:06d}.jpg" for number in range(12)}
    rows = "".join(f"{number} 0 {file}\n" for number, file in originals.items())
    (root / MASK_INDEX).write_text(f"idx orig_idx orig_file\n{rows}")
    rows = "".join(f"{file} {1 if number == 10 else -1}\n" for number, file in originals.items())
    (root / "list_attr_celeba.txt").write_text(f"12\nA\n{rows}")
    for number in (2, 10):
        save(root / "CelebA-HQ-img" / f"{number}.png", number)
    dataset = open_dataset(root, resolution=16)
    assert dataset.labels is not None
    assert dict(zip(dataset.images(slice(None))[:, 0, 0, 0].tolist(), dataset.labels[:, 0], strict=True)) == {
        10: 1,
        2: -1,
    }


def test_a_part_of_the_images_is_enough(tmp_path: Path) -> None:
    root = celeba_hq(tmp_path, numbers=(1, 3))
    assert np.array_equal(open_dataset(root, resolution=16).labels, [EXPECTED[1], EXPECTED[3]])
    assert np.array_equal(open_dataset(root, resolution=16, num_images=1).labels, [EXPECTED[1]])


def test_images_that_cannot_be_read_take_their_labels_with_them(tmp_path: Path) -> None:
    root = celeba_hq(tmp_path)
    (root / "CelebA-HQ-img" / "1.jpg").write_bytes(b"damaged")
    dataset = open_dataset(root, resolution=16, skip_bad=True)
    assert np.array_equal(dataset.labels, [EXPECTED[0], EXPECTED[2], EXPECTED[3]])


def test_images_may_be_zipped_and_prepared(tmp_path: Path) -> None:
    root = celeba_hq(tmp_path / "set", numbers=())
    with zipfile.ZipFile(root / "celeba_hq.zip", "w") as archive:
        for number in range(4):
            save(tmp_path / "image.png", number)
            archive.write(tmp_path / "image.png", f"celeba_hq/{number:05d}.png")
    prepare(root, tmp_path / "out.h5", Preparation(8))
    for source in (root, tmp_path / "out.h5"):
        assert np.array_equal(open_dataset(source, resolution=8).labels, EXPECTED)


def test_show_says_where_the_labels_come_from(tmp_path: Path) -> None:
    root = celeba_hq(tmp_path)
    result = CliRunner().invoke(app, ["data", "show", str(root), "--json"])
    facts = json.loads(result.stdout)
    assert facts["label_files"] == [str(root / "list_attr_celeba.txt"), str(root / MASK_INDEX)]
    assert facts["first"][:2] == [{"file": "0.jpg", "attributes": []}, {"file": "1.jpg", "attributes": ["B"]}]
    assert f"{root / 'list_attr_celeba.txt'} through {root / MASK_INDEX}" in CliRunner().invoke(
        app, ["data", "show", str(root)]
    ).stdout.replace("\n", "")


# ------------------------------------------------------------------------------------------------ beside other data


def test_the_masks_own_attribute_file_needs_no_index(tmp_path: Path) -> None:
    root = celeba_hq(tmp_path)
    (root / "list_attr_celeba.txt").unlink()
    (root / "CelebAMask-HQ-attribute-anno.txt").write_text("4\nC\n0.jpg  1\n1.jpg  -1\n2.jpg  -1\n3.jpg  1\n")
    assert np.array_equal(open_dataset(root, resolution=16).labels, [[1], [-1], [-1], [1]])


def test_aligned_celeba_stays_itself_beside_an_index(tmp_path: Path) -> None:
    for name in CELEBA:
        save(tmp_path / "img_align_celeba" / f"{name}.jpg", 0)
    attributes(tmp_path)
    index(tmp_path)
    assert np.array_equal(open_dataset(tmp_path, resolution=16).labels, [*CELEBA.values()])
    save(tmp_path / "celeba_hq" / "00000.png", 0)
    refused(
        tmp_path, r"holds CelebA \(img_align_celeba\) and CelebA-HQ \(.*mapping\.txt, celeba_hq\): put each into a fold"
    )


@pytest.mark.parametrize("form", ["CelebA-HQ-img/{}.jpg", "celeba_hq/{:05d}.png", "imgHQ{:05d}.png"])
def test_without_the_index_nothing_is_guessed(tmp_path: Path, form: str) -> None:
    root = celeba_hq(tmp_path, form)
    (root / MASK_INDEX).unlink()
    refused(
        root, r"numbers of CelebA-HQ .*000001\.jpg.*index only: put image_list\.txt \(from the progressive.*mapping\.tx"
    )


# ------------------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("idx ", "no  ", r"mapping\.txt: its first line must be 'idx orig_idx orig_file'"),
        ("\n2 ", "\nx ", r"mapping\.txt, line 4: idx is 'x', but a whole number from 0 is needed"),
        ("\n2 ", "\n-2 ", r"line 4: idx is '-2'"),
        ("\n2 ", "\n2.0 ", r"line 4: idx is '2\.0'"),
        ("\n2 ", "\n1 ", r"mapping\.txt: idx 1 occurs more than once"),
        ("\n2 ", "\n7 ", r"mapping\.txt: no row for the images 2 of .*CelebA-HQ-img\. Take the whole official index"),
        ("000005.jpg", "000002.jpg", r"mapping\.txt: orig_file 000002\.jpg occurs more than once"),
        (
            "000005.jpg",
            "000009.jpg",
            r"names images that .*list_attr_celeba\.txt has no row for: 000009\.jpg \(image 2\)",
        ),
        ("000005.jpg", "", r"mapping\.txt, line 4: 2 values for 3 columns"),
    ],
)
def test_a_damaged_index_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    root = celeba_hq(tmp_path)
    file = root / MASK_INDEX
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    refused(root, message)


def test_an_empty_index_is_refused(tmp_path: Path) -> None:
    root = celeba_hq(tmp_path)
    (root / MASK_INDEX).write_text("")
    refused(root, "its first line must be")
    (root / MASK_INDEX).write_text("idx orig_idx orig_file\n")
    refused(root, r"no row for the images 0, 1, 2, 3 of")


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("portrait.png", r"the names of portrait\.png have no number of CelebA-HQ at their end"),
        ("0_hair.png", r"the names of 0_hair\.png have no number"),
        ("00002.png", r"CelebA-HQ-img: an image with number 2 occurs more than once: keep one file"),
        ("4.jpg", r"no row for the images 4 of"),
        ("000004.jpg", r"holds 000004\.jpg: names of six digits are those of CelebA.*numbers in CelebA-HQ, as 0\.jpg"),
    ],
)
def test_names_that_are_no_numbers_of_the_index_are_refused(tmp_path: Path, extra: str, message: str) -> None:
    root = celeba_hq(tmp_path)
    save(root / "CelebA-HQ-img" / extra, 0)
    refused(root, message)


def test_numbers_from_one_are_found_out(tmp_path: Path) -> None:
    refused(
        celeba_hq(tmp_path, numbers=(1, 2, 3, 4)), r"no row for the images 4 .*Are they counted from 1\? .*from 0: ren"
    )


def test_rows_that_differ_in_their_ending_only_are_refused(tmp_path: Path) -> None:
    root = celeba_hq(tmp_path)
    rows = "".join(f"{name} 1 1\n" for name in ("000001.jpg", "000001.png"))
    (root / "list_attr_celeba.txt").write_text(f"2\nA B\n{rows}")
    (root / MASK_INDEX).write_text("idx orig_idx orig_file\n" + "".join(f"{k} 0 {k}.jpg\n" for k in range(4)))
    refused(root, r"list_attr_celeba\.txt: a row for 000001 occurs more than once: keep one row per image")
