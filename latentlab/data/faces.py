"""The embedded dataset: portraits drawn by code, each labelled with the 40 CelebA attributes.

Face i of seed s is a function of (s, i) alone, at any resolution and in any batching:

    uniform numbers --face_factors--> factors --draw_faces--> images
                                              --face_labels-> labels
"""

import difflib
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latentlab.data.attributes import CELEBA_ATTRIBUTES
from latentlab.data.face_drawing import draw_block
from latentlab.data.face_factors import FACTOR_NAMES, FACTORS, face_factors
from latentlab.data.face_rules import ATTRIBUTE_RULES, face_labels
from latentlab.errors import UsageError

__all__ = [
    "ATTRIBUTE_RULES",
    "FACTORS",
    "FACTOR_NAMES",
    "RESOLUTIONS",
    "Faces",
    "draw_faces",
    "face_factors",
    "face_labels",
    "render_faces",
    "rows_without",
]

RESOLUTIONS = (16, 32, 64, 128, 256)

_PIXELS_PER_BLOCK = 32 * 32 * 128  # fewer make threads wait for each other, more do not fit into a core's cache
_ROWS_PER_SEARCH = 4096
_LEAST_SHARE_KEPT = 0.001


@dataclass(frozen=True)
class Faces:
    """Some faces of the embedded dataset.

    Attributes:
        images: uint8 [N, R, R, 3].
        factors: float32 [N, F], columns as in FACTOR_NAMES.
        labels: int8 [N, 40], -1 or 1, columns as in CELEBA_ATTRIBUTES.
    """

    images: NDArray[np.uint8]
    factors: NDArray[np.float32]
    labels: NDArray[np.int8]


def render_faces(seed: int, rows: slice | np.ndarray, resolution: int) -> Faces:
    """Draw the faces `rows` of `seed`, each a function of (seed, row) alone.

    Args:
        seed: Which dataset; any integer.
        rows: `slice(start, stop)` or an array of row numbers >= 0.
        resolution: Width and height in pixels, one of RESOLUTIONS.

    Raises:
        UsageError: The resolution is not one of RESOLUTIONS.
    """
    factors = face_factors(seed, rows)
    return Faces(draw_faces(factors, resolution), factors, face_labels(factors))


def draw_faces(factors: np.ndarray, resolution: int) -> NDArray[np.uint8]:
    """Draw faces from their factors [N, F]: uint8 [N, resolution, resolution, 3], on all cores.

    Raises:
        UsageError: The resolution is not one of RESOLUTIONS.
    """
    if resolution not in RESOLUTIONS:
        raise UsageError(f"Resolution {resolution} is not available: choose one of {', '.join(map(str, RESOLUTIONS))}.")
    factors = np.asarray(factors, np.float32)
    images = np.empty((len(factors), resolution, resolution, 3), np.uint8)
    step = max(_PIXELS_PER_BLOCK // resolution**2, 1)

    def draw(start: int) -> None:
        images[start : start + step] = draw_block(factors[start : start + step], resolution)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(draw, range(0, len(factors), step)))
    return images


def rows_without(seed: int, start: int, count: int, missing: Mapping[str, bool]) -> NDArray[np.int64]:
    """The first `count` rows from `start` on whose labels do not match all of `missing` (as in the paper's Figure 6).

    Args:
        seed: Which dataset.
        start: The first row to consider, >= 0.
        count: How many rows to return.
        missing: A combination of attributes and whether each is present, such as {"Male": True, "Smiling": True}.

    Raises:
        UsageError: An attribute has no such name, `start` or `count` is negative, or hardly any face is left
            without the combination.
    """
    if start < 0 or count < 0:
        raise UsageError(f"Rows from {start}, {count} of them, do not exist: both numbers must be 0 or more.")
    columns = np.array([_attribute_column(name) for name in missing], np.int64)
    wanted = np.array([1 if present else -1 for present in missing.values()], np.int8)
    kept: list[NDArray[np.int64]] = []
    seen = found = 0
    while found < count:
        _refuse_scarce(found, seen, missing)
        rows = np.arange(start + seen, start + seen + _ROWS_PER_SEARCH)
        labels = face_labels(face_factors(seed, slice(int(rows[0]), int(rows[-1]) + 1)))
        matches = (labels[:, columns] == wanted).all(axis=1) & bool(missing)
        kept.append(rows[~matches])
        seen += len(rows)
        found += len(kept[-1])
    return np.concatenate(kept)[:count] if kept else np.empty(0, np.int64)


def _attribute_column(name: str) -> int:
    if name not in CELEBA_ATTRIBUTES:
        folded = {known.lower(): known for known in CELEBA_ATTRIBUTES}
        nearest = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0)[0]
        raise UsageError(f"There is no attribute {name!r}: did you mean {folded[nearest]!r}?")
    return CELEBA_ATTRIBUTES.index(name)


def _refuse_scarce(found: int, seen: int, missing: Mapping[str, bool]) -> None:
    if seen and found < seen * _LEAST_SHARE_KEPT:
        combination = ", ".join(f"{name}={present}" for name, present in missing.items())
        raise UsageError(
            f"Without {combination} only {found} of the first {seen} faces are left: "
            "leave out a rarer combination, by naming more attributes."
        )
