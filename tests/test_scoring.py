"""Scores, intervals, temperatures and confusion, as functions of arrays."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LinearRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss, roc_auc_score

from attribute_classifiers.calibration import BOUND, fit_temperature, fit_temperatures
from attribute_classifiers.confusion import confusion, describe_confusion, strongest
from attribute_classifiers.scoring import MEASURES, bin_gaps, interval95, resamples, score, score_attributes

rng = np.random.default_rng


def drawn(count: int, *, seed: int = 0, spread: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds, and labels that are exactly as likely as they say."""
    logits = rng(seed).normal(0, spread, count)
    return logits, np.where(rng([seed, 1]).random(count) < expit(logits), 1, -1)


def values(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    return dict(zip(MEASURES, score(logits, labels, np.ones((len(logits), 1)))[:, 0], strict=True))


# --------------------------------------------------------------------------------------------------------- scores


def test_perfect_useless_and_reversed_log_odds() -> None:
    labels = np.array([1, 1, 1, -1])
    perfect = values(labels * 50.0, labels)
    assert [perfect[name] for name in MEASURES] == pytest.approx([1, 1, 1, 0, 0], abs=1e-12)
    useless = values(np.zeros(4), labels)
    assert [useless[name] for name in MEASURES] == pytest.approx([0.25, 0.5, 0.5, np.log(2), 0.25])
    reversed_ = values(-labels * 50.0, labels)
    assert [reversed_[name] for name in MEASURES] == pytest.approx([0, 0, 0, 50, 1])


def test_scores_are_scikit_learns_whatever_the_weights() -> None:
    logits, labels = drawn(300)
    logits = np.round(logits, 1)  # ties
    weights = np.stack([np.ones(300), rng(2).integers(0, 4, 300)], axis=1)
    found = score(logits, labels, weights)
    for column, sample_weight in zip(found.T, weights.T, strict=True):
        arguments = {"sample_weight": sample_weight}
        expected = [
            accuracy_score(labels > 0, logits > 0, **arguments),
            balanced_accuracy_score(labels > 0, logits > 0, **arguments),
            roc_auc_score(labels > 0, logits, **arguments),
            log_loss(labels > 0, expit(logits), **arguments),
        ]
        assert column[:4] == pytest.approx(expected)


def test_a_weight_counts_as_so_many_images() -> None:
    logits, labels = drawn(60)
    weights = rng(3).integers(0, 3, 60)
    repeated = np.repeat(np.arange(60), weights)
    measures = slice(0, 4)  # the calibration error keeps the bins of the images that there are
    assert score(logits, labels, weights[:, None].astype(float))[measures, 0] == pytest.approx(
        score(logits[repeated], labels[repeated], np.ones((len(repeated), 1)))[measures, 0]
    )


def test_the_calibration_error_is_the_mean_gap_of_equally_filled_bins() -> None:
    logits, labels = drawn(150)
    probability, present = expit(logits), labels > 0
    order = np.argsort(logits).reshape(15, 10)
    expected = np.mean([abs(probability[rows].mean() - present[rows].mean()) for rows in order])
    assert values(logits, labels)["calibration_error"] == pytest.approx(expected)


def test_equal_log_odds_share_a_bin_so_that_the_order_of_images_does_not_matter() -> None:
    logits, labels = np.repeat([-1.0, 2.0], 20), rng(0).choice([-1, 1], 40)
    assert (bin_gaps(logits, labels > 0) != 0).any(axis=0).sum() == 2
    shuffled = rng(1).permutation(40)
    first, second = values(logits, labels), values(logits[shuffled], labels[shuffled])
    assert [first[name] for name in MEASURES] == pytest.approx([second[name] for name in MEASURES])


def test_more_confidence_than_is_due_makes_the_calibration_error_and_the_log_loss_larger() -> None:
    logits, labels = drawn(20_000)
    right, over, far_over, under = (values(logits * factor, labels) for factor in (1, 2, 4, 0.5))
    for name in ("calibration_error", "log_loss"):
        assert right[name] < over[name] < far_over[name]
        assert right[name] < under[name]
    assert right["calibration_error"] < 0.02 < 0.05 < over["calibration_error"]
    assert right["auc"] == over["auc"] == under["auc"]


def test_what_one_class_allows_is_measured_and_the_rest_is_null() -> None:
    rows, mean = score_attributes(np.array([[1.0, 2.0]] * 20), np.array([[1, 1], [-1, 1]] * 10), ("A", "B"), count=50)
    only = rows[1]
    assert (only["share"], only["balanced_accuracy"], only["auc"], only["weak"], only["uncertain"]) == (
        1.0, None, None, True, True,
    )  # fmt: skip
    assert (only["ci95"]["balanced_accuracy"], only["ci95"]["auc"]) == (None, None)
    assert (only["accuracy"], only["log_loss"]) == (1.0, pytest.approx(np.log1p(np.exp(-2))))
    assert mean["balanced_accuracy"] == rows[0]["balanced_accuracy"] == 0.5
    _, unknown = score_attributes(np.ones((4, 1)), np.ones((4, 1)), ("B",), count=5)
    assert (unknown["balanced_accuracy"], unknown["ci95"]["auc"]) == (None, None)


def test_weak_means_below_seven_tenths_and_uncertain_few_or_no_better_than_guessing() -> None:
    labels = np.repeat([1, -1], 20)
    marks = []
    for right in (0, 6, 8):  # balanced accuracy 0.5, 0.65 and 0.7
        logits = np.where(np.arange(40) < 20, 1.0, np.where(np.arange(40) < 20 + right, -1.0, 1.0))
        row = score_attributes(logits[:, None], labels[:, None], ("A",))[0][0]
        marks.append((row["weak"], row["uncertain"]))
    assert marks == [(True, True), (True, False), (False, False)]
    few = np.repeat([1, -1], [9, 31])
    assert score_attributes(few[:, None] * 2.0, few[:, None], ("A",))[0][0]["uncertain"]


# ------------------------------------------------------------------------------------------------------ intervals


def test_resamples_are_multinomial_follow_from_the_seed_and_come_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.concatenate(list(resamples(50, 40, seed=1)), axis=1)
    assert whole.shape == (50, 40)
    assert (whole.sum(axis=0) == 50).all()
    assert abs(whole.var() - (1 - 1 / 50)) < 0.1
    monkeypatch.setattr("attribute_classifiers.scoring._WEIGHTS_AT_A_TIME", 50 * 7)
    blocks = list(resamples(50, 40, seed=1))
    assert [block.shape[1] for block in blocks] == [7, 7, 7, 7, 7, 5]
    assert np.array_equal(np.concatenate(blocks, axis=1), whole)
    assert not np.array_equal(next(resamples(50, 40, seed=2)), whole[:, :7])


def test_intervals_cover_the_truth_as_often_as_they_should() -> None:
    """Over-confident log-odds; the truth is what 400,000 images give."""
    large, truth_labels = drawn(400_000, seed=100)
    truth = values(2 * large, truth_labels)
    covered = dict.fromkeys(MEASURES, 0)
    repetitions = 100
    for seed in range(repetitions):
        logits, labels = drawn(400, seed=seed)
        row = score_attributes(2 * logits[:, None], labels[:, None], ("A",), seed=seed, count=200)[0][0]
        for name in MEASURES:
            low, high = row["ci95"][name]
            assert low <= row[name] <= high
            covered[name] += low <= truth[name] <= high
    assert all(88 <= count <= repetitions for count in covered.values()), covered


def test_the_interval_of_the_calibration_error_reaches_zero_where_there_is_none() -> None:
    """A plain percentile interval would leave 0 out nearly always: the estimate is biased upwards, resamples twice."""
    reached = 0
    for seed in range(40):
        logits, labels = drawn(300, seed=seed)
        ends = score_attributes(logits[:, None], labels[:, None], ("A",), count=200)[0][0]["ci95"]
        reached += ends["calibration_error"][0] == 0
    assert reached >= 36
    logits, labels = drawn(300)
    ends = score_attributes(3 * logits[:, None], labels[:, None], ("A",))[0][0]["ci95"]
    assert ends["calibration_error"][0] > 0.05


def test_intervals_shrink_with_the_number_of_images() -> None:
    widths = []
    for count in (200, 3200):
        logits, labels = drawn(count)
        ends = score_attributes(logits[:, None], labels[:, None], ("A",))[0][0]["ci95"]
        widths.append(np.array([np.subtract(*ends[name][::-1]) for name in MEASURES]))
    ratios = widths[0] / widths[1]
    assert (ratios > 2.4).all(), ratios
    assert (ratios[:4] < 6.5).all(), ratios


def test_the_mean_over_attributes_is_surer_than_one_attribute() -> None:
    columns = [drawn(500, seed=seed) for seed in range(8)]
    logits, labels = (np.stack(parts, axis=1) for parts in zip(*columns, strict=True))
    rows, mean = score_attributes(logits, labels, tuple("ABCDEFGH"))
    assert mean["auc"] == pytest.approx(np.mean([row["auc"] for row in rows]))
    width = np.subtract(*mean["ci95"]["auc"][::-1])
    assert width < 0.6 * min(np.subtract(*row["ci95"]["auc"][::-1]) for row in rows)


def test_the_seed_of_the_intervals_changes_them_alone() -> None:
    logits, labels = drawn(200)
    first, again, other = (
        score_attributes(logits[:, None], labels[:, None], ("A",), seed=seed)[0][0] for seed in (0, 0, 1)
    )
    assert first == again
    assert first["auc"] == other["auc"]
    assert first["ci95"]["auc"] != other["ci95"]["auc"]


def test_resamples_without_a_class_are_left_out_of_an_interval() -> None:
    assert interval95(np.array([np.nan, 0.25, 0.75])) == pytest.approx([0.2625, 0.7375])
    assert interval95(np.array([np.nan])) is None


# --------------------------------------------------------------------------------------------------- temperatures


@pytest.mark.parametrize("factor", [0.2, 1.0, 5.0])
def test_the_temperature_is_the_factor_by_which_log_odds_are_too_large(factor: float) -> None:
    logits, labels = drawn(20_000)
    assert fit_temperature(factor * logits, labels) == pytest.approx(factor, rel=0.05)


def test_no_other_temperature_has_a_lower_log_loss() -> None:
    logits, labels = drawn(500, spread=4.0)
    logits = logits + 1.0
    best = fit_temperature(logits, labels)
    losses = [values(logits / (best * factor), labels)["log_loss"] for factor in (0.9, 1.0, 1.1)]
    assert losses[1] == min(losses)


def test_temperatures_stay_one_where_images_cannot_say() -> None:
    logits, labels = drawn(200)
    separable = np.abs(logits) * labels
    assert fit_temperature(separable, labels) == 1.0
    few = np.where(np.arange(200) < 9, 1, -1)
    assert fit_temperature(logits, few) == 1.0
    assert fit_temperature(logits, np.ones(200)) == 1.0
    assert fit_temperatures(np.stack([3 * logits, separable], 1), np.stack([labels, labels], 1))[1] == 1.0


def test_temperatures_are_bounded() -> None:
    logits, labels = drawn(2000)
    assert fit_temperature(1000 * logits, labels) == pytest.approx(BOUND, rel=1e-3)
    assert fit_temperature(logits / 1000, labels) == pytest.approx(1 / BOUND, rel=1e-3)
    assert fit_temperature(-logits, labels) == pytest.approx(BOUND, rel=1e-3)  # the opposite of the truth: say little


# ------------------------------------------------------------------------------------------------------ confusion


def correlated(count: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds of good classifiers for three attributes, the first two of which go together."""
    random = rng(5).random((count, 3))
    other = random[:, 1] < 0.4
    labels = np.where(np.stack([random[:, 0] < np.where(other, 0.7, 0.2), other, random[:, 2] < 0.3], 1), 1, -1)
    return 2 * labels + rng(6).normal(0, 1.5, labels.shape), labels


def test_attributes_that_go_together_are_no_confusion() -> None:
    logits, labels = correlated()
    assert np.corrcoef(logits[:, 0], labels[:, 1])[0, 1] > 0.3  # what a plain correlation would take for one
    found = confusion(logits, labels)
    assert np.nanmax(np.abs(found.leak)) < 0.06
    assert np.nanmin(found.own) > 0.5
    assert np.isnan(np.diag(found.leak)).all()
    assert describe_confusion(logits, labels, ("A", "B", "C"))["strongest"] == []


def test_a_planted_leak_is_found() -> None:
    logits, labels = correlated()
    logits[:, 0] = labels[:, 0] + 2 * labels[:, 1] + rng(7).normal(0, 1, len(labels))
    described = describe_confusion(logits, labels, ("A", "B", "C"))
    (pair,) = described["strongest"]
    assert (pair["classifier"], pair["attribute"]) == ("A", "B")
    assert pair["leak"] > pair["own"] > 0.1
    for name in ("leak", "own"):
        assert pair[f"{name}_ci95"][0] < pair[name] < pair[f"{name}_ci95"][1]
        assert described[name][0][1] == pytest.approx(pair[name], abs=1e-4)
        assert described[name][0][0] is None


def test_a_classifier_of_the_other_attribute_has_all_leak_and_nothing_of_its_own() -> None:
    logits, labels = correlated()
    logits[:, 0] = 50 * labels[:, 1]
    found = confusion(logits, labels)
    assert (found.leak[0, 1], found.own[0, 1]) == pytest.approx((1, 0), abs=1e-9)
    logits[:, 0] = 50 * labels[:, 0]
    found = confusion(logits, labels)
    assert (found.leak[0, 1], found.own[0, 1]) == pytest.approx((0, 1), abs=1e-9)
    logits[:, 0] = -50 * labels[:, 1]
    assert confusion(logits, labels).leak[0, 1] == pytest.approx(-1)


def test_leak_and_own_are_slopes_of_a_regression_on_both_labels() -> None:
    logits, labels = correlated(400)
    found = confusion(logits, labels)
    fitted = LinearRegression().fit(labels[:, :2] > 0, expit(logits[:, 0])).coef_
    assert (found.own[0, 1], found.leak[0, 1]) == pytest.approx(tuple(fitted))


def test_pairs_that_images_cannot_tell_apart_are_unknown() -> None:
    logits, labels = correlated(200)
    labels[:, 1] = labels[:, 0]
    found = confusion(logits, labels)
    assert np.isnan(found.leak[0, 1])
    assert np.isnan(found.leak[1, 0])
    labels[:, 2] = 1  # nothing depends on this label, but the classifier's answers may depend on others
    described = describe_confusion(logits, labels, ("A", "B", "C"))
    assert described["leak"][:2] == [[None] * 3] * 2
    assert [value is None for value in described["leak"][2]] == [False, False, True]
    assert described["own"][2] == [None] * 3


def test_chance_names_no_pair_among_many() -> None:
    named = 0
    for seed in range(20):
        labels = np.where(rng(seed).random((400, 12)) < 0.3, 1, -1)
        named += len(strongest(confusion(labels + rng([seed, 1]).normal(0, 1, labels.shape), labels)))
    assert named <= 4
