"""Temperature scaling (Guo et al. 2017): one positive divisor of the log-odds of each attribute."""

import numpy as np
from scipy.optimize import minimize_scalar

from attribute_classifiers.scoring import FEWEST

BOUND = 32.0


def fit_temperatures(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """`fit_temperature` of every column of logits and labels [N, A]; float64 [A]."""
    return np.array([fit_temperature(*columns) for columns in zip(logits.T, labels.T, strict=True)])


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The T in [1/32, 32] with the lowest log loss of logits / T (Guo et al. 2017, section 4.2).

    The loss is convex in 1 / T, so it has one minimum. T stays 1 where images cannot say what it should be: fewer than
    10 are of the rarer class; all are on the right side of zero, so that the loss would fall without end as T goes to
    0; or the loss gained over T = 1 is less than its standard error, so that it may be chance. Logits that say nothing,
    or the opposite of the truth, get 32: a probability close to one half.

    Args:
        logits: [N] log-odds.
        labels: [N], -1 or 1.
    """
    margins = np.where(labels > 0, logits, -logits).astype(np.float64)
    if min((labels > 0).sum(), (labels <= 0).sum()) < FEWEST or (margins > 0).all():
        return 1.0

    def losses(log_temperature: float) -> np.ndarray:
        return np.logaddexp(0, -margins * np.exp(-log_temperature))

    limit = np.log(BOUND)
    best = minimize_scalar(
        lambda log_temperature: float(losses(log_temperature).mean()),
        bounds=(-limit, limit),
        method="bounded",
        options={"xatol": 1e-6},
    ).x
    gained = losses(0.0) - losses(best)
    if gained.mean() < gained.std() / np.sqrt(len(gained)):
        return 1.0
    return float(np.exp(best))
