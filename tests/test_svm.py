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


@pytest.mark.parametrize(("solver", "dual"), [("newton", "auto"), ("liblinear", "auto"), ("liblinear-dual", True)])
def test_every_fit_equals_a_linear_svc_on_its_own_subset(problem, solver, dual):
    x, labels, keep = problem
    svms = fit_linear_svms(x, labels, keep, solver=solver)
    for attribute in (0, 1):
        rows = keep[attribute]
        alone = LinearSVC(dual=dual, random_state=0, max_iter=100_000).fit(x[rows], labels[rows, attribute])
        agreement = np.mean(svms.predict(x, attribute) == alone.predict(x))
        assert agreement > 0.99
        if solver != "liblinear-dual":
            np.testing.assert_allclose(svms.coef[attribute], alone.coef_[0], rtol=1e-3, atol=1e-4)
    assert np.mean(svms.predict(x, 0) == labels[:, 0]) > 0.97


@pytest.mark.parametrize("solver", ["newton", "liblinear", "liblinear-dual"])
def test_fits_are_reproducible(problem, solver):
    first, second = (fit_linear_svms(*problem, solver=solver, seed=5) for _ in range(2))
    assert np.array_equal(first.coef, second.coef)
    assert np.array_equal(first.intercept, second.intercept)


@pytest.mark.parametrize("solver", ["newton", "liblinear"])
def test_one_class_is_reported_and_not_fitted(problem, solver):
    svms = fit_linear_svms(*problem, solver=solver)
    assert svms.iterations[2] == 0 < svms.iterations[0]
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


@pytest.mark.parametrize("solver", ["newton", "liblinear"])
def test_progress_is_told(problem, solver):
    told = []
    fit_linear_svms(*problem, solver=solver, progress=lambda done, total, note="": told.append((done, total)))
    assert told == sorted(told)
    assert told[-1][1] == 3
    assert told[-1][0] == 3 if solver == "liblinear" else 2


def test_predictions_of_all_attributes_are_those_of_each(problem):
    x, labels, keep = problem
    svms = fit_linear_svms(x, labels, keep)
    said = svms.predict_all(x)
    assert said.shape == labels.shape
    for attribute in range(3):
        assert np.array_equal(said[:, attribute], svms.predict(x, attribute))


def test_what_cannot_be_fitted_is_refused(problem):
    with pytest.raises(UsageError, match="solver is 'sgd'; it must be one of newton, liblinear, liblinear-dual"):
        fit_linear_svms(*problem, solver="sgd")
    x, labels, keep = problem

    class Elsewhere:
        shape = x.shape

        def __getitem__(self, rows):
            return x[rows]

    with pytest.raises(UsageError, match="solver liblinear needs the latents in memory"):
        fit_linear_svms(Elsewhere(), labels, keep, solver="liblinear")
    assert np.array_equal(fit_linear_svms(Elsewhere(), labels, keep).coef, fit_linear_svms(*problem).coef)
