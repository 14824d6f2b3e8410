"""Where a search for the embedded faces nearest to images starts: a linear regression from pixels to factors.

It is fitted once for each resolution and kept in the cache folder beside the drawn faces.
"""

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy
import scipy.linalg
from numpy.typing import NDArray

from latentlab.data.embedded import Selection, cache_folder, cached_faces, drawing_version
from latentlab.data.face_factors import FACTOR_NAMES, FACTORS, face_factors
from latentlab.data.faces import RESOLUTIONS
from latentlab.errors import DataError, UsageError
from latentlab.files import atomic_file, load_arrays
from latentlab.progress import Progress, silent

Array = NDArray[np.float32]

FINEST = 32
"""Images are compared at this resolution or, if they are smaller, at their own: all attributes can be read there."""
RIDGE = 1e-3
_LEAST_AMOUNT = 0.55
_AMOUNT = np.array([text.startswith("amount") for text in FACTORS.values()])


@dataclass(frozen=True)
class FaceStart:
    """A ridge regression from the pixels of embedded faces to their factors; where the search starts.

    Attributes:
        faces: Which faces it was fitted to.
        fingerprint: SHA-256 of their pixels.
        resolution: R, at which they were drawn.
        mean: Mean face, [3 R^2] in [-1, 1].
        weights: [3 R^2, F].
        centre: Mean factors, [F].
        low: Least factors, [F].
        high: Greatest factors, [F].
    """

    faces: Selection
    fingerprint: str
    resolution: int
    mean: Array
    weights: Array
    centre: Array
    low: Array
    high: Array

    def __call__(self, pixels: Array) -> Array:
        """Factors [N, F] that can be drawn, of pixels [N, 3 R^2]."""
        each = (pixels - self.mean)[:, None] @ self.weights  # row by row: not rounded differently in other company
        return self.drawable(each[:, 0] + self.centre)

    def drawable(self, factors: np.ndarray) -> Array:
        """The factors brought into their ranges; an amount below half of the least that occurs is none."""
        found = np.clip(factors, self.low, self.high)
        there = np.where(found > _LEAST_AMOUNT / 2, np.maximum(found, _LEAST_AMOUNT), 0)
        return np.where(_AMOUNT, there, found).astype(np.float32)


_ARRAYS = ("mean", "weights", "centre", "low", "high")


def fit_start(size: int, *, faces: Selection | None = None, progress: Progress = silent) -> FaceStart:
    """The regression that a search for faces nearest to images of `size` pixels starts from: from the cache, or fitted.

    Minimises mean |(x - mean) W - (f - centre)|^2 + RIDGE |W|^2.

    Args:
        size: Width and height of the images.
        faces: To which faces; the first 30,000 of seed 0 if left out.
        progress: Told how many of the faces are drawn.

    Raises:
        UsageError: Embedded faces have no such size.
    """
    if size not in RESOLUTIONS:
        raise UsageError(
            f"images of {size}x{size} pixels: embedded faces are drawn at {', '.join(map(str, RESOLUTIONS))}; only "
            "images of a generator that was trained on them have nearest faces."
        )
    faces, resolution = faces or Selection(), min(size, FINEST)
    path = _cached(faces, resolution)
    found = _read(path, faces, resolution)
    if found is None:
        found = _fit(faces, resolution, progress)
        with contextlib.suppress(OSError), atomic_file(path, durable=False) as temporary, temporary.open("wb") as file:
            np.savez(file, fingerprint=np.array(found.fingerprint), **{name: getattr(found, name) for name in _ARRAYS})
    return found


def _fit(faces: Selection, resolution: int, progress: Progress) -> FaceStart:
    drawn, factors = cached_faces(faces, resolution, progress), face_factors(faces.seed, faces.rows())
    progress(0, len(factors), "faces in the regression from pixels to factors")
    pixels, mean, centre = pixels_of(drawn.images), pixels_of(drawn.images).mean(axis=0), factors.mean(axis=0)
    pixels -= mean
    moments = pixels.T @ pixels / len(pixels) + RIDGE * np.eye(len(mean), dtype=np.float32)
    products = pixels.T @ (factors - centre) / len(pixels)
    weights = scipy.linalg.solve(moments.astype(np.float64), products, assume_a="pos")
    ranges = factors.min(axis=0), factors.max(axis=0)
    return FaceStart(faces, drawn.fingerprint, resolution, mean, weights.astype(np.float32), centre, *ranges)


def _cached(faces: Selection, resolution: int) -> Path:
    """The file of the cache for a fit; its name depends on everything that decides the numbers."""
    own = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    versions = f"{np.__version__} {scipy.__version__}"
    decisive = f"{drawing_version()} {own} {versions} {RIDGE} {faces} {resolution}"
    key = hashlib.sha256(decisive.encode()).hexdigest()[:16]
    return cache_folder() / f"nearest-start-{resolution}-{key}.npz"


def _read(path: Path, faces: Selection, resolution: int) -> FaceStart | None:
    """What the cache holds, or None where it is missing or damaged; a .npz file has checksums."""
    try:
        arrays = load_arrays(path)
    except (DataError, OSError):
        return None
    size, count = 3 * resolution**2, len(FACTOR_NAMES)
    shapes = {"mean": (size,), "weights": (size, count)} | dict.fromkeys(("centre", "low", "high"), (count,))
    if {name: array.shape for name, array in arrays.items()} != shapes | {"fingerprint": ()}:
        return None
    return FaceStart(faces, str(arrays["fingerprint"]), resolution, **{name: arrays[name] for name in _ARRAYS})


def pixels_of(images: np.ndarray, factor: int = 1) -> Array:
    """uint8 [N, S, S, 3] -> float32 [N, 3 R^2] in [-1, 1], means of boxes of `factor` pixels."""
    count, size = len(images), images.shape[1] // factor
    boxes = np.asarray(images, np.float32).reshape(count, size, factor, size, factor, 3)
    return (boxes.mean(axis=(2, 4)) / np.float32(127.5) - 1).reshape(count, -1)
