"""How good log-odds are: scores of attributes with intervals, as pure functions of arrays.

Every score is a function of weighted images: weights of one give its value, and weights that count how often an image
was drawn with replacement give a bootstrap resample (Efron 1979). All attributes share their resamples, so that a mean
over attributes has an interval, too.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.special import expit
from scipy.stats import rankdata

from latentlab.randomness import derive_seed

MEASURES = ("accuracy", "balanced_accuracy", "auc", "log_loss", "calibration_error")
RESAMPLES = 1000
NUM_BINS = 15
WEAK_BELOW = 0.7
FEWEST = 10  # images of an attribute's rarer class, below which little can be said
_WEIGHTS_AT_A_TIME = 32_000_000


def resamples(num_images: int, count: int = RESAMPLES, *, seed: int = 0) -> Iterator[np.ndarray]:
    """How often each image is among N = `num_images` draws with replacement: float32 [N, <= count], in blocks.

    The counts are multinomial and follow from the seed; a block's size is bounded.
    """
    generator = np.random.Generator(np.random.Philox(derive_seed(seed, "classifiers/bootstrap")))
    block = max(1, _WEIGHTS_AT_A_TIME // num_images)
    for start in range(0, count, block):
        size = min(block, count - start)
        counts = np.empty((num_images, size), np.float32)
        for column in range(size):
            counts[:, column] = np.bincount(generator.integers(num_images, size=num_images), minlength=num_images)
        yield counts


def score(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The MEASURES of one attribute under each of B weightings of the images, float64 [5, B]; NaN where undefined.

    Args:
        logits: [N] log-odds; > 0 is the prediction "present".
        labels: [N], -1 or 1.
        weights: [N, B], not negative.
    """
    logits, present = logits.astype(np.float64), labels > 0
    right = (logits > 0) == present
    losses = np.logaddexp(0, np.where(present, -logits, logits))  # nats
    columns = np.column_stack(
        [np.ones_like(losses), present, right, right & present, losses, bin_gaps(logits, present)]
    )
    sums = (columns.astype(weights.dtype).T @ weights).astype(np.float64)
    total, positives, right, hits, loss = sums[:5]
    concordant, pairs = concordance(logits, present, weights)
    with np.errstate(divide="ignore", invalid="ignore"):  # a class without images has no rate
        balanced = (hits / positives + (right - hits) / (total - positives)) / 2
        return np.stack([right / total, balanced, concordant / pairs, loss / total, np.abs(sums[5:]).sum(0) / total])


def concordance(logits: np.ndarray, present: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a present and an absent image, [B], of which the present one has the higher logit, and all of them.

    Equal logits count half (Mann and Whitney 1947); the first divided by the second is the area under the ROC curve.
    """
    absent = np.flatnonzero(~present)
    absent = absent[np.argsort(logits[absent], kind="stable")]
    below = np.zeros((len(absent) + 1, weights.shape[1]), weights.dtype)
    np.cumsum(weights[absent], axis=0, out=below[1:])
    mine, theirs = logits[present], logits[absent]
    low, high = np.searchsorted(theirs, mine, "left"), np.searchsorted(theirs, mine, "right")
    beaten = below[low] if np.array_equal(low, high) else (below[low] + below[high]) / 2
    own = weights[present]
    return (own * beaten).sum(0, dtype=np.float64), own.sum(0, dtype=np.float64) * below[-1]


def bin_gaps(logits: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Probability of "present" minus its truth (0 or 1), [N, 15], each image's in the column of its bin.

    Bins are of equal mass: an image's is given by its rank among all logits, and equal logits share one. The expected
    calibration error is the sum over bins of the size of the bin's sum, divided by N (Naeini et al. 2015, there with
    bins of equal width).
    """
    ranks = rankdata(logits) - 0.5
    gaps = np.zeros((len(logits), NUM_BINS))
    gaps[np.arange(len(logits)), (ranks * NUM_BINS / len(logits)).astype(int)] = expit(logits) - present
    return gaps


def score_attributes(
    logits: np.ndarray, labels: np.ndarray, names: tuple[str, ...], *, seed: int = 0, count: int = RESAMPLES
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Scores of every attribute, and their means over the attributes where they are known.

    Args:
        logits: [N, A] log-odds.
        labels: [N, A], -1 or 1.
        names: A names.
        seed: Of the bootstrap.
        count: Resamples.

    Returns:
        Per attribute a dict: name; share of positives; each of MEASURES, None where the images show one class only
        (balanced_accuracy, auc); ci95, a dict of 95 % intervals of the same measures; weak: whether the balanced
        accuracy is below 0.7 or unknown; uncertain: whether fewer than 10 images are of the rarer class, or the
        interval of the balanced accuracy reaches down to guessing, 0.5.
        And the means, as a dict of MEASURES with ci95.
    """
    values = _all_attributes(logits, labels, np.ones((len(logits), 1)))[..., 0]  # [A, 5]
    drawn = np.concatenate(
        [_all_attributes(logits, labels, block) for block in resamples(len(logits), count, seed=seed)], 2
    )
    rows = []
    for name, column, value, replicates in zip(names, labels.T, values, drawn, strict=True):
        row = {"name": name, "share": float((column > 0).mean()), **_with_intervals(value, replicates)}
        balanced, low = row["balanced_accuracy"], (row["ci95"]["balanced_accuracy"] or [0.0])[0]
        rarer = min((column > 0).sum(), (column <= 0).sum())
        row["weak"] = balanced is None or balanced < WEAK_BELOW
        row["uncertain"] = bool(rarer < FEWEST or low <= 0.5)
        rows.append(row)
    return rows, _with_intervals(_mean(values), _mean(drawn))


def interval95(measure: str, value: float, replicates: np.ndarray) -> list[float] | None:
    """2.5th and 97.5th percentile of the replicates that are defined; None where there are none.

    The calibration error is biased upwards, and once more so in each resample: for it the percentiles are reflected
    at the value (the basic bootstrap, Davison and Hinkley 1997, section 5.2), cut off at 0 and widened to the value.
    """
    replicates = replicates[np.isfinite(replicates)]
    if not np.isfinite(value) or not len(replicates):
        return None
    low, high = (float(end) for end in np.percentile(replicates, [2.5, 97.5]))
    if measure == "calibration_error":
        low, high = max(0.0, 2 * float(value) - high), float(max(2 * value - low, value))
    return [low, high]


def _all_attributes(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """`score` of every attribute, [A, 5, B]."""
    return np.stack([score(column, truth, weights) for column, truth in zip(logits.T, labels.T, strict=True)])


def _mean(scores: np.ndarray) -> np.ndarray:
    """Mean over attributes (axis 0), leaving out those where a score is undefined; NaN where it is for all."""
    known = np.isfinite(scores)
    with np.errstate(invalid="ignore"):
        return np.where(known, scores, 0).sum(0) / known.sum(0)


def _with_intervals(values: np.ndarray, replicates: np.ndarray) -> dict[str, Any]:
    """Values [5] and replicates [5, B] as a dict of MEASURES and ci95."""
    row: dict[str, Any] = {
        name: float(value) if np.isfinite(value) else None for name, value in zip(MEASURES, values, strict=True)
    }
    intervals = {name: interval95(name, *pair) for name, *pair in zip(MEASURES, values, replicates, strict=True)}
    return row | {"ci95": intervals}
