from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from latentlab import newton
from latentlab.errors import DataError, DegenerateWarning, StoreError, UsageError
from latentlab.metrics.entropy import conditional_entropy, entropy
from latentlab.metrics.separability import (
    compare_stores,
    linear_separability,
    most_confident,
    separability_results,
)
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


# ------------------------------------------------------------------------------------------------- what it is worth


def test_information_is_the_share_of_the_entropy_that_the_answers_take_away():
    for row in linear_separability(*problem(noise=1), bootstrap=50).attributes:
        before, left = row["entropy_bits"], row["conditional_entropy_bits"]
        assert row["information"] == pytest.approx((before - left) / before)
        assert 0 < row["information"] < 1


@pytest.mark.parametrize("solver", ["newton", "liblinear"])
def test_solvers_agree(solver):
    score = linear_separability(*problem(noise=1), solver=solver, bootstrap=50)
    assert score.solver == solver
    assert score.score == pytest.approx(linear_separability(*problem(noise=1), bootstrap=50).score, rel=0.01)


def test_a_fit_that_did_not_converge_is_invalid_unless_the_official_protocol_counts_it():
    rng = np.random.default_rng(0)
    latents, logits = rng.normal(size=(400, 20)) * 100, rng.normal(size=(400, 2))
    latents[:, 0] = logits[:, 0] * 1e-3
    with pytest.raises(DataError, match="no attribute is valid: for each of the 2, the solver did not converge"):
        linear_separability(latents, logits, solver="liblinear-dual", bootstrap=50)
    score = linear_separability(latents, logits, protocol="stylegan", solver="liblinear-dual", bootstrap=50)
    assert score.num_valid == 2
    assert all("counted all the same" in row["reason"] for row in score.attributes)


def test_a_newton_fit_that_is_stopped_is_invalid(monkeypatch):
    monkeypatch.setattr(newton.steps, "MAX_ITER", 1)
    with pytest.raises(DataError, match="did not converge"):
        linear_separability(*problem(noise=1), bootstrap=50)


def test_held_out_samples_show_what_fitting_alone_makes():
    """Labels without any relation to the latents: the fitted half looks separable, the held-out one does not."""
    rng = np.random.default_rng(0)
    latents, logits = rng.normal(size=(400, 60)), rng.normal(size=(400, 2))
    score = linear_separability(latents, logits, held_out=0.3, permutations=3)
    assert score.score < 3.3
    assert score.held_out.score > 3.6
    assert score.held_out.ci95[0] < score.held_out.score
    assert score.know_nothing == pytest.approx(4, rel=0.02)
    assert len(score.permuted) == 3
    assert all(abs(permuted - score.score) < 0.5 for permuted in score.permuted)
    assert all(row["held_out_accuracy"] < row["accuracy"] for row in score.attributes)


@pytest.mark.parametrize("protocol", ["latentlab", "stylegan"])
def test_held_out_scores_that_do_not_exist_are_none(protocol):
    """A share so small that nothing is held out, or only samples of one class."""
    latents, logits = problem(noise=1)
    score = linear_separability(latents, logits, protocol=protocol, held_out=1e-9, bootstrap=50).held_out
    assert (score.score, score.ci95, score.fitted_score, score.num_valid) == (None, None, None, 0)
    logits[:, 0] = 5 + np.arange(2000)
    logits[:2, 0] *= -1000  # two samples without the attribute, among the most confident
    score = linear_separability(latents, logits, protocol=protocol, held_out=0.2, bootstrap=50, seed=1).held_out
    assert np.isnan(score.entropies[0]) == (protocol == "latentlab")
    assert score.num_valid == (2 if protocol == "latentlab" else 3)


def test_held_out_counts_what_did_not_converge_as_the_official_protocol_does():
    rng = np.random.default_rng(0)
    latents, logits = rng.normal(size=(400, 20)) * 100, rng.normal(size=(400, 2))
    how = {"protocol": "stylegan", "solver": "liblinear-dual", "held_out": 0.3, "bootstrap": 50}
    found = linear_separability(latents, logits, **how).held_out
    assert found.num_valid == 2
    assert found.score > 3


def test_refits_count_how_hyperplanes_vary():
    """With few samples per dimension the spread of scores over independent samples is what the refits say, not less."""
    scores, fixed, refitted = [], [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        latents = rng.normal(size=(1200, 40))
        logits = latents @ np.random.default_rng(99).normal(size=(40, 4)) + 8 * rng.normal(size=(1200, 4))
        score = linear_separability(latents, logits, refits=10, bootstrap=100)
        scores.append(np.log2(score.score))
        fixed.append(np.ptp(np.log2(score.ci95)) / 3.92)
        refitted.append(np.ptp(np.log2(score.ci95_of_refits)) / 4.52)
    assert np.mean(fixed) < 0.75 * np.mean(refitted)
    assert 0.6 < np.std(scores, ddof=1) / np.mean(refitted) < 1.6


def test_refits_go_on_where_one_class_is_left_and_say_where_the_solver_failed(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(600, 4))
    logits = np.column_stack([latents[:, 0] + 0.5 * rng.normal(size=600), -5 - rng.random(600)])
    logits[0, 1] = 20  # without its group, all are negative
    score = linear_separability(latents, logits, refits=10)
    assert score.num_valid == 2
    assert (score.refitted[:, 1] == 0).any()
    assert score.ci95_of_refits[0] < score.score < score.ci95_of_refits[1]
    fit = newton.solve

    def failing(*args, **how):
        found = fit(*args, **how)
        return replace(found, converged=found.converged & (np.arange(len(found.converged)) != 4))

    monkeypatch.setattr(newton, "solve", failing)
    with store_of(tmp_path / "a.h5", z=latents, logits=logits) as store:
        (result,) = separability_results(store, spaces=["z"], refits=10)
    assert result.details["refits"] == {"groups": 10, "failed": 1, "ci95": None}


def test_held_out_samples_of_what_is_separable_are_told_right():
    score = linear_separability(*problem(), held_out=0.2, permutations=1)
    assert score.held_out.score == pytest.approx(1, abs=0.1)
    assert score.permuted[0] > 7
    assert score.score == linear_separability(*problem()).score


def test_a_ratio_is_of_the_same_resamples_and_wider_than_nothing(tmp_path):
    latents, logits = problem(noise=1)
    with store_of(tmp_path / "run.h5", z=latents, w=latents, logits=logits) as store:
        z, w = separability_results(store, bootstrap=50)
    assert z.details["ratio_z_over_w"] == w.details["ratio_z_over_w"]
    ratio = z.details["ratio_z_over_w"]
    assert ratio["value"] == ratio["ci95"][0] == ratio["ci95"][1] == 1
    assert ratio["p_value"] == 1
    with store_of(tmp_path / "less.h5", z=latents[:, :2], w=latents, logits=logits) as store:
        z, w = separability_results(store, bootstrap=50)
    ratio = z.details["ratio_z_over_w"]
    assert ratio["value"] == pytest.approx(z.value / w.value)
    assert 1 < ratio["ci95"][0] < ratio["value"] < ratio["ci95"][1]
    assert ratio["num_attributes"] == 3


def test_a_curve_ends_at_the_score_and_begins_at_four_samples_per_dimension_or_a_hundred(tmp_path):
    latents, logits = problem(8000, 40, noise=6)
    with store_of(tmp_path / "run.h5", z=latents, logits=logits) as store:
        (z,) = separability_results(store, bootstrap=50, curve=True, held_out=0.2)
        with pytest.raises(UsageError, match="leave the number to keep out"):
            separability_results(store, bootstrap=50, curve=True, num_keep=100)
    curve = z.details["curve"]
    assert [point["num_samples"] for point in curve] == [500, 1000, 2000, 4000, 8000]
    assert curve[-1]["score"] == pytest.approx(z.value)
    assert curve[0]["score"] < curve[-1]["score"] < curve[0]["held_out_score"]
    assert all(point["num_attributes"] == 3 for point in curve)


# ------------------------------------------------------------------------------------------------------ two stores


def compared(tmp_path, first, second, **how):
    with store_of(tmp_path / "a.h5", **first) as one, store_of(tmp_path / "b.h5", **second) as other:
        return compare_stores(one, other, bootstrap=200, **how)


def test_a_difference_of_representations_is_larger_than_chance(tmp_path):
    latents, logits = problem(4000, noise=1)
    worse = {"z": latents, "w": latents[:, :2], "logits": logits}
    z, w = compared(tmp_path, {"z": latents, "w": latents, "logits": logits}, worse)
    assert (z.ratio, z.larger_than_chance, z.paired) == (1, False, True)
    assert w.ratio < w.ci95[1] < 1
    assert w.larger_than_chance
    assert w.p_value < 0.02
    assert w.scores[0] / w.scores[1] == pytest.approx(w.ratio)
    assert [row.difference < 0 for row in w.attributes] == [True] * 3
    assert w.same_classifiers is None  # files of other tools do not say who labelled


def test_other_samples_of_the_same_generator_differ_by_chance(tmp_path):
    latents, logits = problem(8000, noise=1)
    halves = [{"z": latents[rows], "logits": logits[rows]} for rows in (slice(0, 4000), slice(4000, None))]
    (z,) = compared(tmp_path, *halves)
    assert not z.paired
    assert not z.larger_than_chance
    assert z.ci95[0] < z.ratio < z.ci95[1]
    assert z.p_value > 0.05


def test_few_samples_per_dimension_need_refits_for_a_verdict(tmp_path):
    latents, logits = problem(800, 10, noise=1)
    worse = {"z": latents[:, :5], "logits": logits}
    (fixed,) = compared(tmp_path, {"z": latents, "logits": logits}, worse, refits=0)
    assert fixed.larger_than_chance is None
    (refitted,) = compared(tmp_path, {"z": latents, "logits": logits}, worse)
    assert refitted.larger_than_chance
    assert refitted.protocol["refits"] == 10
    assert refitted.ratio == pytest.approx(fixed.ratio)


def test_of_a_larger_store_the_first_samples_are_compared(tmp_path):
    latents, logits = problem(3000, noise=1)
    part = {"z": latents[:2000], "logits": logits[:2000]}
    (z,) = compared(tmp_path, {"z": latents, "logits": logits}, part)
    assert (z.ratio, z.paired, z.protocol["num_samples"]) == (1, True, 2000)


def test_stores_without_a_common_valid_attribute_cannot_be_compared(tmp_path):
    latents, logits = problem(noise=1)
    mute = np.abs(logits) + 1
    mute[:, 0], logits[:, 0] = logits[:, 0], 5
    with pytest.raises(DataError, match="no attribute is valid in both"):
        compared(tmp_path, {"z": latents, "logits": logits}, {"z": latents, "logits": mute})


# ------------------------------------------------------------------------------------------------- wrong input


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"num_keep": 1}, UsageError, "at least 2"),
        ({"num_keep": 2001}, UsageError, "2001 of 2000"),
        ({"keep_fraction": 0.0}, UsageError, "keep_fraction is 0.0"),
        ({"protocol": "other"}, UsageError, "latentlab, stylegan"),
        ({"attributes": ["one"]}, UsageError, "1 attributes are named"),
        ({"attributes": ["one", "two", "one"]}, DataError, "named more than once: one"),
        ({"held_out": 1.0}, UsageError, "held_out is 1.0"),
        ({"permutations": -1}, UsageError, "permutations is -1"),
        ({"refits": 3}, UsageError, "refits is 3; it must be 0 for none, or from 5 to 100"),
        ({"solver": "sgd"}, UsageError, "solver is 'sgd'"),
        ({"num_keep": 4}, DataError, "4 of 2000 samples are kept per attribute, and the latents have 4 dimensions"),
        ({"num_keep": 8, "held_out": 0.5}, DataError, "about 4 are left to fit to when 0.5 are held out"),
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


def test_logits_that_cannot_be_used_are_named():
    latents, logits = problem()
    logits[5, 1] = np.inf
    with pytest.raises(DataError, match=r"logits are not finite .* row 5"):
        linear_separability(latents, logits)
    with pytest.raises(DataError, match=r"logits have the shape \[2000\]"):
        linear_separability(latents, logits[:, 0])


def test_what_says_nothing_is_warned_of():
    latents, logits = problem(noise=1)
    dead = np.concatenate([latents, np.full((2000, 2), 0.5, np.float32)], axis=1)
    with pytest.warns(DegenerateWarning, match="2 of the latents' 6 columns are constant and say nothing: 4, 5"):
        score = linear_separability(dead, logits, bootstrap=50)
    assert score.score == pytest.approx(linear_separability(latents, logits, bootstrap=50).score, rel=0.01)
    with pytest.raises(DataError, match="all latents are the same"):
        linear_separability(np.ones((2000, 4)), logits)
    with pytest.warns(DegenerateWarning, match="equal log-odds count twice: attribute 3 is attribute 0"):
        linear_separability(latents, logits[:, [0, 1, 2, 0]], bootstrap=50)


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
        "converged", "iterations", "information", "num_rarer",
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
