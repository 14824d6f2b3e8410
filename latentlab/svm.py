"""Many linear SVMs at once: one per attribute, each on its own subset of the samples."""

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

from latentlab.errors import UsageError
from latentlab.progress import Progress, silent
from latentlab.randomness import derive_seed

Solver = Literal["liblinear", "liblinear-dual"]
C = 1.0
MAX_ITER = 1000
_BYTES_PER_VALUE = 8 + 16  # float64 features, and liblinear's own copy of (index, value) pairs
_MEMORY = 8 * 2**30


@dataclass(frozen=True)
class LinearSVMs:
    """Hyperplanes of A attributes in D dimensions.

    Attributes:
        coef: float64 [A, D], the normals; they point to where the attribute is present.
        intercept: float64 [A].
        fitted: bool [A]; false where the samples were all of one class, with zeros for the hyperplane.
        converged: bool [A]; false where the solver stopped at its limit of iterations (or was not run).
    """

    coef: np.ndarray
    intercept: np.ndarray
    fitted: np.ndarray
    converged: np.ndarray

    def predict(self, x: np.ndarray, attribute: int) -> np.ndarray:
        """Whether the attribute is predicted present: features [N, D] -> bool [N] (decision > 0)."""
        decision = np.asarray(x, np.float64) @ self.coef[attribute] + self.intercept[attribute]
        return np.asarray(decision > 0)


def fit_linear_svms(
    x: np.ndarray,
    labels: np.ndarray,
    keep: Sequence[np.ndarray],
    *,
    solver: Solver = "liblinear",
    seed: int = 0,
    progress: Progress = silent,
) -> LinearSVMs:
    """Fit scikit-learn's LinearSVC per attribute: L2 penalty, squared hinge loss, C = 1, regularised intercept.

    Attributes are fitted in parallel threads (liblinear runs without the interpreter's lock) as far as 8 GiB for the
    copies of the features allow; each fit copies only its own subset. The dual solver draws from one random stream of
    the whole process, so it runs one fit after another to stay reproducible.

    Args:
        x: Features [N, D].
        labels: bool [N, A], whether the attribute is present.
        keep: Per attribute, the indices of the samples to fit on.
        solver: "liblinear" is LinearSVC as it is today (dual="auto": the primal, deterministic, where there are at
            least as many samples as dimensions); "liblinear-dual" is the default of 2018, coordinate descent in the
            dual with 1000 iterations, which often stops before it has converged.
        seed: Decides the order of the dual solver's steps.
        progress: Told after every attribute.

    Raises:
        UsageError: the solver is unknown.
    """
    if solver not in get_args(Solver):
        raise UsageError(f"solver is {solver!r}; it must be one of {', '.join(get_args(Solver))}.")
    num_attributes, dims = labels.shape[1], x.shape[1]

    def fit(attribute: int) -> LinearSVC | None:
        rows = keep[attribute]
        return _fit(x[rows], labels[rows, attribute], solver=solver, seed=derive_seed(seed, "svm", attribute))

    fewest = min((len(rows) for rows in keep), default=0)
    sequential = solver == "liblinear-dual" or fewest < dims
    with warnings.catch_warnings(), ThreadPoolExecutor(1 if sequential else _threads(keep, dims)) as pool:
        warnings.simplefilter("ignore", ConvergenceWarning)  # convergence is reported in the result
        fits = []
        for done, model in enumerate(pool.map(fit, range(num_attributes)), 1):
            fits.append(model)
            progress(done, num_attributes)
    return _collect(fits, dims)


def _fit(x: np.ndarray, labels: np.ndarray, *, solver: Solver, seed: int) -> LinearSVC | None:
    """One fit, or None where there is only one class."""
    if labels.all() or not labels.any():
        return None
    dual = True if solver == "liblinear-dual" else "auto"
    model = LinearSVC(C=C, dual=dual, max_iter=MAX_ITER, random_state=seed % 2**32)
    return model.fit(np.ascontiguousarray(x, np.float64), labels)


def _threads(keep: Sequence[np.ndarray], dims: int) -> int:
    largest = max((len(rows) for rows in keep), default=1) * dims * _BYTES_PER_VALUE
    return max(1, min(os.cpu_count() or 1, len(keep), _MEMORY // max(largest, 1)))


def _collect(fits: Sequence[LinearSVC | None], dims: int) -> LinearSVMs:
    zeros = np.zeros(dims)
    return LinearSVMs(
        coef=np.array([zeros if model is None else model.coef_[0] for model in fits]).reshape(-1, dims),
        intercept=np.array([0.0 if model is None else float(model.intercept_[0]) for model in fits]),
        fitted=np.array([model is not None for model in fits], bool),
        converged=np.array([model is not None and int(np.max(model.n_iter_)) < MAX_ITER for model in fits], bool),
    )
