"""A user's own labels: binary columns beside a column of file names, matched to the images one to one."""

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from latentlab.data.label_files import listed, read_cells
from latentlab.data.sources import SUFFIXES
from latentlab.errors import DataError

FILE_COLUMNS = ("file", "filename", "image", "image_id", "path")
FORMS = ({"1", "0"}, {"1", "-1"}, {"true", "false"})
PRESENT = ("1", "true")
MISSING = ("", "na", "n/a", "nan", "none", "null")
ALLOWED = "1 and 0, or 1 and -1, or true and false, one of these forms throughout"
SHOWN = 40  # characters of a cell


def labels_from(path: Path | str, images: Sequence[str], where: str) -> tuple[tuple[str, ...], np.ndarray]:
    """The labels of images from a file of labels, in the images' order.

    Args:
        path: A .csv, .tsv or .parquet file. Its files stand in a column called file, filename, image, image_id or path,
            else in the first column if that is text; all other columns are labels.
        images: N paths below the folder or inside the zip file, with "/".
        where: What messages call the place of the images.

    Returns:
        A names of attributes, and int8 [N, A], 1 where the attribute is present and -1 where it is not.

    Raises:
        UsageError: the file's name has another ending.
        DataError: the file cannot be read; a column is no label; or images and rows do not belong together one to one.
    """
    path = Path(path)
    cells = read_cells(path)
    files = cells.pop(_file_column(path, cells))
    signs = _signs(path, cells, files)
    return tuple(cells.columns), signs[_row_of_each(path, images, files, where)]


def labels_digest(attributes: Sequence[str], labels: np.ndarray) -> str:
    """SHA-256 of the attributes' names, a line each, and of the labels [N, A], one byte each."""
    names = "".join(f"{name}\n" for name in attributes)
    return hashlib.sha256(names.encode() + labels.astype(np.int8).tobytes()).hexdigest()


def _file_column(path: Path, cells: pd.DataFrame) -> str:
    """The column of files: the one called so, else the first if nothing in it is a number or a truth value."""
    called = [name for name in cells.columns if name.lower() in FILE_COLUMNS]
    if len(called) > 1:
        raise DataError(f"{path}: the files may stand in column {' or '.join(called)}. Keep one of these columns.")
    if called:
        return str(called[0])
    first = cells.iloc[:, 0]
    if pd.to_numeric(first, errors="coerce").notna().any() or first.str.lower().isin(["true", "false"]).any():
        raise DataError(
            f"{path} has no column that names the files: call it {', '.join(FILE_COLUMNS[:-1])} or {FILE_COLUMNS[-1]}. "
            f"Its columns are {listed(cells.columns)}."
        )
    return str(first.name)


# ------------------------------------------------------------------------------------------------ values


def _signs(path: Path, cells: pd.DataFrame, files: pd.Series) -> np.ndarray:
    """Columns of labels as int8 [N, A], 1 or -1; every column that is none is named."""
    if not len(cells.columns):
        hint = " Is it separated by semicolons? Save it with commas." if ";" in str(files.name) else ""
        raise DataError(f"{path} has no column of labels beside '{files.name}'; one holds {ALLOWED}.{hint}")
    if "" in cells.columns:
        raise DataError(
            f"{path}: a column has no name. Name it or remove it (pandas writes one less with index=False)."
        )
    faults = {name: _fault(cells[name], files) for name in cells.columns}
    wrong = [name for name in cells.columns if faults[name]]
    if wrong:
        also = f" Columns {listed(wrong[1:])} have a fault, too." if len(wrong) > 1 else ""
        raise DataError(
            f"{path}, {faults[wrong[0]]}. A column of labels holds {ALLOWED}: correct the values or remove the "
            f"column.{also}"
        )
    return np.stack([_column_signs(cells[name]) for name in cells.columns], axis=1)


def _column_signs(column: pd.Series) -> np.ndarray:
    signs = {cell: 1 if _word(cell) in PRESENT else -1 for cell in column.unique()}
    return column.map(signs).to_numpy(np.int8)


def _fault(column: pd.Series, files: pd.Series) -> str:
    """What keeps a column from being one of labels, with its place; "" if nothing does."""
    cells = column[~column.duplicated()]
    words = cells.map(_word)
    known = words[~words.isin(MISSING)]
    if any(set(known) <= form for form in FORMS):
        empty = words.index[words.isin(MISSING)]
        return f"{empty[0]}: {column.name} of {files[empty[0]]} has no value" if len(empty) else ""
    foreign = known.index[~known.isin(set.union(*FORMS))]
    if len(foreign):
        return f"{foreign[0]}: {column.name} of {files[foreign[0]]} is '{cells[foreign[0]][:SHOWN]}'"
    return f"column {column.name} mixes " + " and ".join(f"'{cells[place]}' ({place})" for place in known.index)


def _word(cell: str) -> str:
    """A value without what does not matter in it: case, and the ".0" of whole numbers stored as floating-point."""
    return cell.lower().removesuffix(".0")


# ------------------------------------------------------------------------------------------------ images and rows


def _row_of_each(path: Path, images: Sequence[str], files: pd.Series, where: str) -> np.ndarray:
    """Which row belongs to each image, int64 [N]; anything but one to one is refused."""
    if (files == "").any():
        raise DataError(f"{path}, {files.index[files == ''][0]}: no file is named in column '{files.name}'. Name it.")
    meant = _image_of_each(path, images, files)
    lost = [f"{file} ({place})" for place, file in files[meant < 0].items()]
    if lost:
        raise DataError(
            f"{path}: its rows name images that are not in {where}: {listed(lost)}. Files are named by their paths "
            f"below it, or without folders; images there are {listed(images)}. Remove the rows or add the images."
        )
    order = np.argsort(meant, kind="stable")
    again = np.flatnonzero(np.diff(meant[order]) == 0)
    if len(again):
        rows = [f"{files.iloc[row]} ({files.index[row]})" for row in order[again[0] : again[0] + 2]]
        more = f", and so have {len(again) - 1} more" if len(again) > 1 else ""
        image = images[meant[order[again[0]]]]
        raise DataError(f"{path}: {image} has more than one row, {' and '.join(rows)}{more}. Keep one row per image.")
    if len(order) < len(images):
        without = np.setdiff1d(np.arange(len(images)), meant)
        raise DataError(
            f"{path}: no row for the images {listed(images[number] for number in without)} of {where}. Every image "
            "needs one row: add the rows, or take the images away."
        )
    return order


def _image_of_each(path: Path, images: Sequence[str], files: pd.Series) -> np.ndarray:
    """Which image each row means, int64, or -1 for none.

    A row is looked for among the images' paths, then among their names without folders, then among both without
    endings; if several images go by it there, the row is refused.
    """
    paths = [_plain(image) for image in images]
    names = [image.rpartition("/")[2] for image in paths]
    exact = _numbers(paths), _numbers(names)
    short = _numbers(map(_without_ending, paths)), _numbers(map(_without_ending, names))
    meant = np.full(len(files), -1)
    for row, file in enumerate(map(_plain, files)):
        tries = (*(table.get(file) for table in exact), *(table.get(_without_ending(file)) for table in short))
        found = next((numbers for numbers in tries if numbers), [-1])
        if len(found) > 1:
            raise DataError(
                f"{path}, {files.index[row]}: {files.iloc[row]} may be {' or '.join(images[k] for k in found[:2])}. "
                "Write the path below the folder, with the file's ending."
            )
        meant[row] = found[0]
    return meant


def _numbers(keys: Iterable[str]) -> dict[str, list[int]]:
    """Which images go by each key."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for number, key in enumerate(keys):
        numbers[key].append(number)
    return numbers


def _plain(name: str) -> str:
    """One spelling of a path: "/" between folders, no "./", composed letters, no spaces around it."""
    return PurePosixPath(unicodedata.normalize("NFC", name.strip()).replace("\\", "/")).as_posix()


def _without_ending(name: str) -> str:
    base, _, ending = name.rpartition(".")
    return base if f".{ending.lower()}" in SUFFIXES else name
