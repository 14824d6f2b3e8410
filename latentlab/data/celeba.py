"""The layouts of CelebA and CelebA-HQ: a folder of images and a file with 40 attributes of each, -1 or 1."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from latentlab.data.attributes import CELEBA_ATTRIBUTES
from latentlab.data.label_files import listed, refuse_duplicates
from latentlab.data.sources import Entry
from latentlab.errors import DataError

__all__ = ["CELEBA_ATTRIBUTES", "Layout", "find_layout", "labels_of", "read_attributes"]

TEXT_FILE = "list_attr_celeba.txt"
MASK_FILE = "CelebAMask-HQ-attribute-anno.txt"  # goes by the names of CelebA-HQ itself
ATTRIBUTE_FILES = (TEXT_FILE, "list_attr_celeba.csv", f"Anno/{TEXT_FILE}", MASK_FILE)
INDEX_FILES = ("image_list.txt", "CelebA-HQ-to-CelebA-mapping.txt")
ALIGNED_FOLDERS = ("img_align_celeba", "img_celeba", "Img/img_align_celeba")
HQ_FOLDERS = ("CelebA-HQ-img", "celeba_hq", "celeba-hq", "CelebA-HQ", "images")
IMAGE_FOLDERS = (*ALIGNED_FOLDERS, HQ_FOLDERS[0])


@dataclass(frozen=True)
class Layout:
    """Where CelebA or CelebA-HQ keeps its parts.

    Attributes:
        attribute_file: One row per image.
        images: A folder or a zip file.
        index: For CelebA-HQ with CelebA's attribute file: which image of CelebA each image was made from.
    """

    attribute_file: Path
    images: Path
    index: Path | None = None


def find_layout(path: Path) -> Layout | None:
    """Recognise CelebA by its attribute file, and CelebA-HQ by an index beside that.

    Images lie in one of the usual folders, zipped or not, or beside the attribute file.

    Raises:
        DataError: beside an index, there are folders of CelebA and of CelebA-HQ.
    """
    attribute_file = _first(path, ATTRIBUTE_FILES)
    if attribute_file is None:
        return None
    index, aligned, hq = _first(path, INDEX_FILES), _images_in(path, ALIGNED_FOLDERS), _images_in(path, HQ_FOLDERS)
    if index is None or attribute_file.name == MASK_FILE or (aligned and not hq):
        return Layout(attribute_file, _images_in(path, IMAGE_FOLDERS) or path)
    if aligned and hq:
        raise DataError(
            f"{path} holds CelebA ({aligned.name}) and CelebA-HQ ({index.name}, {hq.name}): put each into a folder of "
            "its own, with the attribute file in both."
        )
    return Layout(attribute_file, hq or path, index)


def _first(path: Path, names: Iterable[str]) -> Path | None:
    return next((path / name for name in names if (path / name).is_file()), None)


def _images_in(path: Path, names: Iterable[str]) -> Path | None:
    """The first of these folders that is there, else the first zip file of such a name."""
    folder = next((path / name for name in names if (path / name).is_dir()), None)
    return folder or _first(path, [f"{name}.zip" for name in names])


def read_attributes(path: Path) -> pd.DataFrame:
    """Read an attribute file: a row per image, indexed by image name, a column per attribute, int8 -1 or 1.

    The text form has the number of rows in line 1, the attributes' names in line 2, then "000001.jpg -1 1 ...";
    the CSV form has one header line "image_id,NAME,...".

    Raises:
        DataError: the file does not have this form; the message names the line.
    """
    lines = path.read_text(encoding="utf-8-sig", errors="replace").rstrip().splitlines()
    header = 1 if path.suffix == ".csv" else 2
    if len(lines) <= header:
        raise DataError(f"{path} has {len(lines)} lines: {header} header lines and a row per image are needed.")
    names = lines[0].split(",")[1:] if header == 1 else lines[1].split()
    refuse_duplicates(names, f"{path}, line {header}: attribute", "name every attribute once")
    if header == 2:
        _check_count(path, lines[0], len(lines) - 2)
    table = _parse(path, lines[header:], header, len(names))
    values = table.iloc[:, 1:]
    present, absent = values.isin([1, "1"]).to_numpy(), values.isin([-1, "-1"]).to_numpy()
    _check_values(path, table, ~(present | absent), (names, header))
    refuse_duplicates(table[0].tolist(), f"{path}: a row for", "keep one row per image")
    return pd.DataFrame(np.where(present, 1, -1).astype(np.int8), index=pd.Index(table[0]), columns=names)


def labels_of(entries: Sequence[Entry], table: pd.DataFrame, layout: Layout) -> np.ndarray:
    """The rows of `table` that belong to images, int8 [N, A]; extensions may differ (.jpg in the list, .png on disk).

    Raises:
        DataError: an image without a row, a row without an image, or two images of one name.
    """
    rows = row_stems(table, layout)
    images = [PurePosixPath(entry.name).stem for entry in entries]
    refuse_duplicates(images, f"{layout.images}: an image called", "keep one file of each name")
    _refuse_difference(images, rows, f"{layout.attribute_file}: no row for the images")
    _refuse_difference(rows, images, f"{layout.attribute_file}: its rows name images that are not in {layout.images}:")
    return table.to_numpy()[rows.get_indexer(pd.Index(images))]


def row_stems(table: pd.DataFrame, layout: Layout) -> pd.Index:
    """Names of the rows without their endings.

    Raises:
        DataError: two rows have one, as 000001.jpg and 000001.png.
    """
    rows = pd.Index([Path(name).stem for name in table.index])
    refuse_duplicates(rows, f"{layout.attribute_file}: a row for", "keep one row per image, whatever its ending")
    return rows


def _check_count(path: Path, line: str, rows: int) -> None:
    if line.strip() != str(rows):
        raise DataError(
            f"{path}, line 1: it says '{line.strip()[:40]}', but {rows} rows follow the two header lines; "
            "it must be their number. Is the file cut short?"
        )


def _parse(path: Path, rows: list[str], header: int, num_names: int) -> pd.DataFrame:
    """Rows as a table: image name, then one value per attribute."""
    separator = "," if header == 1 else " "
    for number, row in enumerate(rows, header + 1):
        found = len(row.split(separator if header == 1 else None)) - 1
        if found != num_names:
            raise DataError(
                f"{path}, line {number}: {max(found, 0)} values for {num_names} attributes; a row is an image name "
                f"and one value (-1 or 1) per attribute of line {header}."
            )
    return pd.read_csv(
        io.StringIO("\n".join(rows)),
        sep=separator,
        skipinitialspace=True,
        header=None,
        dtype={0: str},
        keep_default_na=False,
        low_memory=False,
        quoting=3,
    )


def _check_values(path: Path, table: pd.DataFrame, wrong: np.ndarray, form: tuple[list[str], int]) -> None:
    names, header = form
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise DataError(
            f"{path}, line {row + header + 1}: {names[column]} of {table.iloc[row, 0]} is "
            f"'{table.iloc[row, column + 1]}'; allowed are 1 (present) and -1 (absent), not 0."
        )


def _refuse_difference(left: Iterable[str], right: Iterable[str], what: str) -> None:
    only_left = pd.Index(left).difference(pd.Index(right))
    if len(only_left):
        raise DataError(f"{what} {listed(only_left)}. Every image needs one row and every row one image.")
