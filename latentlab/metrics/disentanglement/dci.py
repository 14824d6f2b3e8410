"""DCI (Eastwood and Williams 2018): what models that predict the factors from all latents say about the latents.

Per factor a model is fitted to the training rows; how much it relies on each latent gives a column of the importance
matrix R [D, K], and how well it predicts the test rows is the informativeness.
"""

import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso, LogisticRegression

from latentlab.metrics.bootstrap import draw_counts, weight_blocks
from latentlab.metrics.disentanglement.problem import Outcome, Problem, Step
from latentlab.metrics.entropy import entropy
from latentlab.randomness import derive_seed

Model = Literal["linear", "boosting"]
PENALTY = 0.2
"""Of the L1-penalised models, in deviations of the gradient that an uninformative latent has."""

TOLERANCE, MAX_ITER = 1e-3, 1000
INTERCEPT_SCALING = 100.0  # liblinear penalises the intercept, over this
BOOSTING = {"n_estimators": 100, "learning_rate": 0.1, "max_depth": 3, "subsample": 0.25}
FEWEST_LATENTS = 16
"""Latents that a split chooses among, or the square root of their number where that is larger, or all."""


def dci_metrics(problem: Problem, model: Model, *, step: Step, seed: int = 0, bootstrap: int = 0) -> list[Outcome]:
    """Disentanglement, completeness, and informativeness as it is and above chance.

    The models are held fixed in the bootstrap. Informativeness is drawn over test rows, for all factors jointly;
    disentanglement over latents and completeness over factors, which are what each is a weighted mean over.
    """
    importance, predicted, converged = _fit_all(problem, model, step=step, seed=seed)
    count, truth = len(problem.train) + len(problem.test), problem.factors[problem.test]
    settings, details = settings_of(model), {"converged": bool(converged.all())}
    latents, factors = disentanglement(importance), completeness(importance)
    plain, above = informativeness(predicted, truth, problem.binary, np.ones((1, len(truth))))
    drawn_plain, drawn_above = _resampled_informativeness(problem, predicted, seed=seed, bootstrap=bootstrap)
    parts: dict[str, tuple[float, np.ndarray, dict[str, np.ndarray]]] = {
        "disentanglement": (latents[0] @ latents[1], _resampled_mean(*latents, seed=seed, bootstrap=bootstrap), {}),
        "completeness": (
            factors[0] @ factors[1],
            _resampled_mean(*factors, seed=seed, bootstrap=bootstrap),
            {"completeness": factors[0], "most_important_latent": importance.argmax(axis=0)},
        ),
        "informativeness": (plain.mean(), drawn_plain.mean(axis=1), {"informativeness": plain[0]}),
        "informativeness_above_chance": (above.mean(), drawn_above.mean(axis=1), {"above_chance": above[0]}),
    }
    return [
        Outcome(f"dci_{part}_{model}", float(value), drawn, count, settings, per_factor, details)
        for part, (value, drawn, per_factor) in parts.items()
    ]


def disentanglement(importance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each latent's disentanglement and its weight, [D] each, of non-negative importances [D, K], K at least 2.

    D_i = 1 - H_K(P_i) with P_ik = R_ik / sum_k R_ik and entropies to the base K; the weights are the latents' shares of
    all importance (Eastwood and Williams 2018, section 2), and 0 for all if there is none.
    """
    total = importance.sum(axis=1)
    weights = np.divide(total, total.sum(), out=np.zeros_like(total), where=total > 0)
    return np.where(total > 0, 1 - entropy(importance) / np.log2(importance.shape[1]), 0), weights


def completeness(importance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each factor's completeness and its weight, [K] each: `disentanglement` with latents and factors exchanged."""
    return disentanglement(importance.T)


def informativeness(
    predicted: np.ndarray, truth: np.ndarray, binary: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How well predictions fit under weightings of the rows, and how well above chance, [B, K] each.

    Of binary factors, accuracy, and 2 * balanced accuracy - 1 (Youden's J); of others R^2, for both.

    Args:
        predicted, truth: [n, K]; of binary factors 0 and 1.
        binary: bool [K].
        weights: [B, n].
    """
    right, present = predicted == truth, truth == 1
    total = weights.sum(axis=1, keepdims=True)
    positives, hits = weights @ present, weights @ (right & present)
    negatives, rejections = weights @ ~present, weights @ (right & ~present)
    residual, second = weights @ (truth - predicted) ** 2, weights @ truth**2
    with np.errstate(divide="ignore", invalid="ignore"):  # of the other kind of factor, or a resample without a class
        explained = 1 - residual / (second - (weights @ truth) ** 2 / total)
        accuracy, youden = (hits + rejections) / total, hits / positives + rejections / negatives - 1
    return np.where(binary, accuracy, explained), np.where(binary, np.nan_to_num(youden), explained)


def settings_of(model: Model) -> dict[str, Any]:
    """What decides a model's fit, for the protocol."""
    if model == "linear":
        solver = {"penalty": f"{PENALTY} s / sqrt(n)", "tolerance": TOLERANCE, "max_iter": MAX_ITER}
        return {"model": "L1 logistic regression and lasso", **solver}
    return {"model": "gradient boosting", **BOOSTING, "max_features": f"min(D, max({FEWEST_LATENTS}, sqrt D))"}


def _fit_all(problem: Problem, model: Model, *, step: Step, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Importances [D, K], predictions of the test rows [n, K], and whether each fit converged [K]."""
    fits = []
    for fit in _linear_fits(problem, seed) if model == "linear" else _boosting_fits(problem, seed):
        fits.append(fit)
        step()
    importance, predicted, converged = zip(*fits, strict=True)
    return np.stack(importance, axis=1), np.stack(predicted, axis=1), np.array(converged)


def _linear_fits(problem: Problem, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray, bool]]:
    """Absolute coefficients of L1-penalised models of standardised latents, predictions, and convergence.

    The penalty per sample is 0.2 s / sqrt(n), with s the factor's deviation: a fifth of the deviation that the gradient
    of an uninformative latent has. It keeps the coefficients of separable labels finite and most of the noise in: a
    penalty that removes the noise leaves single stray coefficients of latents that know nothing, each of which counts
    as perfectly disentangled. liblinear draws from one random stream of the process, so fits follow one another.
    """
    x, x_test = problem.standardised
    y = problem.factors[problem.train]
    unit = PENALTY / np.sqrt(len(x))
    for factor, binary in enumerate(problem.binary):
        column, deviation = y[:, factor], y[:, factor].std()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the result says so
            if binary:
                model = LogisticRegression(
                    l1_ratio=1.0,
                    C=1 / (unit * deviation * len(x)),
                    solver="liblinear",
                    intercept_scaling=INTERCEPT_SCALING,
                    tol=TOLERANCE,
                    max_iter=MAX_ITER,
                    random_state=derive_seed(seed, "dci-linear", factor) % 2**32,
                ).fit(x, column)
                predicted = model.predict(x_test)
            else:
                model = Lasso(alpha=unit, max_iter=MAX_ITER, precompute=True, tol=TOLERANCE)
                model.fit(x, (column - column.mean()) / deviation)
                predicted = model.predict(x_test) * deviation + column.mean()
        yield np.abs(model.coef_).ravel(), predicted, int(np.max(model.n_iter_)) < MAX_ITER


def _boosting_fits(problem: Problem, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray, bool]]:
    """Impurity-based importances of gradient-boosted trees and predictions, several factors at a time."""
    x, x_test = (np.asfortranarray(part, np.float32) for part in problem.standardised)
    y = problem.factors[problem.train]

    def fit(factor: int) -> tuple[np.ndarray, np.ndarray, bool]:
        kind = GradientBoostingClassifier if problem.binary[factor] else GradientBoostingRegressor
        features, number = _features_per_split(x.shape[1]), derive_seed(seed, "dci-boosting", factor) % 2**32
        model = kind(**BOOSTING, max_features=features, random_state=number).fit(x, y[:, factor])
        return model.feature_importances_, model.predict(x_test), True

    pool = ThreadPoolExecutor(min(os.cpu_count() or 1, y.shape[1]))
    try:
        yield from pool.map(fit, range(y.shape[1]))
    finally:
        pool.shutdown(cancel_futures=True)


def _features_per_split(dims: int) -> int:
    return min(dims, max(FEWEST_LATENTS, int(np.sqrt(dims))))


def _resampled_mean(values: np.ndarray, weights: np.ndarray, *, seed: int, bootstrap: int) -> np.ndarray:
    """Weighted means of resampled terms, [B]; 0 where no weight was drawn."""
    counts = np.array(list(draw_counts(len(values), bootstrap, seed=seed, stream="disentanglement/terms")))
    if not bootstrap:
        return np.empty(0)
    total = counts @ weights
    return np.divide(counts @ (values * weights), total, out=np.zeros(bootstrap), where=total > 0)


def _resampled_informativeness(
    problem: Problem, predicted: np.ndarray, *, seed: int, bootstrap: int
) -> tuple[np.ndarray, np.ndarray]:
    """Both kinds of informativeness, [B, K] each, of resampled test rows."""
    truth = problem.factors[problem.test]
    none = np.empty((0, truth.shape[1]))
    plain, above = [none], [none]
    for weights in weight_blocks(len(truth), bootstrap, seed=seed, stream="disentanglement/test"):
        block = informativeness(predicted, truth, problem.binary, weights)
        plain.append(block[0])
        above.append(block[1])
    return np.concatenate(plain), np.concatenate(above)
