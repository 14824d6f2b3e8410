"""Bootstrap confidence intervals, vectorised and in bounded memory.

Resampling with replacement is done by weights (how often a sample was drawn), from numpy's Philox generator under a
seed derived from the measurement's, so that an interval is as reproducible as its value.
"""

import functools
from collections.abc import Iterator

import numpy as np
from scipy.stats import poisson, t

from latentlab.randomness import derive_seed

REPLICATES = 1000
_WEIGHTS_AT_A_TIME = 4_000_000
_ROWS_AT_A_TIME = 8192


def rng(seed: int, stream: str) -> np.random.Generator:
    """The generator of a stream of resamples."""
    return np.random.Generator(np.random.Philox(derive_seed(seed, "bootstrap", stream)))


def weight_blocks(count: int, replicates: int, *, seed: int, stream: str) -> Iterator[np.ndarray]:
    """Poisson(1) weights of `count` samples, float32 [<= replicates, count], in blocks of replicates.

    The Poisson bootstrap (Hanley and MacGibbon, 2006): every sample's number of draws is independent, which for
    statistics that are normalised by the total weight equals the usual bootstrap up to O(1 / count).
    """
    generator, table = rng(seed, stream), _poisson_table()
    block = max(1, _WEIGHTS_AT_A_TIME // max(count, 1))
    for start in range(0, replicates, block):
        size = (min(block, replicates - start), count)
        yield table[generator.integers(2**16, size=size, dtype=np.uint16)]


def weights_by_rows(count: int, replicates: int, *, seed: int, stream: str) -> Iterator[tuple[slice, np.ndarray]]:
    """The same by rows, for sums over samples in bounded memory: some rows, weights float32 [replicates, rows].

    A sample's weights depend on its number alone, not on how many samples there are.
    """
    table = _poisson_table()
    for start in range(0, count, _ROWS_AT_A_TIME):
        rows = slice(start, min(start + _ROWS_AT_A_TIME, count))
        draws = rng(seed, f"{stream}/{start}").integers(2**16, size=(rows.stop - start, replicates), dtype=np.uint16)
        yield rows, table[draws].T


@functools.cache
def _poisson_table() -> np.ndarray:
    """Poisson(1) by the inverse of its distribution function at 2^16 even steps, float32: several times numpy's speed.

    The largest is 8 (above it lie 1e-6 of the draws); mean and variance are 1 to 3e-5.
    """
    steps = (np.arange(2**16) + 0.5) / 2**16
    return np.asarray(poisson.ppf(steps, 1.0), np.float32)


def draw_counts(count: int, replicates: int, *, seed: int, stream: str) -> Iterator[np.ndarray]:
    """Multinomial weights: for every replicate, how often each of `count` samples is among `count` draws."""
    generator = rng(seed, stream)
    for _ in range(replicates):
        yield np.bincount(generator.integers(count, size=count), minlength=count)


def interval95(replicates: np.ndarray) -> tuple[float, float]:
    """The percentile interval: 2.5th and 97.5th percentile of the replicates."""
    low, high = np.percentile(replicates, [2.5, 97.5])
    return float(low), float(high)


def interval_of_refits(value: float, without: np.ndarray) -> tuple[float, float, float]:
    """The grouped jackknife: a 95 % interval of a value, and the two-sided p-value of 0, by Student's t.

    The variance is (G - 1) / G times the sum of squares of the values without each of G groups about their mean (Efron
    and Stein, 1981); unlike a bootstrap with fits held fixed it counts how fits vary.

    Args:
        value: With all samples.
        without: [G], the values fitted and measured without each group.
    """
    groups = len(without)
    error = float(np.sqrt((groups - 1) / groups * ((without - without.mean()) ** 2).sum()))
    if error == 0:
        return value, value, 1.0 if value == 0 else 0.0
    half = float(t.ppf(0.975, groups - 1)) * error
    return value - half, value + half, float(2 * t.sf(abs(value) / error, groups - 1))
