"""SAP, separated attribute predictability (Kumar, Sattigeri and Balakrishnan 2018): the best single latent's lead.

Each single latent predicts each factor. A binary factor is scored by the balanced accuracy, on test rows, of the
threshold that is best on the training rows, found exactly by sorting; it takes the place of a linear SVM on one latent,
which is a threshold too. Other factors are scored by R^2 of linear regression, which for one latent is the squared
correlation, on the test rows.
"""

import numpy as np

from latentlab.metrics.bootstrap import weight_blocks
from latentlab.metrics.disentanglement.problem import Outcome, Problem


def sap_metric(problem: Problem, *, seed: int = 0, bootstrap: int = 0) -> Outcome:
    """SAP: the mean over factors of the best latent's score less that of the next.

    The bootstrap draws test rows, with the thresholds and the two latents of each factor held fixed. An interval that
    reaches below 0 says that the two may as well trade places.
    """
    x, truth = problem.latents[problem.test], problem.factors[problem.test]
    thresholds, signs = best_thresholds(problem.latents[problem.train], problem.factors[problem.train] == 1)
    scores = np.where(
        problem.binary, threshold_scores(x, truth == 1, thresholds, signs), squared_correlations(x, truth)
    )
    best, second = np.argsort(-scores, axis=0, kind="stable")[:2]
    factors = np.arange(len(best))
    gaps = scores[best, factors] - scores[second, factors]
    drawn = [np.empty(0)]
    for weights in weight_blocks(len(x), bootstrap, seed=seed, stream="disentanglement/test"):
        pair = [
            np.where(
                problem.binary,
                _threshold_scores(
                    x[:, latent], truth == 1, thresholds[latent, factors], signs[latent, factors], weights
                ),
                _squared_correlations(x[:, latent], truth, weights),
            )
            for latent in (best, second)
        ]
        drawn.append((pair[0] - pair[1]).mean(axis=1))
    per_factor = {"gap": gaps, "best_score": scores[best, factors], "best_latent": best, "second_latent": second}
    count = len(problem.train) + len(problem.test)
    settings = {"binary": "balanced accuracy of the best threshold", "continuous": "R^2"}
    return Outcome("sap", float(gaps.mean()), np.concatenate(drawn), count, settings, per_factor)


def best_thresholds(latents: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The threshold of each latent with the largest balanced accuracy for each factor, and its direction, [D, K] each.

    Over a sorted latent, the share of the present samples so far less that of the absent ones is largest, in absolute
    value, at the best threshold (where it is the statistic of Kolmogorov and Smirnov); thresholds lie midway between
    two neighbouring values.

    Args:
        latents: [n, D].
        present: bool [n, K].

    Returns:
        Thresholds, and 1 where values above the threshold mean "present", -1 where they mean "absent".
    """
    count = present.sum(axis=0)
    steps = np.where(present, 1 / np.maximum(count, 1), -1 / np.maximum(len(present) - count, 1)).astype(np.float32)
    thresholds = np.empty((latents.shape[1], present.shape[1]), latents.dtype)
    signs = np.empty(thresholds.shape, np.int8)
    for number, latent in enumerate(np.ascontiguousarray(latents.T)):
        order = np.argsort(latent, kind="stable")
        ordered = latent[order]
        lead = np.cumsum(steps[order[:-1]], axis=0)
        lead[ordered[1:] == ordered[:-1]] = 0  # no threshold parts equal values
        place = np.abs(lead).argmax(axis=0)
        thresholds[number] = ordered[place] + (ordered[place + 1] - ordered[place]) / 2
        signs[number] = np.where(lead[place, np.arange(lead.shape[1])] > 0, -1, 1)
    return thresholds, signs


def threshold_scores(latents: np.ndarray, present: np.ndarray, thresholds: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """Balanced accuracy [D, K] of every latent's threshold for every factor; one class alone counts half.

    Args:
        latents: [n, D].
        present: bool [n, K].
        thresholds, signs: [D, K], of `best_thresholds`.
    """
    weights = np.ones((1, len(latents)), np.float32)
    rows = [
        _threshold_scores(latent[:, None], present, thresholds[number], signs[number], weights)[0]
        for number, latent in enumerate(latents.T)
    ]
    return np.stack(rows)


def squared_correlations(latents: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """R^2 [D, K] of linear regression of each factor [n, K] on each single latent [n, D]; 0 for constant ones."""
    covariance = _centred(latents).T @ _centred(factors)
    spread = np.outer(_sum_of_squares(latents), _sum_of_squares(factors))
    return np.divide(covariance**2, spread, out=np.zeros_like(covariance), where=spread > 0)


def _threshold_scores(
    latents: np.ndarray, present: np.ndarray, thresholds: np.ndarray, signs: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Balanced accuracies [B, K] under weights [B, n]; the latents are [n, K], one per factor, or [n, 1]."""
    said = (latents > thresholds) == (signs > 0)
    hits, positives = weights @ (said & present), weights @ present
    rejections, negatives = weights @ (~said & ~present), weights @ ~present
    return np.asarray(hits / np.maximum(positives, 1) + rejections / np.maximum(negatives, 1)) / 2


def _squared_correlations(latents: np.ndarray, factors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Squared correlations [B, K] of two matrices' columns [n, K] under weights [B, n] of rows."""
    x, y, total = _centred(latents), _centred(factors), weights.sum(axis=1, keepdims=True)
    mean_x, mean_y = weights @ x / total, weights @ y / total
    covariance = weights @ (x * y) / total - mean_x * mean_y
    spread = (weights @ x**2 / total - mean_x**2) * (weights @ y**2 / total - mean_y**2)
    return np.divide(covariance**2, spread, out=np.zeros_like(covariance), where=spread > 0)


def _centred(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float64) - values.mean(axis=0, dtype=np.float64)


def _sum_of_squares(values: np.ndarray) -> np.ndarray:
    return np.asarray((_centred(values) ** 2).sum(axis=0))
