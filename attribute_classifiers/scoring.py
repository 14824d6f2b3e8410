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


def bins(logits: np.ndarray) -> np.ndarray:
    """Which of 15 bins every image is in, [N]: bins of equal mass, by rank among all logits; equal logits share one."""
    return ((rankdata(logits) - 0.5) * NUM_BINS / len(logits)).astype(int)


def bin_gaps(logits: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Probability of "present" minus its truth (0 or 1), [N, 15], each image's in the column of its bin.

    The expected calibration error is the sum over bins of the size of the column's sum, divided by N (Naeini et al.
    2015, there with bins of equal width).
    """
    gaps = np.zeros((len(logits), NUM_BINS))
    gaps[np.arange(len(logits)), bins(logits)] = expit(logits) - present
    return gaps


def calibrated_error(logits: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the calibration error of N images with these logits if the true one is 0.

    A bin's sum of gaps is then nearly normal with variance sum p (1 - p), and its size has the half-normal
    distribution: mean sd sqrt(2 / pi), variance sd^2 (1 - 2 / pi).
    """
    probability = expit(logits.astype(np.float64))
    variance = np.bincount(bins(logits), weights=probability * (1 - probability), minlength=NUM_BINS)
    mean, spread = np.sqrt(variance * 2 / np.pi).sum(), np.sqrt(variance.sum() * (1 - 2 / np.pi))
    return float(mean / len(logits)), float(spread / len(logits))


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
    means, spreads = np.array([calibrated_error(column) for column in logits.T]).T
    limits = means + 1.96 * spreads  # which 97.5 % of calibrated classifiers stay below
    of_mean = float(means.mean() + 1.96 * np.sqrt((spreads**2).sum()) / len(names))  # as if errors were independent
    rows = []
    for k, (name, column) in enumerate(zip(names, labels.T, strict=True)):
        measured = _with_intervals(values[k], drawn[k], float(limits[k]))
        row = {"name": name, "share": float((column > 0).mean()), **measured}
        balanced, low = row["balanced_accuracy"], (row["ci95"]["balanced_accuracy"] or [0.0])[0]
        rarer = min((column > 0).sum(), (column <= 0).sum())
        row["weak"] = balanced is None or balanced < WEAK_BELOW
        row["uncertain"] = bool(rarer < FEWEST or low <= 0.5)
        rows.append(row)
    return rows, _with_intervals(_mean(values), _mean(drawn), of_mean)


def interval95(replicates: np.ndarray) -> list[float] | None:
    """2.5th and 97.5th percentile of the replicates that are defined; None where there are none."""
    replicates = replicates[np.isfinite(replicates)]
    return [float(end) for end in np.percentile(replicates, [2.5, 97.5])] if len(replicates) else None


def calibration_interval(value: float, replicates: np.ndarray, limit: float) -> list[float]:
    """95 % interval of a calibration error, which is biased upwards, and once more so in each resample.

    The percentiles are reflected at the value (the basic bootstrap, Davison and Hinkley 1997, section 5.2) and widened
    to it; the lower end is 0 where the value is below `limit`, what calibrated log-odds reach, too.
    """
    low, high = (float(end) for end in np.percentile(replicates, [2.5, 97.5]))
    return [0.0 if value <= limit else max(0.0, 2 * value - high), max(2 * value - low, value)]


def _all_attributes(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """`score` of every attribute, [A, 5, B]."""
    return np.stack([score(column, truth, weights) for column, truth in zip(logits.T, labels.T, strict=True)])


def _mean(scores: np.ndarray) -> np.ndarray:
    """Mean over attributes (axis 0), leaving out those where a score is undefined; NaN where it is for all."""
    known = np.isfinite(scores)
    with np.errstate(invalid="ignore"):
        return np.where(known, scores, 0).sum(0) / known.sum(0)


def _with_intervals(values: np.ndarray, replicates: np.ndarray, limit: float) -> dict[str, Any]:
    """Values [5] and replicates [5, B] as a dict of MEASURES and ci95.

    `limit` is what a calibrated classifier's error stays below.
    """
    found = {name: float(value) if np.isfinite(value) else None for name, value in zip(MEASURES, values, strict=True)}
    intervals = dict(zip(MEASURES, map(interval95, replicates), strict=True))
    intervals["calibration_error"] = calibration_interval(float(values[-1]), replicates[-1], limit)
    return {**found, "ci95": intervals}
