"""The kernel distance between two sets of features: KID where they are Inception's."""

import numpy as np
from scipy.stats import t

BLOCK = 1000
"""Most features of a block; as the original code's subsets."""
FEWEST_BLOCKS = 10
"""With fewer, an interval of Student's t says little."""


def kernel_distance(first: np.ndarray, second: np.ndarray) -> tuple[float, tuple[float, float]]:
    """The squared maximum mean discrepancy under the kernel (x.y / D + 1)^3, unbiased, and its 95 % interval.

    Binkowski et al. (2018), equation 4. Both sets are cut, in their order, into equally many disjoint blocks of at most
    1,000; the value is the mean of the blocks' unbiased estimates, which are independent of each other, so that
    Student's t gives the interval. It may be below 0.

    Args:
        first: [N, D], in random order, N at least 20.
        second: [M, D], likewise.
    """
    count = min(max(FEWEST_BLOCKS, -(-max(len(first), len(second)) // BLOCK)), min(len(first), len(second)) // 2)
    blocks = [np.array_split(np.asarray(x, np.float64), count) for x in (first, second)]
    found = np.array([unbiased_mmd2(a, b) for a, b in zip(*blocks, strict=True)])
    half = float(t.ppf(0.975, count - 1) * found.std(ddof=1) / np.sqrt(count))
    return float(found.mean()), (float(found.mean()) - half, float(found.mean()) + half)


def unbiased_mmd2(a: np.ndarray, b: np.ndarray) -> float:
    """The unbiased estimate from features [n, D] and [m, D]."""

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)

    def within(x: np.ndarray) -> float:
        sums = kernel(x, x)
        return float((sums.sum() - np.trace(sums)) / (len(x) * (len(x) - 1)))

    return within(a) + within(b) - 2 * float(kernel(a, b).mean())
