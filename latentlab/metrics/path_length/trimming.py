"""From distances to the number: outliers dropped, mean taken, and how far that number may be off."""

from typing import Literal

import numpy as np
from scipy.stats import norm

from latentlab.metrics.bootstrap import draw_counts

Percentile = Literal["lower", "higher"]
Outliers = tuple[Percentile, Percentile]
OFFICIAL: Outliers = ("lower", "higher")
SHARES = (0.01, 0.99)
"""Values below the first and above the second share are dropped."""


def trim_bounds(distances: np.ndarray, outliers: Outliers = OFFICIAL) -> tuple[float, float]:
    """The distances between which values are kept, both inclusive: 1st percentile 'lower', 99th 'higher'."""
    low, high = (
        np.percentile(distances, 100 * share, method=method) for share, method in zip(SHARES, outliers, strict=True)
    )
    return float(low), float(high)


def trimmed_mean(distances: np.ndarray, outliers: Outliers = OFFICIAL) -> tuple[float, int]:
    """Mean of the values within `trim_bounds`, in the array's own precision, and how many were kept (official)."""
    low, high = trim_bounds(distances, outliers)
    kept = distances[(distances >= low) & (distances <= high)]
    return float(np.mean(kept)), len(kept)


def trimmed_mean_replicates(
    distances: np.ndarray, replicates: int, *, seed: int, outliers: Outliers = OFFICIAL
) -> np.ndarray:
    """The trimmed mean of resampled distances, trimming included, float64 [replicates].

    A resample is a count per distance; with the distances sorted once, its percentiles and its sum between them
    are look-ups in cumulative counts, so that a replicate costs one pass and no sort.
    """
    values = np.sort(distances).astype(np.float64)
    ranks = [
        int({"lower": np.floor, "higher": np.ceil}[method](share * (len(values) - 1)))
        for share, method in zip(SHARES, outliers, strict=True)
    ]
    means = np.empty(replicates)
    for index, draws in enumerate(draw_counts(len(values), replicates, seed=seed, stream="path-length")):
        cumulative = np.cumsum(draws)
        low, high = values[np.searchsorted(cumulative, ranks, side="right")]
        kept = slice(np.searchsorted(values, low, side="left"), np.searchsorted(values, high, side="right"))
        means[index] = draws[kept] @ values[kept] / draws[kept].sum()
    return means


def half_width(distances: np.ndarray, outliers: Outliers = OFFICIAL) -> float:
    """Half of the 95 % interval of the trimmed mean, by its large-sample variance.

    That is the variance of the values with outliers set to the bounds, over N and over the square of the share kept
    (Tukey and McLaughlin, 1963): what the bootstrap finds, without resampling.
    """
    bounded = np.clip(np.asarray(distances, np.float64), *trim_bounds(distances, outliers))
    deviation = float(bounded.std(ddof=1)) / (SHARES[1] - SHARES[0])
    return float(norm.ppf(0.975)) * deviation / np.sqrt(len(bounded))
