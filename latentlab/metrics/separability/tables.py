"""Joint tables of the hyperplanes' answers and the labels, and their entropies under resampled samples."""

from collections.abc import Sequence

import numpy as np

from latentlab.metrics.bootstrap import weights_by_rows
from latentlab.metrics.entropy import conditional_entropy
from latentlab.metrics.separability.pruning import Kept


def joint_tables(cells: np.ndarray) -> np.ndarray:
    """Counts [A, 2, 2] of (SVM's answer, label), 0 = present and 1 = absent, from cell numbers [A, K]; -1: left out."""
    return np.stack([np.bincount(row[row >= 0], minlength=4) for row in cells]).reshape(-1, 2, 2)


def cells_of(kept: Kept, labels: np.ndarray, said: np.ndarray) -> np.ndarray:
    """Which cell of its joint table every kept sample falls in: 2 * (SVM says absent) + (label is absent), [A, K]."""
    columns = np.arange(len(kept.names))[:, None]
    absent, said_absent = ~labels[kept.rows, columns], ~said[kept.rows, columns]
    one_class = absent.all(axis=1) | ~absent.any(axis=1)
    said_absent[one_class] = absent[one_class]
    return (2 * said_absent + absent).astype(np.int8)


def resampled_entropies(parts: Sequence[np.ndarray], kept: Kept, resamples: tuple[int, int, str]) -> list[np.ndarray]:
    """H(Y|X) in bits [replicates, A] of each set of cells: weights [B, N] @ indicators of the cells [N, 4 A].

    Args:
        parts: Sets of cells [A, K] as of `cells_of`, resampled together.
        kept: Whose cells they are.
        resamples: How many, the seed, and the name of the stream of random numbers.
    """
    count, num_samples, (replicates, seed, stream) = len(kept.rows), len(kept.labels), resamples
    by_row = np.full((num_samples, len(parts), count), -1, np.int8)
    for part, cells in enumerate(parts):
        by_row[kept.rows, part, np.arange(count)[:, None]] = cells
    tables = np.zeros((replicates, len(parts) * count * 4))
    for rows, weights in weights_by_rows(num_samples, replicates, seed=seed, stream=stream):
        indicators = (by_row[rows].reshape(len(by_row[rows]), -1, 1) == np.arange(4, dtype=np.int8)).astype(np.float32)
        tables += weights @ indicators.reshape(len(indicators), -1)
    return list(conditional_entropy(tables.reshape(replicates, len(parts), count, 2, 2)).swapaxes(0, 1))
