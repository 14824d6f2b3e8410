"""Explicitness (Ridgeway and Mozer 2018): how well a linear classifier of all latents ranks samples by each factor."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from latentlab.metrics.bootstrap import weight_blocks
from latentlab.metrics.disentanglement.problem import Outcome, Problem, Step

C = 1.0
MAX_ITER = 1000


def explicitness_metric(problem: Problem, *, step: Step, seed: int = 0, bootstrap: int = 0) -> Outcome:
    """Explicitness: the mean over factors of (AUC - 0.5) / 0.5 on the test rows.

    AUC is the area under the ROC curve of a logistic regression of the standardised latents; of a factor's two classes
    both have the same. A continuous factor is whether it is above its median: one against the rest over its bins, as
    the paper does for values without an order, no linear classifier could do for the bins in the middle. The bootstrap
    draws test rows, for all factors jointly, with the fits held fixed.
    """
    present = above_median(problem.factors[np.concatenate([problem.train, problem.test])], problem.binary)
    trained, tested = np.split(present, [len(problem.train)])
    x, x_test = problem.standardised
    logits, converged = np.empty(tested.shape), np.empty(tested.shape[1], bool)
    for factor in range(tested.shape[1]):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the result says so
            model = LogisticRegression(C=C, max_iter=MAX_ITER).fit(x, trained[:, factor])
        logits[:, factor], converged[factor] = model.decision_function(x_test), model.n_iter_[0] < MAX_ITER
        step()
    areas = _areas(logits, tested, np.ones((1, len(tested))))[0]
    drawn = [np.empty((0, len(areas)))]
    blocks = weight_blocks(len(tested), bootstrap, seed=seed, stream="disentanglement/test")
    drawn += [_areas(logits, tested, weights) for weights in blocks]
    settings = {"model": "L2 logistic regression", "C": C, "max_iter": MAX_ITER, "continuous": "above the median"}
    return Outcome(
        "explicitness",
        float((2 * areas - 1).mean()),
        (2 * np.concatenate(drawn) - 1).mean(axis=1),
        len(present),
        settings,
        {"auc": areas},
        {"converged": bool(converged.all())},
    )


def above_median(factors: np.ndarray, binary: np.ndarray) -> np.ndarray:
    """Factors [n, K] as classes, bool: binary ones as they are, others above the median, or from it on.

    Of the two, whichever is nearer to one half: a factor whose most common value is its largest has nothing above.
    """
    median = np.median(factors, axis=0)
    above, from_it = factors > median, factors >= median
    nearer = np.abs(from_it.mean(axis=0) - 0.5) < np.abs(above.mean(axis=0) - 0.5)
    return np.where(binary, factors == 1, np.where(nearer, from_it, above))


def area_under_curve(logits: np.ndarray, present: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve [B] under weightings of the rows; 0.5 where a class has no weight.

    It is the share of pairs of a present and an absent sample of which the present one has the higher logit; equal
    logits count half (Mann and Whitney 1947).

    Args:
        logits: [n].
        present: bool [n].
        weights: [B, n].
    """
    absent = np.flatnonzero(~present)
    absent = absent[np.argsort(logits[absent], kind="stable")]
    below = np.zeros((len(weights), len(absent) + 1))
    np.cumsum(weights[:, absent], axis=1, out=below[:, 1:])
    own = weights[:, present]
    low, high = (np.searchsorted(logits[absent], logits[present], side) for side in ("left", "right"))
    beaten = (own * (below[:, low] + below[:, high])).sum(axis=1) / 2
    pairs = own.sum(axis=1) * below[:, -1]
    return np.divide(beaten, pairs, out=np.full(len(weights), 0.5), where=pairs > 0)


def _areas(logits: np.ndarray, present: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Areas [B, K] of all factors."""
    columns = zip(logits.T, present.T, strict=True)
    return np.stack([area_under_curve(one, label, weights) for one, label in columns], axis=1)
