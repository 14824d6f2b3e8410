"""Whether a classifier tells its own attribute or another that goes with it.

Labels go together: most people with a moustache are men. So that a classifier's answers go along with another
attribute proves nothing by itself. What does is that they do so among images whose own label is the same.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit, ndtri

from attribute_classifiers.scoring import FEWEST, interval95, resamples

NUM_STRONGEST = 10


class Confusion(NamedTuple):
    """Differences of probability [A, A], row = classifier a, column = label b; NaN on the diagonal and where unknown.

    Attributes:
        leak: By how much p_a, the probability that classifier a gives, differs between images with and without b whose
            label of a is the same; 0 is perfect.
        own: By how much p_a differs between images with and without a whose label of b is the same; 1 is perfect.
        chance: Standard deviation that `leak` has where p_a depends on the label of a alone.
    """

    leak: np.ndarray
    own: np.ndarray
    chance: np.ndarray


def confusion(logits: np.ndarray, labels: np.ndarray) -> Confusion:
    """The slopes of the least-squares fit p_a ~ c + own y_a + leak y_b, labels as 0 and 1, for every pair a, b.

    Unknown are pairs that fewer than 10 images can tell apart: within the two values of y_a, the rarer value of y_b.

    Args:
        logits: [N, A] log-odds.
        labels: [N, A], -1 or 1.
    """
    present, probability = (labels > 0).astype(np.float64), expit(logits.astype(np.float64))
    values = [1 - present, present]
    counts = np.array([[mine.T @ other for other in values] for mine in values])  # [2, 2, A, A], y_a then y_b
    sums, squares = (
        np.array([[(mine * powers).T @ other for other in values] for mine in values])
        for powers in (probability, probability**2)
    )
    total = np.maximum(counts.sum(1), 1)
    variance = squares.sum(1) / total - (sums.sum(1) / total) ** 2
    weight = counts[:, 0] * counts[:, 1] / total
    unknown = counts.min(1).sum(0) < FEWEST
    with np.errstate(divide="ignore", invalid="ignore"):
        chance = np.sqrt((weight * variance.clip(0)).sum(0)) / weight.sum(0)
    leak, own = (np.where(unknown, np.nan, slope) for slope in slopes(counts, sums))
    return Confusion(leak, np.where(np.eye(len(own), dtype=bool), np.nan, own), chance)


def slopes(counts: np.ndarray, sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """leak and own, each [...], from the numbers of images and their summed probabilities, [2, 2, ...] by y_a and y_b.

    A slope is the difference of two means within each value of the label that is fixed, weighted by n0 n1 / (n0 + n1)
    (Mantel and Haenszel 1959); NaN where no value of it has both.
    """
    found = []
    for (n0, n1), (s0, s1) in ((counts.swapaxes(0, 1), sums.swapaxes(0, 1)), (counts, sums)):
        total = np.maximum(n0 + n1, 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            found.append(((n0 * s1 - n1 * s0) / total).sum(0) / (n0 * n1 / total).sum(0))
    return found[0], found[1]


def strongest(found: Confusion, *, count: int = NUM_STRONGEST) -> list[tuple[int, int]]:
    """The pairs (a, b) of the largest leaks, in size, of those that are beyond chance.

    Beyond chance means at a two-sided level of 5 % over all pairs together (normal distribution, Bonferroni).
    """
    known = np.isfinite(found.leak)
    size = np.where(known, np.abs(found.leak), 0)
    limit = -ndtri(0.025 / max(known.sum(), 1))
    clear = known & (size > limit * np.where(known, found.chance, 0))
    order = np.argsort(-size, axis=None, kind="stable")
    places = [divmod(int(place), len(size)) for place in order if clear.flat[place]]
    return places[:count]


def describe_confusion(
    logits: np.ndarray, labels: np.ndarray, names: tuple[str, ...], *, seed: int = 0
) -> dict[str, Any]:
    """What the card holds: the matrices `leak` and `own`, null where unknown, and the `strongest` pairs with intervals.

    Args:
        logits: [N, A] log-odds.
        labels: [N, A], -1 or 1.
        names: A names.
        seed: Of the bootstrap; the resamples are those of the scores.
    """
    found = confusion(logits, labels)
    pairs = strongest(found)
    cells = [_cells(logits[:, a], labels[:, a], labels[:, b]) for a, b in pairs]
    drawn = [
        np.stack([_resampled(columns, weights) for columns in cells])
        for weights in (resamples(len(logits), seed=seed) if pairs else ())
    ]
    rows = []
    for place, (a, b) in enumerate(pairs):
        row: dict[str, Any] = {"classifier": names[a], "attribute": names[b]}
        for measure, (name, values) in enumerate((("leak", found.leak), ("own", found.own))):
            value, replicates = float(values[a, b]), np.concatenate([block[place, measure] for block in drawn])
            row |= {name: value if np.isfinite(value) else None, f"{name}_ci95": interval95(replicates)}
        rows.append(row)
    return {"leak": _rounded(found.leak), "own": _rounded(found.own), "strongest": rows}


def _cells(logits: np.ndarray, mine: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Which of the four combinations of two labels every image has, and its probability there: float32 [N, 8]."""
    member = np.eye(4, dtype=np.float32)[2 * (mine > 0) + (other > 0)]
    return np.hstack([member, member * expit(logits)[:, None]]).astype(np.float32)


def _resampled(cells: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """leak and own of one pair under B weightings, [2, B]."""
    counts, sums = (cells.T @ weights).astype(np.float64).reshape(2, 2, 2, -1)
    return np.stack(slopes(counts, sums))


def _rounded(matrix: np.ndarray) -> list[list[float | None]]:
    """Four decimals, None for NaN."""
    return [[round(float(value), 4) if np.isfinite(value) else None for value in row] for row in matrix]
