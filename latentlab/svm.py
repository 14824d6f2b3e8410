"""Many linear SVMs at once: one per attribute, each on its own subset of the samples."""

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

from latentlab.errors import UsageError
from latentlab.progress import Progress, silent
from latentlab.randomness import derive_seed

if TYPE_CHECKING:
    import torch

    from latentlab.distributed import Team
    from latentlab.newton import Rows

Solver = Literal["newton", "liblinear", "liblinear-dual"]
C = 1.0
LIBLINEAR_MAX_ITER = 1000
_BYTES_PER_VALUE = 8 + 16  # float64 features, and liblinear's own copy of (index, value) pairs
_MEMORY = 8 * 2**30
_ROWS_AT_A_TIME = 8192


@dataclass(frozen=True)
class LinearSVMs:
    """Hyperplanes of A attributes in D dimensions.

    Attributes:
        coef: float64 [A, D], the normals; they point to where the attribute is present.
        intercept: float64 [A].
        fitted: bool [A]; false where the samples were all of one class, with zeros for the hyperplane.
        converged: bool [A]; false where the solver stopped at its limit of iterations (or was not run).
        iterations: int [A].
        solver: Which found them.
    """

    coef: np.ndarray
    intercept: np.ndarray
    fitted: np.ndarray
    converged: np.ndarray
    iterations: np.ndarray
    solver: Solver

    def predict(self, x: np.ndarray, attribute: int) -> np.ndarray:
        """Whether the attribute is predicted present: features [N, D] -> bool [N] (decision > 0)."""
        decision = np.asarray(x, np.float64) @ self.coef[attribute] + self.intercept[attribute]
        return np.asarray(decision > 0)

    def predict_all(self, x: "Rows") -> np.ndarray:
        """Which attributes are predicted present: features [N, D], in memory or on the disk -> bool [N, A]."""
        found = np.empty((x.shape[0], len(self.coef)), bool)
        for start in range(0, len(found), _ROWS_AT_A_TIME):
            rows = slice(start, start + _ROWS_AT_A_TIME)
            found[rows] = np.asarray(x[rows], np.float64) @ self.coef.T + self.intercept > 0
        return found


def fit_linear_svms(
    x: "Rows | np.ndarray",
    labels: np.ndarray,
    keep: Sequence[np.ndarray],
    *,
    solver: Solver = "newton",
    seed: int = 0,
    device: "torch.device | str" = "cpu",
    team: "Team | None" = None,
    progress: Progress = silent,
) -> LinearSVMs:
    """Fit an L2-regularised linear SVM with squared hinge loss, C = 1 and regularised intercept per attribute.

    Args:
        x: Features [N, D] in memory, or, with "newton", anything that gives its rows in slices (`LatentStore.rows`),
            which is then read block by block.
        labels: bool [N, A], whether the attribute is present.
        keep: Per attribute, the indices of the samples to fit on.
        solver: "newton" solves for all attributes at once, to convergence (`latentlab.newton`). "liblinear" is
            scikit-learn's LinearSVC as it is today (dual="auto": the primal, deterministic, where there are at least
            as many samples as dimensions). "liblinear-dual" is the default of 2018, coordinate descent in the dual
            with 1000 iterations, which often stops before it has converged.
        seed: Decides the order of the dual solver's steps.
        device: Where "newton" computes.
        team: The processes that share the rows of "newton"; the others' fits are repeated by each.
        progress: Told how many attributes are done.

    Raises:
        UsageError: the solver is unknown, or its data are not in memory.
        DataError: the features are too large for float32.
    """
    if solver not in get_args(Solver):
        raise UsageError(f"solver is {solver!r}; it must be one of {', '.join(get_args(Solver))}.")
    if solver == "newton":
        return _newton(x, labels, keep, device=device, team=team, progress=progress)
    if not isinstance(x, np.ndarray):
        raise UsageError(f"solver {solver} needs the latents in memory; newton reads them in blocks.")
    return _liblinear(x, labels, keep, solver=solver, seed=seed, progress=progress)


def most_iterations(solver: Solver) -> int:
    """After how many iterations a solver gives up."""
    if solver == "newton":
        from latentlab import newton

        return newton.MAX_ITER
    return LIBLINEAR_MAX_ITER


def _newton(x: Any, labels: np.ndarray, keep: Sequence[np.ndarray], **how: Any) -> LinearSVMs:
    from latentlab import newton

    signs = np.zeros(labels.shape, np.int8)
    for attribute, rows in enumerate(keep):
        signs[rows, attribute] = np.where(labels[rows, attribute], 1, -1)
    found = newton.solve(x, signs, c=C, **how)
    return LinearSVMs(
        coef=found.weights[:, :-1],
        intercept=found.weights[:, -1],
        fitted=np.asarray((signs > 0).any(axis=0) & (signs < 0).any(axis=0)),
        converged=found.converged,
        iterations=found.iterations,
        solver="newton",
    )


def _liblinear(
    x: np.ndarray, labels: np.ndarray, keep: Sequence[np.ndarray], *, solver: Solver, seed: int, progress: Progress
) -> LinearSVMs:
    """LinearSVC per attribute, in parallel threads as far as 8 GiB for the copies of the features allow.

    liblinear runs without the interpreter's lock, and each fit copies only its own subset. Dual solutions draw from
    one random stream of the whole process, so they are found one after another to stay reproducible.
    """
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
    return _collect(fits, dims, solver)


def _fit(x: np.ndarray, labels: np.ndarray, *, solver: Solver, seed: int) -> LinearSVC | None:
    """One fit, or None where there is only one class."""
    if labels.all() or not labels.any():
        return None
    dual = True if solver == "liblinear-dual" else "auto"
    model = LinearSVC(C=C, dual=dual, max_iter=LIBLINEAR_MAX_ITER, random_state=seed % 2**32)
    return model.fit(np.ascontiguousarray(x, np.float64), labels)


def _threads(keep: Sequence[np.ndarray], dims: int) -> int:
    largest = max((len(rows) for rows in keep), default=1) * dims * _BYTES_PER_VALUE
    return max(1, min(os.cpu_count() or 1, len(keep), _MEMORY // max(largest, 1)))


def _collect(fits: Sequence[LinearSVC | None], dims: int, solver: Solver) -> LinearSVMs:
    zeros = np.zeros(dims)
    iterations = np.array([0 if model is None else int(np.max(model.n_iter_)) for model in fits])
    return LinearSVMs(
        coef=np.array([zeros if model is None else model.coef_[0] for model in fits]).reshape(-1, dims),
        intercept=np.array([0.0 if model is None else float(model.intercept_[0]) for model in fits]),
        fitted=np.array([model is not None for model in fits], bool),
        converged=np.array([model is not None for model in fits], bool) & (iterations < LIBLINEAR_MAX_ITER),
        iterations=iterations,
        solver=solver,
    )
