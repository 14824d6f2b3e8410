"""Disentanglement metrics: formulas by hand, and what representations of known quality score. Higher is better."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score, roc_auc_score

from latentlab.errors import DataError, DegenerateWarning, UsageError
from latentlab.metrics.disentanglement import METRICS, disentanglement_scores
from latentlab.metrics.disentanglement.dci import PENALTY, completeness, disentanglement, informativeness
from latentlab.metrics.disentanglement.explicitness import above_median, area_under_curve
from latentlab.metrics.disentanglement.mutual_information import (
    BINS,
    bin_codes,
    modularity,
    mutual_information_gaps,
    weighted_information,
)
from latentlab.metrics.disentanglement.problem import prepare
from latentlab.metrics.disentanglement.sap import best_thresholds, squared_correlations, threshold_scores
from latentlab.results import DISENTANGLEMENT

KINDS = ("binary", "continuous")
REPRESENTATIONS = ("perfect", "useless", "rotated")
COUNT, WIDTH = 1800, 4
FAR_FROM_0 = ("modularity", "dci_disentanglement_linear", "dci_completeness_linear")
"""What latents that know nothing score well in."""


def world(kind, representation, *, count=COUNT, seed=0):
    """Latents and independent factors: the factors permuted and scaled, noise, or the factors times a rotation."""
    rng = np.random.default_rng(seed)
    causes = rng.normal(size=(count, WIDTH))
    factors = causes > np.linspace(-0.8, 0.8, WIDTH) if kind == "binary" else causes
    held = factors + 0.02 * rng.normal(size=factors.shape)
    rotation = np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0]
    latents = {
        "perfect": held[:, [2, 0, 3, 1]] * [-5, 0.1, 1, 20],
        "useless": rng.normal(size=factors.shape),
        "rotated": held @ rotation,
    }
    return latents[representation].astype(np.float32), factors


@pytest.fixture(scope="module")
def scores():
    """Every number of every representation of either kind of factor, by name."""
    worlds = itertools.product(KINDS, REPRESENTATIONS)
    return {
        (kind, representation): by_name(disentanglement_scores(*world(kind, representation), bootstrap=100))
        for kind, representation in worlds
    }


def by_name(found):
    return {score.metric: score for score in found}


# --------------------------------------------------------------------------------------------- formulas by hand


def test_gap_between_the_two_most_informative_latents():
    mutual = np.array([[1.0, 0.0], [0.5, 0.2], [0.0, 0.1]])
    assert mutual_information_gaps(mutual, np.array([1.0, 0.5])) == pytest.approx([0.5, 0.2])
    assert mutual_information_gaps(mutual, np.array([1.0, 0.0])) == pytest.approx([0.5, 0.0])


def test_modularity_by_hand_leaves_latents_without_information_out():
    mutual = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [2.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    value, number = modularity(mutual)
    assert value == pytest.approx((1 + 0 + (1 - 0.25 / 2)) / 3)
    assert number == 3
    assert modularity(np.zeros((2, 2)))[0] == 0


def test_disentanglement_and_completeness_by_hand():
    importance = np.array([[1.0, 0.0], [0.0, 3.0], [1.0, 1.0], [0.0, 0.0]])
    latents, weights = disentanglement(importance)
    assert latents == pytest.approx([1, 1, 0, 0])
    assert weights == pytest.approx([1 / 6, 3 / 6, 2 / 6, 0])
    factors, weights = completeness(importance)
    entropies = [1.0, -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25))]  # bits, of (1, 1) and of (3, 1)
    assert factors == pytest.approx([1 - bits / 2 for bits in entropies])  # log2 of 4 latents
    assert weights == pytest.approx([2 / 6, 4 / 6])


def test_nothing_important_is_not_disentangled():
    assert all((part == 0).all() for part in (*disentanglement(np.zeros((3, 2))), *completeness(np.zeros((3, 2)))))


def test_informativeness_by_hand():
    truth = np.array([[1, 2.0], [1, 4.0], [0, 6.0], [0, 8.0], [0, 5.0]])
    predicted = np.array([[1, 3.0], [0, 4.0], [0, 6.0], [0, 8.0], [1, 5.0]])
    weights = np.array([[1, 1, 1, 1, 1], [2, 0, 1, 0, 0]])
    plain, above = informativeness(predicted, truth, np.array([True, False]), weights)
    assert plain[0] == pytest.approx([3 / 5, 1 - 1 / 20])
    assert above[0] == pytest.approx([1 / 2 + 2 / 3 - 1, 1 - 1 / 20])
    assert plain[1] == pytest.approx([1, 1 - 2 / (2 * 4 + 36 - 10**2 / 3)])
    assert above[1, 0] == pytest.approx(1)


def test_mutual_information_is_that_of_the_frequencies():
    rng = np.random.default_rng(0)
    codes, factors = rng.integers(0, 5, (300, 3)).astype(np.uint8), rng.integers(0, 3, (300, 2)).astype(np.uint8)
    codes[:, 1] = factors[:, 0] + rng.integers(0, 2, 300)
    factors[:, 0] //= 2  # a factor of fewer values than the other
    weights = np.array([[1, 1, 1], [2, 0, 1]], np.float32)
    mutual, entropies, drawn, drawn_entropies = weighted_information(codes, factors, weights)
    again = np.r_[0:100, 0:100, 200:300]  # three blocks of 100 rows: the first twice, the second never
    cases = ((slice(None), mutual, entropies, 1e-12), (again, drawn[1], drawn_entropies[1], 2e-6))
    for rows, found, own, within in cases:
        z, v = codes[rows], factors[rows]
        expected = [[mutual_info_score(a, b) / np.log(2) for b in v.T] for a in z.T]
        np.testing.assert_allclose(found, expected, atol=within)
        np.testing.assert_allclose(own, [mutual_info_score(b, b) / np.log(2) for b in v.T], atol=within)
    np.testing.assert_allclose(drawn[0], mutual, atol=2e-6)


def test_bins_of_equal_count_depend_on_the_order_alone():
    values = np.random.default_rng(0).standard_cauchy((1000, 1))
    codes = bin_codes(values)
    assert np.bincount(codes[:, 0]).tolist() == [50] * 20
    assert np.array_equal(bin_codes(np.arctan(values) * 7 + 1), codes)
    wide = bin_codes(values, binning="equal-width")[:, 0]
    assert np.array_equal(wide, np.digitize(values[:, 0], np.linspace(values.min(), values.max(), 21)[1:-1]))
    assert np.bincount(wide).max() > 500  # outliers leave most samples in a bin or two


def test_few_values_are_kept_apart_and_a_constant_has_one_bin():
    labels = np.zeros((1000, 2))
    labels[:3, 0] = -1.0
    codes = bin_codes(labels)
    assert np.bincount(codes[:, 0]).tolist() == [3, 997]
    assert (codes[:, 1] == 0).all()
    for binning in ("equal-count", "equal-width"):
        assert len(np.unique(bin_codes(np.repeat([0.0, 1.0, 100.0], 9)[:, None], binning=binning))) == 3


def test_thresholds_are_the_best_there_are():
    rng = np.random.default_rng(1)
    latents, present = rng.integers(0, 6, (40, 3)).astype(float), rng.random((40, 2)) > 0.6
    latents[:, 0] -= 2 * present[:, 1]
    latents[:, 2] = 7.0
    thresholds, signs = best_thresholds(latents, present)
    found = threshold_scores(latents, present, thresholds, signs)
    for (number, latent), (factor, label) in itertools.product(enumerate(latents.T), enumerate(present.T)):
        said = [(latent > cut) == above for cut in np.arange(-3, 8) + 0.5 for above in (True, False)]
        best = max((one[label].mean() + (~one)[~label].mean()) / 2 for one in said)
        assert found[number, factor] == pytest.approx(best)
    assert found[2] == pytest.approx([0.5, 0.5])  # a constant latent tells nothing
    assert signs[0, 1] == -1


def test_r2_of_one_latent_is_the_squared_correlation():
    rng = np.random.default_rng(2)
    latents, factors = rng.normal(size=(50, 3)), rng.normal(size=(50, 2))
    latents[:, 1] = 1.0
    expected = np.nan_to_num(
        [[np.polyfit(x, y, 1)[0] ** 2 * x.var() / y.var() for y in factors.T] for x in latents.T[::2]]
    )
    assert squared_correlations(latents, factors)[[0, 2]] == pytest.approx(expected)
    assert (squared_correlations(latents, factors)[1] == 0).all()


def test_area_under_curve_with_weights_and_ties():
    rng = np.random.default_rng(3)
    logits, present, weights = rng.integers(0, 8, 60) / 2, rng.random(60) > 0.7, rng.integers(0, 3, (4, 60))
    expected = [roc_auc_score(present, logits, sample_weight=one) for one in weights]
    assert area_under_curve(logits, present, weights.astype(float)) == pytest.approx(expected)
    assert area_under_curve(np.zeros(60), present, np.ones((1, 60))) == 0.5
    assert area_under_curve(logits, present, present[None].astype(float)) == 0.5


def test_the_median_parts_scales_and_leaves_labels_alone():
    values = np.array([[0, 1, 0], [1, 2, 5], [1, 3, 5], [1, 4, 5]], float)
    classes = above_median(values, np.array([True, False, False]))
    assert classes.T.tolist() == [[False, True, True, True], [False, False, True, True], [False, True, True, True]]


# ---------------------------------------------------------------- perfect, useless, rotated, degenerate, direction


@pytest.mark.parametrize("kind", KINDS)
def test_a_perfect_representation_is_near_every_maximum(scores, kind):
    perfect = scores[kind, "perfect"]
    assert list(perfect) == [
        "mig", "modularity", "sap",
        *(f"dci_{part}_{model}" for model in ("linear", "boosting") for part in (
            "disentanglement", "completeness", "informativeness", "informativeness_above_chance")),
        "explicitness",
    ]  # fmt: skip
    assert perfect.keys() == DISENTANGLEMENT.keys()
    largest = dict.fromkeys(perfect, 1.0) | {"sap": 0.5 if kind == "binary" else 1.0}
    slack = {"mig": 0.06 if kind == "binary" else 0.17, "sap": 0.02}  # a bin holds both classes, or many values
    for name, score in perfect.items():
        assert largest[name] - slack.get(name, 0.01) < score.value <= largest[name] + 1e-6, name
    best = [row["best_latent"] for row in perfect["mig"].factors]
    assert best == [row["best_latent"] for row in perfect["sap"].factors] == [1, 3, 0, 2]
    assert best == [row["most_important_latent"] for row in perfect["dci_completeness_linear"].factors]


@pytest.mark.parametrize("kind", KINDS)
def test_a_useless_representation_scores_what_the_baseline_says(scores, kind):
    useless = scores[kind, "useless"]
    for name in ("mig", "sap", "explicitness", "dci_disentanglement_boosting", "dci_completeness_boosting"):
        assert abs(useless[name].value) < 0.08, name
    for name, score in useless.items():
        if name not in FAR_FROM_0:
            assert score.value == pytest.approx(score.baseline, abs=0.07), name
    for model in ("linear", "boosting"):
        assert useless[f"dci_informativeness_above_chance_{model}"].value < 0.05
    if kind == "binary":  # predicting the commoner class is often right, and above chance it is nothing
        assert useless["dci_informativeness_linear"].value > 0.6


@pytest.mark.parametrize("kind", KINDS)
def test_useless_latents_score_what_chance_gives_where_that_is_far_from_0(kind):
    """Mutual informations of noise are chi-square, and its coefficients normal, moved towards 0 by the penalty."""
    factors, rng, dims = world(kind, "perfect")[1], np.random.default_rng(1), 48
    latents = rng.normal(size=(COUNT, dims))
    found = by_name(disentanglement_scores(latents, factors, metrics=["modularity", "dci-linear"], bootstrap=0))
    degrees = (BINS - 1) * (1 if kind == "binary" else BINS - 1)
    coefficients = np.maximum(np.abs(rng.normal(size=(400, dims, WIDTH))) - PENALTY, 0)
    chance = {
        "modularity": modularity(rng.chisquare(degrees, size=(5000, WIDTH)))[0],
        "dci_disentanglement_linear": np.mean([np.dot(*disentanglement(one)) for one in coefficients]),
        "dci_completeness_linear": np.mean([np.dot(*completeness(one)) for one in coefficients]),
    }
    assert tuple(chance) == FAR_FROM_0
    for name, expected in chance.items():
        assert (found[name].value, found[name].baseline) == pytest.approx((expected, expected), abs=0.06), name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_mig_and_modularity_are_those_of_bins_by_rank(scores, kind, representation):
    latents, factors = world(kind, representation)

    def by_rank(values):
        return values.argsort(axis=0).argsort(axis=0) * BINS // len(values)

    values = factors if kind == "binary" else by_rank(factors)
    bits = np.array([[mutual_info_score(z, v) for v in values.T] for z in by_rank(latents).T]) / np.log(2)
    entropies = np.array([mutual_info_score(v, v) for v in values.T]) / np.log(2)
    found = scores[kind, representation]
    assert found["mig"].value == pytest.approx(mutual_information_gaps(bits, entropies).mean(), abs=1e-9)
    assert found["modularity"].value == pytest.approx(modularity(bits)[0], abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_the_baseline_of_good_latents_is_that_of_useless_ones(scores, kind):
    for name in (
        "mig",
        "sap",
        "explicitness",
        "dci_disentanglement_boosting",
        "dci_informativeness_above_chance_linear",
    ):
        assert abs(scores[kind, "perfect"][name].baseline) < 0.1, name


@pytest.mark.parametrize("kind", KINDS)
def test_a_rotation_hides_the_factors_from_single_latents_but_not_from_models(scores, kind):
    perfect, rotated = scores[kind, "perfect"], scores[kind, "rotated"]
    axes = ["mig", "sap", *(f"dci_{part}_{model}" for part in ("disentanglement", "completeness") for model in (
        "linear", "boosting"))]  # fmt: skip
    for name in axes:
        assert rotated[name].value < 0.8 * perfect[name].value, name
        assert rotated[name].ci95[1] < perfect[name].ci95[0], name
    assert rotated["modularity"].value < perfect["modularity"].value - 0.1
    for name in ("explicitness", "dci_informativeness_linear", "dci_informativeness_above_chance_linear"):
        assert rotated[name].value > perfect[name].value - 0.05, name


@pytest.mark.parametrize("kind", KINDS)
def test_the_more_noise_the_lower(kind):
    latents, factors = world(kind, "perfect")
    noise = np.random.default_rng(5).normal(size=latents.shape) * latents.std(axis=0)
    metrics = ("mig", "sap", "dci-linear", "explicitness")
    runs = [
        by_name(disentanglement_scores(latents + t * noise, factors, metrics=metrics, bootstrap=2)) for t in (0, 1, 4)
    ]
    for name in runs[0]:
        values = [run[name].value for run in runs]
        if kind == "binary" and name in ("dci_informativeness_linear", "dci_informativeness_above_chance_linear"):
            assert values[0] > values[1] > values[2] - 1e-9
        assert values == sorted(values, reverse=True), name
        assert values[-1] < values[0] - 0.05, name


@pytest.mark.parametrize("kind", KINDS)
def test_the_more_a_latent_mixes_factors_the_lower_its_modularity(kind):
    latents, factors = world(kind, "perfect")
    unit = latents / latents.std(axis=0)
    mixed = [unit + t * np.roll(unit, 1, axis=1) for t in (0, 0.3, 0.6, 1)]
    values = [disentanglement_scores(one, factors, metrics=["modularity"], bootstrap=2)[0].value for one in mixed]
    assert values == sorted(values, reverse=True)
    assert values[-1] < values[0] - 0.1


@pytest.mark.filterwarnings("default")
def test_constant_dimensions_carry_no_information_and_change_little(scores):
    latents, factors = world("binary", "perfect")
    padded = np.concatenate([latents, np.full((len(latents), 3), 7.0)], axis=1)
    with pytest.warns(DegenerateWarning, match="3 of the latents' 7 columns are constant and say nothing: 4, 5, 6"):
        found = by_name(disentanglement_scores(padded, factors, bootstrap=2))
    for name in ("mig", "modularity", "sap", "explicitness"):
        assert found[name].value == pytest.approx(scores["binary", "perfect"][name].value, abs=0.02), name
    assert found["modularity"].details == {"num_informative": WIDTH}
    assert found["dci_disentanglement_boosting"].value > 0.97


def test_latents_that_do_not_vary_are_refused():
    latents, factors = world("binary", "perfect")
    with pytest.raises(DataError, match="all latents are the same, so nothing can be told from them"):
        disentanglement_scores(np.ones_like(latents), factors)


def test_a_monotone_function_of_each_latent_changes_nothing_that_looks_at_order():
    latents, factors = world("binary", "rotated")
    pair = [
        by_name(disentanglement_scores(one, factors, metrics=("mig", "modularity"), bootstrap=2))
        for one in (latents.astype(np.float64), np.exp(latents.astype(np.float64)))
    ]
    assert all(pair[0][name].value == pytest.approx(pair[1][name].value, abs=1e-6) for name in pair[0])


def test_labels_may_be_any_two_values_and_kinds_may_be_mixed():
    latents, labels = world("binary", "perfect")
    plain, signs = (
        by_name(disentanglement_scores(latents, values, metrics=("mig", "sap", "dci-linear"), bootstrap=2))
        for values in (labels, np.where(labels, 1, -1))
    )
    assert all(plain[name].value == signs[name].value for name in plain)
    mixed = labels + np.array([0, 0, 0, 1]) * np.random.default_rng(0).normal(size=labels.shape) * 0.01
    (sap,) = disentanglement_scores(latents, mixed, metrics=["sap"], bootstrap=2)
    assert [row["kind"] for row in sap.factors] == ["binary"] * 3 + ["continuous"]
    assert sap.factors[0]["gap"] < 0.53 < sap.factors[3]["gap"]


# -------------------------------------------------------------------------------------- intervals and seeds


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_hold_their_values(scores, kind):
    for name, score in scores[kind, "rotated"].items():
        assert score.ci95[0] <= score.value <= score.ci95[1], name
        assert score.ci95[0] < score.ci95[1] or score.value == 1, name


def test_intervals_shrink_with_samples():
    metrics, found = ("mig", "modularity", "sap", "explicitness"), []
    for count in (400, 6400):
        latents, factors = world("binary", "rotated", count=count)
        latents += np.random.default_rng(0).normal(size=latents.shape)
        found.append(by_name(disentanglement_scores(latents, factors, metrics=metrics, num_samples=count)))
    few, many = found
    for name in few:
        assert np.ptp(many[name].ci95) < 0.55 * np.ptp(few[name].ci95), name


@pytest.mark.parametrize("name", ["mig", "modularity", "sap"])
def test_intervals_are_as_wide_as_numbers_scatter(name):
    """The deviation over fresh samples against that which an interval of one of them tells."""
    runs = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        causes = rng.normal(size=(900, WIDTH))
        latents = causes + 0.7 * np.roll(causes, 1, axis=1) + 0.5 * rng.normal(size=causes.shape)
        runs.append(disentanglement_scores(latents, causes > 0, metrics=[name], bootstrap=200)[0])
    told = np.mean([np.ptp(score.ci95) for score in runs]) / (2 * 1.96)
    assert 0.6 < told / np.std([score.value for score in runs]) < 1.7


def test_the_same_seed_gives_the_same_numbers():
    latents, factors = world("continuous", "rotated", count=600)
    first, second, other = (
        [
            (score.value, score.ci95, score.baseline)
            for score in disentanglement_scores(latents, factors, seed=s, bootstrap=20)
        ]
        for s in (1, 1, 2)
    )
    assert first == second
    assert all(a[2] != b[2] for a, b in zip(first, other, strict=True))


def test_shuffling_keeps_what_each_part_holds():
    latents, factors = world("binary", "perfect")
    problem = prepare(latents, factors, num_samples=900)
    assert (len(problem.train), len(problem.test)) == (600, 300)
    assert not set(problem.train) & set(problem.test)
    shuffled = problem.shuffled(0)
    for rows in (problem.train, problem.test):
        assert np.array_equal(shuffled.factors[rows].sum(axis=0), problem.factors[rows].sum(axis=0))
        assert not np.array_equal(shuffled.factors[rows], problem.factors[rows])
    assert np.corrcoef(shuffled.factors.T) == pytest.approx(np.corrcoef(problem.factors.T))


# ------------------------------------------------------------------------------------------------- bad input


def test_factors_that_cannot_be_measured_against_are_left_out_and_named():
    latents, factors = world("binary", "perfect")
    rare = np.zeros((len(latents), 1), bool)
    rare[:5] = True
    more = np.concatenate([factors, rare, np.ones_like(rare)], axis=1)
    names = ["a", "b", "c", "d", "rare", "always"]
    with_them = disentanglement_scores(latents, more, names, metrics=("mig", "sap"), bootstrap=2)
    without = disentanglement_scores(latents, factors, metrics=("mig", "sap"), bootstrap=2)
    assert [score.value for score in with_them] == [score.value for score in without]
    rows = {row["name"]: row for row in with_them[0].factors}
    assert [row["valid"] for row in rows.values()] == [True] * 4 + [False] * 2
    assert rows["always"]["reason"] == "all samples are of one class"
    assert "of 1,200 training samples are of the rarer class; at least 10 must" in rows["rare"]["reason"]
    assert (rows["rare"]["gap"], rows["rare"]["kind"]) == (None, None)


def test_continuous_factors_may_be_nearly_constant_but_not_quite():
    latents, factors = world("continuous", "perfect")
    nearly = np.zeros(len(latents))
    nearly[:9] = np.arange(9)
    more = np.column_stack([factors, nearly, np.full(len(latents), 3.5)])
    (score,) = disentanglement_scores(latents, more, metrics=["mig"], bootstrap=2)
    assert "differ from the most common value; at least 10 must" in score.factors[4]["reason"]
    assert score.factors[5]["reason"] == "all samples have the same value"


def test_no_valid_factor_is_an_error():
    latents, factors = world("binary", "perfect")
    with pytest.raises(
        DataError, match=r"0 of 4 factors are valid, .*factor 0: all samples are of one class.*and 1 more"
    ):
        disentanglement_scores(latents, np.ones_like(factors))
    factors[:, 1:] = True
    with pytest.raises(DataError, match=r"1 of 4 factors is valid, and at least 2 are needed"):
        disentanglement_scores(latents, factors)


@pytest.mark.filterwarnings("default")
def test_factors_that_say_the_same_are_named_and_kept():
    latents, factors = world("binary", "perfect")
    factors[:, 3] = ~factors[:, 0]
    with pytest.warns(DegenerateWarning, match="Male and Female say the same, or the opposite"):
        found = disentanglement_scores(
            latents, factors, ["Male", "b", "c", "Female"], metrics=["modularity"], bootstrap=2
        )
    assert found[0].value < 0.9


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"metrics": ["mig", "beta"]}, UsageError, r"metrics beta: they must be of mig, modularity, sap, dci-linear"),
        ({"metrics": []}, UsageError, "metrics are missing"),
        ({"binning": "fine"}, UsageError, "binning is 'fine'; it must be one of equal-count, equal-width"),
        ({"num_samples": 1801}, UsageError, "is 1,801; of these 1,800 samples take at least 30 and at most 1,800"),
        ({"num_samples": 29}, UsageError, "is 29; of these 1,800 samples take at least 30"),
        ({"names": ["a", "b"]}, UsageError, "2 factors are named, but there are 4 columns"),
        ({"names": ["a", "b", "a", "c"]}, DataError, "factor a occurs more than once"),
    ],
)
def test_wrong_arguments_are_named(change, error, message):
    with pytest.raises(error, match=message):
        disentanglement_scores(*world("binary", "perfect"), **change)


def test_arrays_that_do_not_fit_are_named():
    latents, factors = world("continuous", "perfect")
    with pytest.raises(DataError, match="same N"):
        disentanglement_scores(latents[1:], factors)
    with pytest.raises(DataError, match="same N"):
        disentanglement_scores(latents, factors[:, 0])
    with pytest.raises(DataError, match="at least 2 are needed"):
        disentanglement_scores(latents[:, :1], factors)
    broken = factors.copy()
    broken[17:19, 2] = np.nan
    with pytest.raises(DataError, match=r"factor hue is not finite .* in 2 of 1,800 rows, first in row 17"):
        disentanglement_scores(latents, broken, ["a", "b", "hue", "c"])
    with pytest.raises(DataError, match="there are 29 samples, and at least 30 are needed: sample more"):
        disentanglement_scores(latents[:29], factors[:29])
    latents[5, 0] = np.inf
    with pytest.raises(DataError, match=r"latents are not finite .* row 5"):
        disentanglement_scores(latents, factors)


def test_fewer_training_samples_than_dimensions_are_refused_where_models_are_fitted():
    rng = np.random.default_rng(0)
    latents, factors = rng.normal(size=(90, 60)), rng.random((90, 2)) > 0.5
    with pytest.raises(
        DataError, match=r"60 training samples are too few for 60 latent dimensions.*mig, modularity, sap"
    ):
        disentanglement_scores(latents, factors)
    alone = disentanglement_scores(latents, factors, metrics=("mig", "modularity", "sap"), bootstrap=2)
    assert [score.metric for score in alone] == ["mig", "modularity", "sap"]


def test_progress_counts_every_fit():
    told = []
    disentanglement_scores(
        *world("binary", "useless", count=300),
        metrics=METRICS,
        bootstrap=2,
        progress=lambda done, total, note="": told.append((done, total)),
    )
    assert told == [(done, 28) for done in range(1, 29)]  # twice: information, SAP, and four factors by three models
