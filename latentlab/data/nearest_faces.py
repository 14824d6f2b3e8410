"""The factors of the embedded face that is nearest to an image, and what attributes that face has.

Nearest is the drawing with the smallest mean square distance of pixels, among all faces that can be drawn. A linear
regression from pixels to factors gives the start (`nearest_start`); from there, for every image on its own, two
searches take turns:

* leaps: factor by factor, the values on the other side (glasses or none, a long face or a wide one) are drawn;
* Gauss-Newton steps, damped as Levenberg and Marquardt's, in all factors at once, from finite differences of drawings.

No step is taken that does not bring the drawing nearer. No classifier and no label is looked at: what is found is a
face, whose attributes follow from its factors by the rules of `face_rules`.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from latentlab.data.attributes import CELEBA_ATTRIBUTES
from latentlab.data.face_factors import FACTOR_NAMES, FACTORS, HAIR_COLOURS
from latentlab.data.face_rules import face_labels
from latentlab.data.faces import draw_faces
from latentlab.data.nearest_start import RIDGE, FaceStart, pixels_of
from latentlab.errors import UsageError
from latentlab.progress import Progress, silent

Array = NDArray[np.float32]

SEARCHES = ("leaps", "steps", "steps", "leaps")
DAMPINGS = (1e-4, 1e-3, 1e-2)
DIFFERENCE = 0.04
LEAPS = {"graded": (0.1, 0.35), "amount": (0.75,), "other": (0.15, 0.5, 0.85)}
INDEPENDENT_VALUES = 16
"""Of what is left between generated images and their nearest faces, (tr C)^2 / tr C^2 of the covariance: 10 and 17."""
ROUNDING = 2 * (2 / 255) ** 2 / 12
"""Mean square distance of two images, in [-1, 1], that are equal but for being rounded to 8 bits each."""
_ROWS = 32
_ROWS_OF_DIFFERENCES = 64

_AMOUNT = np.array([text.startswith("amount") for text in FACTORS.values()])
_GRADED = np.array([text.startswith("graded") for text in FACTORS.values()])
_HAIR = [FACTOR_NAMES.index(name) for name in ("hair_hue", "hair_saturation", "hair_value")]


@dataclass(frozen=True)
class NearestFaces:
    """The nearest faces of N images.

    Attributes:
        factors: float32 [N, F], columns as in FACTOR_NAMES.
        log_odds: float32 [N, 40], columns as in CELEBA_ATTRIBUTES: > 0 where the face has the attribute.
        distances: Root mean square distance between image and drawing, of pixels in [-1, 1], float32 [N].
    """

    factors: Array
    log_odds: Array
    distances: Array


def search_sha256(start: FaceStart) -> str:
    """SHA-256 of everything that decides what is found for an image."""
    settings = [SEARCHES, RIDGE, DAMPINGS, DIFFERENCE, LEAPS, INDEPENDENT_VALUES, start.resolution]
    return hashlib.sha256(json.dumps([asdict(start.faces), start.fingerprint, *settings]).encode()).hexdigest()


def nearest_faces(images: np.ndarray, start: FaceStart, progress: Progress = silent) -> NearestFaces:
    """Search the nearest face of every image; what is found does not depend on the other images.

    The log-odds compare how near faces come with and without an attribute: among all faces drawn in the search,
    INDEPENDENT_VALUES / 2 * log(least mean square distance without / least with it), each plus ROUNDING. This is the
    profile likelihood ratio under normal residuals of unknown variance, if neighbouring pixels, whose residuals go
    together, count as that many independent values. Where no face with (or without) the attribute was drawn, the
    largest distance of all drawn faces stands for it.

    Args:
        images: uint8 [N, S, S, 3] of the size that `start` is for; box-filtered to its resolution.
        start: See `fit_start`.
        progress: Told how many images are done, after every few.

    Raises:
        UsageError: The images have another shape.
    """
    size = images.shape[1]
    if images.ndim != 4 or images.shape[1:] != (size, size, 3) or size % start.resolution:
        raise UsageError(
            f"images of the shape {list(images.shape)}: nearest faces are searched for RGB images "
            f"[N, {start.resolution}, {start.resolution}, 3], or larger by a whole factor."
        )
    parts = []
    for at in range(0, len(images), _ROWS):
        parts.append(_nearest(images[at : at + _ROWS], start))
        progress(min(at + _ROWS, len(images)), len(images))
    return NearestFaces(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _nearest(images: np.ndarray, start: FaceStart) -> tuple[Array, Array, Array]:
    search = _Search(pixels_of(images, images.shape[1] // start.resolution), start)
    for kind in SEARCHES:
        if kind == "leaps":
            for candidates in search.leaps():
                search.take(candidates)
        else:
            search.take(search.steps())
    return search.factors, search.log_odds(), np.sqrt(search.losses)


class _Search:
    """The faces found so far for some images, and how near faces with and without each attribute came."""

    def __init__(self, pixels: Array, start: FaceStart) -> None:
        self.pixels, self.start = pixels, start
        self.factors = start(pixels)
        self.losses = np.full(len(pixels), np.inf, np.float32)
        self.least = np.full((2, len(pixels), len(CELEBA_ATTRIBUTES)), np.inf, np.float32)  # without, with
        self.worst = np.zeros(len(pixels), np.float32)
        self.take(self.factors[None])

    def take(self, candidates: Array) -> None:
        """Draw candidates [K, N, F] and keep, for each image, the nearest if it is nearer than what there is."""
        drawn = self._draw(candidates)
        losses = np.square(drawn - self.pixels).mean(axis=2)
        present = face_labels(candidates.reshape(-1, len(FACTOR_NAMES))).reshape(*losses.shape, -1) > 0
        for side, least in enumerate(self.least):
            met = np.where(present == bool(side), losses[:, :, None], np.inf).min(axis=0)
            np.minimum(least, met, out=least)
        self.worst = np.maximum(self.worst, losses.max(axis=0))
        rows, best = np.arange(losses.shape[1]), losses.argmin(axis=0)
        nearer = losses[best, rows] < self.losses
        self.factors = np.where(nearer[:, None], candidates[best, rows], self.factors)
        self.losses = np.where(nearer, losses[best, rows], self.losses)

    def leaps(self) -> Iterator[Array]:
        """Candidates [K, N, F] that differ from what there is in one factor, or in the colour of the hair."""
        for factor in range(len(FACTOR_NAMES)):
            yield self._with([factor], self._other_values(factor)[:, :, None])
        colours = np.array([np.mean(ranges, axis=1) for ranges in HAIR_COLOURS.values()], np.float32)
        yield self._with(_HAIR, np.repeat(colours[:, None], len(self.factors), axis=1))

    def steps(self) -> Array:
        """Gauss-Newton steps from what there is, [K, N, F]: one for each damping, and half of the boldest."""
        starts = range(0, len(self.factors), _ROWS_OF_DIFFERENCES)
        found = [self._steps(slice(at, at + _ROWS_OF_DIFFERENCES)) for at in starts]
        return self.start.drawable(self.factors + np.concatenate(found, axis=1))

    def log_odds(self) -> Array:
        """See `nearest_faces`."""
        without, with_it = np.where(np.isinf(self.least), self.worst[:, None], self.least) + ROUNDING
        return (INDEPENDENT_VALUES / 2 * np.log(without / with_it)).astype(np.float32)

    def _draw(self, factors: Array) -> Array:
        """Pixels [..., 3 R^2] of factors [..., F]."""
        drawn = draw_faces(factors.reshape(-1, len(FACTOR_NAMES)), self.start.resolution)
        return pixels_of(drawn).reshape(*factors.shape[:-1], -1)

    def _other_values(self, factor: int) -> Array:
        """[K, N] values that a factor might have instead."""
        now = self.factors[:, factor]
        if _GRADED[factor]:
            return np.stack([np.where(now > 0.5, value, 1 - value) for value in LEAPS["graded"]])
        if _AMOUNT[factor]:
            return np.stack([np.where(now > 0, 0, value) for value in LEAPS["amount"]])
        low, high = self.start.low[factor], self.start.high[factor]
        return np.stack([np.full_like(now, low + value * (high - low)) for value in LEAPS["other"]])

    def _with(self, columns: list[int], values: Array) -> Array:
        candidates = np.repeat(self.factors[None], len(values), axis=0)
        candidates[:, :, columns] = values
        return candidates

    def _steps(self, rows: slice) -> Array:
        """Solutions of (J J^T + damping) step = J residual, in units of the factors' ranges, times these ranges."""
        factors, spread = self.factors[rows], self.start.high - self.start.low
        drawn = self._draw(factors)
        slopes, residuals = self._slopes(factors, drawn), self.pixels[rows] - drawn
        curvature = slopes @ slopes.transpose(0, 2, 1) / residuals.shape[1]
        gradient = slopes @ residuals[:, :, None] / residuals.shape[1]
        identity = np.eye(len(spread), dtype=np.float32)
        steps = [np.linalg.solve(curvature + damping * identity, gradient)[:, :, 0] for damping in DAMPINGS]
        return np.stack([*steps, steps[0] / 2]) * spread

    def _slopes(self, factors: Array, drawn: Array) -> Array:
        """J [N, F, 3 R^2]: change of the drawing per range of each factor; none for what is not there."""
        low, high = self.start.low, self.start.high
        changes = np.where(factors > (low + high) / 2, -DIFFERENCE, DIFFERENCE).astype(np.float32)
        there = ~(_AMOUNT & (factors == 0))
        row, column = np.nonzero(there)
        moved = factors[row]
        moved[np.arange(len(row)), column] += (changes * (high - low))[there]
        slopes = np.zeros((*factors.shape, drawn.shape[1]), np.float32)
        slopes[there] = (self._draw(moved) - drawn[row]) / changes[there][:, None]
        return slopes
