"""CelebA-HQ: images by number, whose attributes stand in CelebA's file under the image that each was made from."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from latentlab.data.celeba import INDEX_FILES, Layout, row_stems
from latentlab.data.label_files import listed, refuse_duplicates
from latentlab.data.sources import Entry
from latentlab.errors import DataError

HEADER = ("idx", "orig_idx", "orig_file")
CELEBA_NAME = re.compile(r"\d{6}")  # 000001.jpg, ..., 202599.jpg
NUMBERED = re.compile(r"\D*(\d+)")  # 0.jpg, 00000.png, imgHQ00000.png, img00000000.png
NAMES = "0.jpg, 00000.png or imgHQ00000.png"


def labels_of(entries: Sequence[Entry], table: pd.DataFrame, layout: Layout) -> np.ndarray:
    """The rows of CelebA's attributes that belong to images of CelebA-HQ, int8 [N, A].

    Image i has the attributes of the CelebA image that the index names in row i. Index and attribute file may have
    rows of other images.

    Raises:
        DataError: an image has no number, or that of another; the index is damaged or lacks an image; or the
            attribute file lacks an image that the index names.
    """
    assert layout.index is not None, "only a layout with an index is one of CelebA-HQ"
    numbers = _numbers(entries, layout)
    index = read_index(layout.index)
    _refuse_missing(numbers, index, layout)
    files = [index[number] for number in numbers]
    places = row_stems(table, layout).get_indexer(pd.Index([Path(file).stem for file in files]))
    lost = [f"{file} (image {number})" for file, number, at in zip(files, numbers, places, strict=True) if at < 0]
    if lost:
        raise DataError(
            f"{layout.index} names images that {layout.attribute_file} has no row for: {listed(lost)}. Take CelebA's "
            "whole attribute file, of 202,599 rows."
        )
    return np.asarray(table.to_numpy()[places])


def read_index(path: Path) -> dict[int, str]:
    """Which file of CelebA each number of CelebA-HQ stands for, from an official index.

    Its first line is "idx orig_idx orig_file", perhaps with more columns, and values are separated by spaces or tabs.

    Raises:
        DataError: the file does not have this form, or names a number or a file more than once.
    """
    lines = path.read_text(encoding="utf-8-sig", errors="replace").rstrip().splitlines()
    header = lines[0].split() if lines else []
    if tuple(header[:3]) != HEADER:
        raise DataError(
            f"{path}: its first line must be '{' '.join(HEADER)}', perhaps with more columns, as in CelebA-HQ's "
            "official index. Copy the index again, or rename the file if it is something else."
        )
    rows = [line.split() for line in lines[1:]]
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise DataError(f"{path}, line {number}: {len(row)} values for {len(header)} columns. Copy the file again.")
        if not row[0].isdecimal():
            raise DataError(
                f"{path}, line {number}: idx is '{row[0]}', but a whole number from 0 is needed. Copy the file again."
            )
    numbers, files = [int(row[0]) for row in rows], [row[2] for row in rows]
    refuse_duplicates(numbers, f"{path}: idx", "every image of CelebA-HQ has one row")
    refuse_duplicates(files, f"{path}: orig_file", "every image of CelebA-HQ was made from another one of CelebA")
    return dict(zip(numbers, files, strict=True))


def refuse_without_index(entries: Sequence[Entry], table: pd.DataFrame, layout: Layout) -> None:
    """Raise DataError where images have names of CelebA-HQ, but rows the names of CelebA, which are no numbers of it.

    Image 0 of CelebA-HQ was made from 119614.jpg of CelebA, so neither number nor order tells which row is meant.
    """
    stems = [PurePosixPath(entry.name).stem for entry in entries]
    if not all(NUMBERED.fullmatch(stem) and not CELEBA_NAME.fullmatch(stem) for stem in stems):
        return
    rows = [Path(name).stem for name in table.index]
    if all(CELEBA_NAME.fullmatch(row) for row in rows):
        raise DataError(
            f"{layout.images} holds images with numbers of CelebA-HQ ({listed(stems)}), but {layout.attribute_file} "
            f"goes by CelebA's file names ({table.index[0]}, ...). Which belongs to which stands in CelebA-HQ's index "
            f"only: put {INDEX_FILES[0]} (from the progressive GAN's CelebA-HQ files) or {INDEX_FILES[1]} (from "
            "CelebAMask-HQ) beside the attribute file."
        )


def _numbers(entries: Sequence[Entry], layout: Layout) -> list[int]:
    """The images' numbers in CelebA-HQ, from their names."""
    stems = [PurePosixPath(entry.name).stem for entry in entries]
    ours = [entry.name for entry, stem in zip(entries, stems, strict=True) if CELEBA_NAME.fullmatch(stem)]
    if ours:
        raise DataError(
            f"{layout.images} holds {listed(ours)}: names of six digits are those of CelebA, but with {layout.index} "
            f"beside it images must be called by their numbers in CelebA-HQ, as {NAMES}."
        )
    found = [NUMBERED.fullmatch(stem) for stem in stems]
    wrong = [entry.name for entry, match in zip(entries, found, strict=True) if match is None]
    if wrong:
        raise DataError(
            f"{layout.images}: the names of {listed(wrong)} have no number of CelebA-HQ at their end. With "
            f"{layout.index} beside them images must be called {NAMES}; move what does not belong to them."
        )
    numbers = [int(match[1]) for match in found if match]
    refuse_duplicates(numbers, f"{layout.images}: an image with number", "keep one file for each number")
    return numbers


def _refuse_missing(numbers: list[int], index: dict[int, str], layout: Layout) -> None:
    missing = [number for number in numbers if number not in index]
    if missing:
        from_one = min(numbers) == 1 and missing == [max(index, default=0) + 1]
        hint = " Are they counted from 1? CelebA-HQ counts from 0: rename them." if from_one else ""
        raise DataError(
            f"{layout.index}: no row for the images {listed(missing)} of {layout.images}. Take the whole official "
            f"index, of 30,000 rows.{hint}"
        )
