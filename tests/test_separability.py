from pathlib import Path

import h5py
import numpy as np
import pytest

from latentlab.errors import DataError, StoreError, UsageError
from latentlab.metrics.entropy import conditional_entropy, entropy
from latentlab.metrics.separability import linear_separability, most_confident, separability_results
from latentlab.store import LatentStore

REFERENCE = Path(__file__).parent / "reference"


@pytest.fixture(scope="module")
def official():
    with np.load(REFERENCE / "ls_problem.npz") as file:
        return dict(file)


def problem(count=2000, dims=4, attributes=3, *, noise=0.0, seed=0):
    """Latents, and logits that are linear in them up to noise."""
    rng = np.random.default_rng(seed)
    latents = rng.normal(size=(count, dims)).astype(np.float32)
    logits = latents @ rng.normal(size=(dims, attributes)) + noise * rng.normal(size=(count, attributes))
    return latents, logits.astype(np.float32)


def store_of(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values
    return LatentStore.open(path)


# ------------------------------------------------------------------------------------------- official numbers


def test_entropies_equal_the_official_ones():
    with np.load(REFERENCE / "conditional_entropy.npz") as file:
        np.testing.assert_allclose(conditional_entropy(file["tables"]), file["conditional_entropy"], atol=2e-7)
        np.testing.assert_allclose(entropy(file["tables"].reshape(-1, 4)), file["entropy"], atol=2e-7)


def test_pruning_equals_the_official_one(official):
    for logits, kept in zip(official["logits"].T, official["kept_indices"], strict=True):
        assert np.array_equal(most_confident(logits, 2000, "stylegan"), kept)


@pytest.mark.parametrize(("space", "column"), [("z", 0), ("w", 1)])
def test_the_stylegan_protocol_reproduces_the_official_score(official, space, column):
    score = linear_separability(official[f"latents_{space}"], official["logits"], protocol="stylegan", bootstrap=50)
    found = [row["conditional_entropy_bits"] for row in score.attributes]
    np.testing.assert_allclose(found, official["conditional_entropies"][:, column], atol=2e-7)
    assert score.score == pytest.approx(float(official[f"score_{space}"]), rel=1e-6)
    accuracy = official["tables"][:, column, [0, 1], [0, 1]].sum(axis=1)
    shares = official["tables"][:, column, :, 0].sum(axis=1)
    for row, right, share in zip(score.attributes, accuracy, shares, strict=True):
        assert row["share_positive"] == pytest.approx(share)
        assert row["accuracy"] is None or row["accuracy"] == pytest.approx(right)
    assert score.num_valid == 7
    assert "counted as entropy 0" in score.attributes[5]["reason"]


@pytest.mark.parametrize(("space", "value"), [("z", 6.653810), ("w", 6.604836)])
def test_the_default_protocol_ranks_by_log_odds_and_leaves_one_class_out(official, space, value):
    score = linear_separability(official[f"latents_{space}"], official["logits"], bootstrap=50)
    assert score.score == pytest.approx(value, abs=2e-6)
    assert score.num_valid == 6
    assert not score.attributes[5]["valid"]
    assert score.attributes[5]["conditional_entropy_bits"] is None
    assert "one class" in score.attributes[5]["reason"]


# -------------------------------------------------------------------------- perfect, useless, degenerate, direction


def test_separable_attributes_score_one():
    score = linear_separability(*problem())
    assert score.score == pytest.approx(1, abs=0.05)
    assert all(row["converged"] and row["accuracy"] > 0.99 for row in score.attributes)


def test_random_labels_score_two_to_the_number_of_attributes():
    latents, _ = problem(5000)
    logits = np.random.default_rng(1).normal(size=(5000, 3))
    assert linear_separability(latents, logits).score == pytest.approx(8, rel=0.03)


def test_the_more_noise_the_larger_the_score():
    scores = [linear_separability(*problem(noise=noise), bootstrap=50).score for noise in (0.1, 1, 3, 10)]
    assert scores == sorted(scores)
    assert scores[0] * 1.5 < scores[-1]


def test_an_attribute_and_its_opposite_score_the_same():
    latents, logits = problem(noise=1)
    score, opposite = (linear_separability(latents, sign * logits, bootstrap=50).score for sign in (1, -1))
    assert score == pytest.approx(opposite, rel=1e-6)


def test_all_of_one_class_is_an_error_by_default_and_perfect_by_the_official_rule():
    latents, logits = problem()
    with pytest.raises(DataError, match="no attribute is valid"):
        linear_separability(latents, np.abs(logits) + 1)
    score = linear_separability(latents, np.abs(logits) + 1, protocol="stylegan", bootstrap=50)
    assert score.score == 1
    assert score.ci95 == (1, 1)


def test_only_the_confident_half_counts():
    latents, logits = problem(noise=0)
    unsure = np.abs(logits) < np.median(np.abs(logits), axis=0)
    logits[unsure] *= -1e-3  # wrong labels, but with little confidence
    assert linear_separability(latents, logits).score < 1.1
    assert linear_separability(latents, logits, keep_fraction=1.0).score > 3


def test_ties_keep_sample_order():
    logits = np.array([20, -30, 1, 40, -25], np.float32)
    assert most_confident(logits, 3, "stylegan").tolist() == [0, 1, 3]
    assert most_confident(logits, 3, "log-odds").tolist() == [3, 1, 4]
    assert most_confident(np.ones(4), 2, "log-odds").tolist() == [0, 1]


def test_intervals_hold_the_value_shrink_with_samples_and_repeat():
    few, many = (linear_separability(*problem(count, noise=2)) for count in (500, 8000))
    for score in (few, many):
        assert score.ci95[0] < score.score < score.ci95[1]
        for row in score.attributes:
            assert row["ci95"][0] <= row["conditional_entropy_bits"] <= row["ci95"][1]
    assert np.ptp(many.ci95) < 0.5 * np.ptp(few.ci95)
    assert linear_separability(*problem(500, noise=2)).ci95 == few.ci95
    assert linear_separability(*problem(500, noise=2), seed=1).ci95 != few.ci95


# ------------------------------------------------------------------------------------------------- wrong input


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"num_keep": 1}, UsageError, "at least 2"),
        ({"num_keep": 2001}, UsageError, "2001 of 2000"),
        ({"keep_fraction": 0.0}, UsageError, "keep_fraction is 0.0"),
        ({"protocol": "other"}, UsageError, "latentlab, stylegan"),
        ({"attributes": ["one"]}, UsageError, "1 attributes are named"),
    ],
)
def test_wrong_arguments_are_named(change, error, message):
    with pytest.raises(error, match=message):
        linear_separability(*problem(), **change)


def test_arrays_that_do_not_fit_are_named():
    latents, logits = problem()
    with pytest.raises(DataError, match="same N"):
        linear_separability(latents[:-1], logits)
    latents[17, 2] = np.nan
    with pytest.raises(DataError, match=r"latents are not finite .* row 17"):
        linear_separability(latents, logits)


# ------------------------------------------------------------------------------------------------------- stores


def test_results_of_a_store_carry_their_protocol(tmp_path):
    latents, logits = problem(noise=1)
    with store_of(tmp_path / "run.h5", z=latents, w=latents[:, :2], logits=logits) as store:
        z, w = separability_results(store, bootstrap=50)
    assert (z.metric, w.metric) == ("ls_z", "ls_w")
    assert z.value == linear_separability(latents, logits, bootstrap=50).score
    assert w.value > z.value
    assert z.protocol["num_keep"] == 1000
    assert z.protocol["classifiers"]["sha256"] == "unknown"
    assert set(z.details["attributes"][0]) == {
        "name", "valid", "reason", "conditional_entropy_bits", "ci95", "entropy_bits", "accuracy", "share_positive",
        "converged", "iterations", "information",
    }  # fmt: skip
    assert z.model_validate_json(z.model_dump_json()) == z


def test_scores_over_different_attributes_are_not_comparable(tmp_path):
    latents, logits = problem(noise=1)
    partly = logits.copy()
    partly[:, 0] = 5
    with store_of(tmp_path / "a.h5", z=latents, logits=logits) as store:
        (whole,) = separability_results(store, bootstrap=50)
    with store_of(tmp_path / "b.h5", z=latents, logits=partly) as store:
        (part,) = separability_results(store, bootstrap=50)
    assert part.details["num_valid"] == 2
    assert not whole.comparable_with(part)


def test_stores_that_lack_something_are_named(tmp_path):
    latents, logits = problem()
    with (
        store_of(tmp_path / "a.h5", z=latents) as store,
        pytest.raises(StoreError, match=r"lacks logits .*--classifiers"),
    ):
        separability_results(store)
    with store_of(tmp_path / "b.h5", z=latents, logits=logits) as store:
        assert [result.metric for result in separability_results(store, bootstrap=50)] == ["ls_z"]
        with pytest.raises(StoreError, match="lacks w"):
            separability_results(store, spaces=["z", "w"])
    latents[3, 0] = np.nan
    with store_of(tmp_path / "c.h5", z=latents, logits=logits) as store, pytest.raises(StoreError, match="row 3"):
        separability_results(store)


def test_w_that_is_only_normalised_z_is_not_measured_unasked(tmp_path):
    latents, logits = problem()
    with h5py.File(tmp_path / "run.h5", "w") as file:
        file["z"], file["w"], file["logits"] = latents, latents, logits
        file.attrs["has_mapping"] = False
    with LatentStore.open(tmp_path / "run.h5") as store:
        assert [result.metric for result in separability_results(store, bootstrap=50)] == ["ls_z"]
