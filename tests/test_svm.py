import warnings

import numpy as np
import pytest
from sklearn.svm import LinearSVC

from latentlab.errors import UsageError
from latentlab.svm import fit_linear_svms


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 6)).astype(np.float32)
    labels = np.stack([x[:, 0] > 0.1, x @ rng.normal(size=6) + rng.normal(size=500) > 0, np.ones(500, bool)], axis=1)
    keep = [np.arange(0, 400), np.arange(100, 500), np.arange(10, 410)]
    return x, labels, keep


@pytest.mark.parametrize(("solver", "dual"), [("liblinear", "auto"), ("liblinear-dual", True)])
def test_every_fit_equals_a_linear_svc_on_its_own_subset(problem, solver, dual):
    x, labels, keep = problem
    svms = fit_linear_svms(x, labels, keep, solver=solver)
    for attribute in (0, 1):
        rows = keep[attribute]
        alone = LinearSVC(dual=dual, random_state=0, max_iter=100_000).fit(x[rows], labels[rows, attribute])
        agreement = np.mean(svms.predict(x, attribute) == alone.predict(x))
        assert agreement > 0.99
        if solver == "liblinear":
            np.testing.assert_allclose(svms.coef[attribute], alone.coef_[0], rtol=1e-4)
    assert np.mean(svms.predict(x, 0) == labels[:, 0]) > 0.97


@pytest.mark.parametrize("solver", ["liblinear", "liblinear-dual"])
def test_fits_are_reproducible(problem, solver):
    first, second = (fit_linear_svms(*problem, solver=solver, seed=5) for _ in range(2))
    assert np.array_equal(first.coef, second.coef)
    assert np.array_equal(first.intercept, second.intercept)


def test_one_class_is_reported_and_not_fitted(problem):
    svms = fit_linear_svms(*problem)
    assert svms.fitted.tolist() == svms.converged.tolist() == [True, True, False]
    assert not svms.coef[2].any()


def test_a_solver_that_did_not_converge_is_reported_without_a_warning():
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(400, 30)) * 100, rng.random((400, 1)) > 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svms = fit_linear_svms(x, labels, [np.arange(400)], solver="liblinear-dual")
    assert svms.fitted.all()
    assert not svms.converged.any()


def test_progress_is_told_and_unknown_solvers_are_refused(problem):
    told = []
    fit_linear_svms(*problem, progress=lambda done, total, note="": told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]
    with pytest.raises(UsageError, match="solver is 'sgd'; it must be one of liblinear, liblinear-dual"):
        fit_linear_svms(*problem, solver="sgd")
