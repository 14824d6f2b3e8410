"""How two attributes lie in a latent space: planes between samples with and without each, and how much these tell.

Unlike linear separability, planes are fitted on all samples and tell all of them: what is counted is what is drawn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from latentlab.errors import NoFigureError
from latentlab.figures.training_data import COMBINATIONS
from latentlab.metrics.bootstrap import REPLICATES, interval95, weights_by_rows
from latentlab.metrics.entropy import conditional_entropy, entropy
from latentlab.randomness import uniform_rows
from latentlab.svm import LinearSVMs, fit_linear_svms

FOLDS = 5


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval."""

    value: float
    ci95: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Plane:
    """Samples projected on the normals of two attributes' planes, the second made orthogonal to the first.

    Attributes:
        points: float64 [N, 2], in standard deviations from the mean.
        lines: float64 [2, 3]; an attribute is on the side of a x + b y + c > 0.
        cosine: Between the two normals.
    """

    points: np.ndarray
    lines: np.ndarray
    cosine: float


@dataclass(frozen=True)
class Told:
    """How much the sides of two planes tell of two labels, on samples that the planes were not fitted on.

    Attributes:
        both_right: Share of samples that lie on the right side of both planes.
        bits_open: H(labels | sides) in bits, of the four combinations of each.
        corner_side: Share of samples on the corner's side of both planes.
    """

    both_right: Estimate
    bits_open: Estimate
    corner_side: Estimate


def projected(latents: np.ndarray, planes: LinearSVMs) -> Plane:
    """Latents [N, D] as the plane of two normals shows them.

    Raises:
        NoFigureError: The normals are one direction, so that there is no plane.
    """
    lengths = np.linalg.norm(planes.coef, axis=1)
    if not (lengths > 0).all():
        raise NoFigureError("no plane separates the samples of one of the two attributes.")
    first, second = planes.coef / lengths[:, None]
    offsets = planes.intercept / lengths
    cosine = float(first @ second)
    rest = second - cosine * first
    sine = float(np.linalg.norm(rest))
    if sine < 1e-6:
        raise NoFigureError("both attributes have one direction, so there is no plane to show them in.")
    along = latents @ np.stack([first, rest / sine], axis=1)
    mean, spread = along.mean(axis=0), along.std(axis=0)
    if not (spread > 0).all():
        raise NoFigureError("the samples do not vary along the attributes' directions.")
    slopes = np.array([[1.0, 0.0], [cosine, sine]])
    lines = np.concatenate([slopes * spread, (slopes @ mean + offsets)[:, None]], axis=1)
    return Plane((along - mean) / spread, lines, cosine)


def fitted(latents: np.ndarray, labels: np.ndarray) -> LinearSVMs:
    """The planes of two attributes on all samples, latents [N, D] and bool [N, 2]."""
    return fit_linear_svms(latents, labels, [np.arange(len(labels))] * 2)


def held_out_sides(latents: np.ndarray, labels: np.ndarray, *, seed: int) -> np.ndarray:
    """On which sides samples lie of planes fitted without their fifth of the samples, bool [N, 2]."""
    fold = (uniform_rows(seed, "corner-folds", slice(0, len(labels)), 1)[:, 0] * FOLDS).astype(int)
    sides = np.zeros(labels.shape, bool)
    for number in range(FOLDS):
        seen, unseen = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        sides[unseen] = fit_linear_svms(latents, labels, [seen, seen]).predict_all(latents[unseen])
    return sides


def tell(
    sides: Mapping[str, np.ndarray], labels: np.ndarray, corner: tuple[bool, bool], *, seed: int
) -> tuple[dict[str, Told], Estimate | None]:
    """What the sides in some spaces tell, and by how many bits more the first leaves open than the last.

    Intervals are of the bootstrap over samples, drawn alike in all spaces, with planes held fixed.

    Args:
        sides: By space, bool [N, 2].
        labels: bool [N, 2].
        corner: The combination whose sides are counted.
        seed: Of the resamples.
    """
    tables = {space: _tables(found, labels, seed=seed) for space, found in sides.items()}
    told = {space: _told(found, corner) for space, found in tables.items()}
    if len(tables) < 2:
        return told, None
    first, *_, last = (conditional_entropy(found) for found in tables.values())
    return told, _estimate(first - last)


def label_bits(labels: np.ndarray) -> float:
    """H(labels) in bits, of the four combinations."""
    return float(entropy(np.bincount(_codes(labels), minlength=4)))


def _codes(flags: np.ndarray) -> np.ndarray:
    """The number of each row's combination in `COMBINATIONS`."""
    return np.asarray(flags @ np.array([1, 2]))


def _tables(sides: np.ndarray, labels: np.ndarray, *, seed: int) -> np.ndarray:
    """Counts [1 + resamples, sides, labels] of the four combinations; the first are those of the samples."""
    cells = _codes(sides) * 4 + _codes(labels)
    indicators = np.eye(16, dtype=np.float32)[cells]
    drawn = np.zeros((REPLICATES, 16))
    for rows, weights in weights_by_rows(len(cells), REPLICATES, seed=seed, stream="corner"):
        drawn += weights @ indicators[rows]
    return np.concatenate([indicators.sum(axis=0, dtype=np.float64)[None], drawn]).reshape(-1, 4, 4)


def _told(tables: np.ndarray, corner: tuple[bool, bool]) -> Told:
    total = tables.sum(axis=(1, 2))
    place = COMBINATIONS.index(corner)
    return Told(
        both_right=_estimate(np.trace(tables, axis1=1, axis2=2) / total),
        bits_open=_estimate(conditional_entropy(tables)),
        corner_side=_estimate(tables[:, place].sum(axis=1) / total),
    )


def _estimate(values: Sequence[float] | np.ndarray) -> Estimate:
    """Of a value and its replicates."""
    return Estimate(float(values[0]), interval95(np.asarray(values[1:])))
