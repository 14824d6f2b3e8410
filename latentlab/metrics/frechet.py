"""Fréchet distance between two sets of features, each taken for a normal distribution (Heusel et al. 2017, FID).

    d^2 = |m_a - m_b|^2 + trace(S_a + S_b - 2 sqrt(S_a S_b))

with means m and covariances S (n - 1 in the denominator). What the distance is called depends on whose features they
are: FID only with the Inception network of 2015. Lower is better; 0 for equal statistics.
"""

from dataclasses import dataclass

import numpy as np

from latentlab.errors import DataError


@dataclass(frozen=True)
class Moments:
    """What a Fréchet distance needs of a set of features.

    Attributes:
        mean: float64 [D].
        covariance: float64 [D, D], with n - 1 in the denominator.
        count: n, how many features they come from.
    """

    mean: np.ndarray
    covariance: np.ndarray
    count: int


class MomentAccumulator:
    """Mean and covariance of features that come in batches, in float64 and in D x D memory however many there are.

    Batches are merged by the pairwise update of Chan, Golub and LeVeque (1979), which subtracts means before it
    squares, so that features far from zero lose no digits.
    """

    def __init__(self) -> None:
        self.count = 0
        self._mean = np.zeros(0)
        self._scatter = np.zeros((0, 0))  # sum over features of (x - mean) (x - mean)^T

    def add(self, features: np.ndarray) -> None:
        """Take in a batch [n, D]; D is that of the first batch.

        Raises:
            DataError: another shape, or a feature that is no finite number.
        """
        batch = np.asarray(features, np.float64)
        if batch.ndim != 2 or (self.count and batch.shape[1] != len(self._mean)):
            expected = f"[N, {len(self._mean)}]" if self.count else "[N, D]"
            raise DataError(f"features have the shape {list(batch.shape)}; it must be {expected}.")
        if not np.isfinite(batch).all():
            raise DataError("features are not finite (NaN or infinity): the images or the network's weights may be so.")
        if not len(batch):
            return
        if not self.count:
            self._mean, self._scatter = np.zeros(batch.shape[1]), np.zeros((batch.shape[1],) * 2)
        mean = batch.mean(axis=0)
        shift, total = mean - self._mean, self.count + len(batch)
        centred = batch - mean
        self._scatter += centred.T @ centred + np.outer(shift, shift * (self.count * len(batch) / total))
        self._mean += shift * (len(batch) / total)
        self.count = total

    def moments(self) -> Moments:
        """Mean and covariance of what has been taken in so far.

        Raises:
            DataError: fewer than two features were taken in.
        """
        if self.count < 2:
            raise DataError(f"{self.count} features: a covariance needs at least 2.")
        return Moments(self._mean.copy(), self._scatter / (self.count - 1), self.count)


def moments(features: np.ndarray) -> Moments:
    """Mean and covariance of features [N, D], N at least 2.

    Raises:
        DataError: fewer features, another shape, or a feature that is no finite number.
    """
    accumulator = MomentAccumulator()
    accumulator.add(features)
    return accumulator.moments()


def frechet_distance(features_a: np.ndarray, features_b: np.ndarray) -> float:
    """The squared Fréchet distance d^2, as FID reports it, of two sets of features [N, D] and [M, D].

    Raises:
        DataError: see `moments` and `frechet_of_moments`.
    """
    return frechet_of_moments(moments(features_a), moments(features_b))


def frechet_of_moments(a: Moments, b: Moments) -> float:
    """The squared Fréchet distance d^2 of two normal distributions, at least 0.

    trace sqrt(S_a S_b) is the sum of the roots of the eigenvalues of sqrt(S_a) S_b sqrt(S_a). They are computed as
    the singular values of sqrt(S_a) sqrt(S_b), which is the same without squaring: where covariances are singular
    (fewer images than features), no root of a rounding error enters the sum.

    Raises:
        DataError: the two have another number of dimensions.
    """
    if a.mean.shape != b.mean.shape:
        raise DataError(f"features of {len(a.mean)} and of {len(b.mean)} dimensions cannot be compared.")
    product = _root(a.covariance).T @ _root(b.covariance)
    trace_root = np.linalg.svd(product, compute_uv=False).sum()
    squares = np.square(a.mean - b.mean).sum()
    distance = squares + np.trace(a.covariance) + np.trace(b.covariance) - 2 * trace_root
    return max(float(distance), 0.0)


def short_number(count: int) -> str:
    """How the field writes a number of images in a metric's name: 50,000 is 50k, 2,048 is 2048."""
    return f"{count // 1000}k" if count % 1000 == 0 else str(count)


def in_words(
    name: str, *, num_generated: int, num_real: int, dimensions: int, asked_real: int | None = None
) -> list[str]:
    """What must be said of a Fréchet distance over these numbers of images and features, in sentences.

    `asked_real`: how many real images were asked for; all there are if left out.
    """
    found = []
    if min(num_generated, num_real) < dimensions:
        found.append(
            f"{name}: {num_generated:,} generated and {num_real:,} real images for {dimensions:,} features; with fewer "
            f"than {dimensions:,} images the distance comes out far too large. It may serve to compare snapshots of "
            "one run, nothing else."
        )
    missing = asked_real is not None and num_real < asked_real
    if missing or (asked_real is None and num_real < num_generated):
        asked = f"; {asked_real:,} were asked for" if missing else ""
        found.append(f"{name}: {num_generated:,} generated images against all {num_real:,} real ones{asked}.")
    return found


def _root(covariance: np.ndarray) -> np.ndarray:
    """R with R R^T = S: eigenvectors times the roots of the eigenvalues, rounding errors of zeros taken as 0."""
    values, vectors = np.linalg.eigh(covariance)
    smallest = values[-1] * len(values) * np.finfo(np.float64).eps  # as numpy.linalg.matrix_rank has it
    return np.asarray(vectors * np.sqrt(np.where(values > smallest, values, 0.0)))
