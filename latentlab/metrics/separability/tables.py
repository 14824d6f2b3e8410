"""Joint tables of the hyperplanes' answers and the labels, and their entropies under resampled samples."""

from collections.abc import Sequence

import numpy as np

from latentlab.metrics.bootstrap import weight_blocks
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
    """H(Y|X) in bits [replicates, A] of each set of cells: weights [B, N] @ indicators of the cells [N, 4 A]."""
    count, num_samples, (replicates, seed, stream) = len(kept.rows), len(kept.labels), resamples
    indicators = np.zeros((num_samples, len(parts), count, 4), np.float32)
    for part, cells in enumerate(parts):
        for attribute, found in enumerate(cells):
            there = found >= 0
            indicators[kept.rows[attribute, there], part, attribute, found[there]] = 1
    flat = indicators.reshape(num_samples, -1)
    blocks = weight_blocks(num_samples, replicates, seed=seed, stream=stream)
    tables = np.concatenate([weights @ flat for weights in blocks]).reshape(-1, len(parts), count, 2, 2)
    return list(conditional_entropy(tables).swapaxes(0, 1))
