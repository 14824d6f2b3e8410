"""The solver for all attributes at once: the same hyperplanes as LinearSVC, wherever the rows are."""

import json

import h5py
import numpy as np
import pytest
from processes import finish, start
from sklearn.svm import LinearSVC

from latentlab import newton
from latentlab.errors import DataError
from latentlab.store import LatentStore
from latentlab.svm import fit_linear_svms

ROWS, DIMS = 20_000, 32


def data(name):
    """Features [N, D] and labels [N] of one kind of problem."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, DIMS)).astype(np.float32)
    told = x @ rng.normal(size=DIMS) / DIMS**0.5
    noisy = told + 0.5 * rng.normal(size=ROWS)
    if name == "ill-conditioned":
        x[:, 3] *= 1000
    if name == "correlated":
        x = (x @ (rng.normal(size=(DIMS, DIMS)) * np.logspace(0, -2, DIMS))).astype(np.float32)
    if name == "wide spectrum":
        x = ((x * np.logspace(0, -3, DIMS)) @ np.linalg.qr(rng.normal(size=(DIMS, DIMS)))[0]).astype(np.float32)
        x += 2
    if name == "far from the origin":
        x += 300
    if name == "dependent":
        x[:, DIMS // 2 :] = 3 * x[:, : DIMS // 2]
    if name == "separable":
        wide = np.abs(told) > 0.3
        return x[wide], told[wide] > 0
    if name == "unbalanced":
        return x, noisy > np.quantile(noisy, 0.995)
    if name == "meaningless":
        return x, rng.random(ROWS) > 0.5
    return x, noisy > 0.2


def planes(x, labels, **how):
    svms = fit_linear_svms(x, labels[:, None], [np.arange(len(labels))], **how)
    assert svms.converged.all()
    return np.append(svms.coef[0], svms.intercept[0])


@pytest.mark.parametrize(
    "name",
    [
        "well-conditioned", "ill-conditioned", "unbalanced", "separable", "correlated", "wide spectrum",
        "far from the origin", "dependent", "meaningless",
    ],
)  # fmt: skip
def test_hyperplanes_are_those_of_linear_svc(name):
    x, labels = data(name)
    found = planes(x, labels)
    model = LinearSVC(dual=False, tol=1e-9, max_iter=100_000).fit(x.astype(np.float64), labels)
    right = np.append(model.coef_[0], model.intercept_)
    assert np.linalg.norm(found - right) < 1e-3 * np.linalg.norm(right)
    said = x @ found[:-1] + found[-1] > 0
    assert np.mean(said == model.predict(x)) >= 0.9999


@pytest.mark.parametrize("name", ["well-conditioned", "unbalanced", "meaningless"])
def test_hyperplanes_are_those_that_linear_svc_finds_by_itself(name):
    """With its own tolerance of 1e-4; on the other problems that leaves LinearSVC up to 1e-2 from its optimum."""
    x, labels = data(name)
    found = planes(x, labels)
    model = LinearSVC(dual=False).fit(x.astype(np.float64), labels)
    assert np.linalg.norm(found[:-1] - model.coef_[0]) < 1e-3 * np.linalg.norm(model.coef_[0])
    assert np.mean((x @ found[:-1] + found[-1] > 0) == model.predict(x)) >= 0.9999


def test_gradients_vanish_and_say_so():
    x, labels = data("well-conditioned")
    signs = np.where(labels, 1, -1).astype(np.int8)[:, None]
    found = newton.solve(x, signs)
    ones = np.column_stack([x, np.ones(len(x))]).astype(np.float64)
    w = found.weights[0]
    slack = np.maximum(0, 1 - signs[:, 0] * (ones @ w))
    gradient = w - 2 * ones.T @ (slack * signs[:, 0])
    first = np.linalg.norm(2 * ones.T @ signs[:, 0])
    assert np.linalg.norm(gradient) < 1e-5 * first
    assert found.gradient[0] < 1e-5
    assert found.converged[0]


def test_labels_whose_best_hyperplane_is_none():
    """Balanced labels at the corners of a square: the gradient at 0 is 0, for others it is not."""
    x = np.tile(np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], np.float32), (100, 1))
    labels = np.stack([x[:, 0] * x[:, 1] > 0, x[:, 0] > 0], axis=1)
    svms = fit_linear_svms(x, labels, [np.arange(400)] * 2)
    assert svms.fitted.all()
    assert svms.converged.all()
    assert not svms.coef[0].any()
    assert svms.coef[1, 0] > 0.5


def test_attributes_are_solved_in_batches(monkeypatch):
    x, labels = data("unbalanced")
    shares = np.linspace(0.1, 0.9, 7)
    labels = x[:, :1] + 0.5 * x[:, 1:2] > np.quantile(x[:, 0], shares)
    whole = fit_linear_svms(x, labels, [np.arange(ROWS)] * 7)
    monkeypatch.setattr(newton.steps, "MOST_MEMORY", 2 * 8 * (DIMS + 1) ** 2)
    parts = fit_linear_svms(x, labels, [np.arange(ROWS)] * 7)
    assert parts.converged.all()
    np.testing.assert_allclose(parts.coef, whole.coef, atol=1e-4)


def test_attributes_do_not_disturb_each_other():
    """Each has its own rows, of which another may have none, few or all."""
    x, labels = data("well-conditioned")
    rng = np.random.default_rng(1)
    flipped = np.stack([labels, ~labels, labels ^ (rng.random(ROWS) < 0.2), np.ones(ROWS, bool)], axis=1)
    keep = [np.arange(ROWS), np.arange(0, ROWS, 2), rng.permutation(ROWS)[:3000], np.arange(100)]
    together = fit_linear_svms(x, flipped, keep)
    for attribute in range(4):
        alone = fit_linear_svms(x, flipped[:, [attribute]], [keep[attribute]])
        np.testing.assert_allclose(together.coef[attribute], alone.coef[0], rtol=1e-4, atol=1e-7)
    assert together.fitted.tolist() == together.converged.tolist() == [True, True, True, False]
    np.testing.assert_allclose(together.coef[0], -fit_linear_svms(x, ~labels[:, None], keep[:1]).coef[0], rtol=1e-4)


def test_large_c_and_small_c():
    """The penalty counts: coefficients shrink with C, and for C to 0 they are 2 C times the sum of signed features."""
    x, labels = data("well-conditioned")
    signs = np.where(labels, 1, -1).astype(np.int8)[:, None]
    lengths = [np.linalg.norm(newton.solve(x, signs, c=c).weights) for c in (1e-9, 1e-6, 1e-3, 1.0)]
    assert lengths == sorted(lengths)
    tiny = newton.solve(x, signs, c=1e-9).weights[0, :-1]
    np.testing.assert_allclose(tiny, 2e-9 * (signs.T.astype(np.float64) @ x)[0], rtol=1e-3, atol=1e-9)


def test_rows_of_a_store_give_the_same_as_rows_in_memory(tmp_path, monkeypatch):
    x, labels = data("correlated")
    with h5py.File(tmp_path / "run.h5", "w") as file:
        file["z"], file["w"], file["logits"] = x, x, labels[:, None].astype(np.float32)
    in_memory = planes(x, labels)
    with LatentStore.open(tmp_path / "run.h5") as store:
        assert np.array_equal(planes(store.rows("w"), labels), in_memory)
        reads = []
        monkeypatch.setattr(newton.sums, "_fits", lambda size, device: bool(reads.append(size)))
        assert np.array_equal(planes(store.rows("w"), labels), in_memory)
    assert reads == [x.nbytes]


SCRIPT = """
import json, sys
import numpy as np
import torch
from latentlab.distributed import team
from latentlab.svm import fit_linear_svms
with np.load(sys.argv[1]) as file, team(torch.device("cpu")) as those:
    svms = fit_linear_svms(file["x"], file["labels"], list(file["keep"]), team=those)
    if those.leads:
        found = {"coef": svms.coef.tolist(), "size": those.size}
        open(sys.argv[2], "w").write(json.dumps(found))
"""


def test_processes_that_share_the_rows_find_the_same(tmp_path):
    x, labels = data("correlated")
    labels = np.stack([labels, np.random.default_rng(0).random(ROWS) > 0.9], axis=1)
    np.savez(tmp_path / "problem.npz", x=x, labels=labels, keep=np.stack([np.arange(ROWS)] * 2))
    (tmp_path / "fit.py").write_text(SCRIPT)
    finish(start(tmp_path / "fit.py", tmp_path / "problem.npz", tmp_path / "found.json", processes=2))
    found = json.loads((tmp_path / "found.json").read_text())
    alone = fit_linear_svms(x, labels, [np.arange(ROWS)] * 2)
    assert found["size"] == 2
    assert np.linalg.norm(found["coef"] - alone.coef) < 1e-5 * np.linalg.norm(alone.coef)
    said = [x @ np.transpose(coef) > 0 for coef in (found["coef"], alone.coef)]
    assert np.array_equal(*said)


@pytest.mark.parametrize("scale", [1e20, 1e38])
def test_features_beyond_float32_are_refused(scale):
    x, labels = data("well-conditioned")
    with pytest.raises(DataError, match="exceed what float32 holds"):
        planes((x[:500].clip(-2, 2) * np.float32(scale)), labels[:500])
