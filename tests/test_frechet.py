import numpy as np
import pytest

from latentlab.errors import DataError
from latentlab.metrics.frechet import (
    MomentAccumulator,
    Moments,
    frechet_distance,
    frechet_of_moments,
    in_words,
    moments,
    short_number,
)


def normal(count=200, dimensions=12, *, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(dimensions, dimensions))
    return rng.normal(size=(count, dimensions)) @ mixing * scale


# ------------------------------------------------------------------------------------------- official number


def test_the_distance_equals_the_official_fid(recording):
    official = recording("fid.npz")
    found = frechet_distance(official["features_real"], official["features_fake"])
    assert found == pytest.approx(float(official["fid"]), rel=1e-8)


# ---------------------------------------------------------------------- perfect, known, useless, degenerate


def test_equal_features_are_at_distance_zero():
    features = normal()
    assert frechet_distance(features, features[::-1]) < 1e-10


def test_the_distance_of_normal_distributions_is_known():
    """For commuting covariances d^2 = |m_a - m_b|^2 + sum (s_a - s_b)^2, s the standard deviations along the axes."""
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    a = Moments(np.zeros(3), axes @ np.diag([1.0, 4.0, 9.0]) @ axes.T, 10)
    b = Moments(np.array([1.0, 0.0, 2.0]), axes @ np.diag([4.0, 4.0, 0.0]) @ axes.T, 10)
    assert frechet_of_moments(a, b) == pytest.approx(5 + 1 + 0 + 9, rel=1e-12)


def test_a_generator_of_one_image_is_as_far_as_the_real_images_vary():
    real = normal()
    collapsed = np.broadcast_to(real.mean(axis=0), real.shape)
    assert frechet_distance(real, collapsed) == pytest.approx(np.trace(np.cov(real.T)), rel=1e-10)


def test_constant_features_are_as_far_as_their_points():
    assert frechet_distance(np.full((5, 4), 2.0), np.full((7, 4), 5.0)) == pytest.approx(4 * 9, rel=1e-12)


def test_singular_covariances_lose_no_digits():
    """Fewer features than dimensions: turned into 300 dimensions by an isometry, the distance stays what it was."""
    a, b = normal(20, 6), normal(15, 6, seed=1)
    isometry = np.linalg.qr(np.random.default_rng(2).normal(size=(300, 6)))[0].T
    assert frechet_distance(a @ isometry, b @ isometry) == pytest.approx(frechet_distance(a, b), rel=1e-11)
    assert frechet_distance(a @ isometry, a @ isometry) < 1e-10


def test_it_grows_with_the_distance_and_is_symmetric():
    a = normal()
    moved = [frechet_distance(a, a + step) for step in (0.1, 0.2, 0.4)]
    assert moved == pytest.approx([12 * step**2 for step in (0.1, 0.2, 0.4)], rel=1e-8)
    spread = [frechet_distance(a, normal(scale=scale)) for scale in (1.1, 1.5, 3.0)]
    assert spread == sorted(spread)
    assert spread[0] > 1e-3
    b = normal(seed=5)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-12)


# ----------------------------------------------------------------------------------------------- accumulator


@pytest.mark.parametrize("sizes", [(200,), (1, 199), (64, 64, 64, 8), (1,) * 200])
def test_batches_change_nothing(sizes):
    features, accumulator = normal(), MomentAccumulator()
    for batch in np.split(features, np.cumsum(sizes)[:-1]):
        accumulator.add(batch)
    found = accumulator.moments()
    assert found.count == 200
    np.testing.assert_allclose(found.mean, features.mean(axis=0), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(found.covariance, np.cov(features.T), rtol=1e-11, atol=1e-12)


def test_a_large_mean_costs_no_digits():
    features, accumulator = normal(400, 3), MomentAccumulator()
    for batch in np.split(features + 1e7, 10):
        accumulator.add(batch)
    np.testing.assert_allclose(accumulator.moments().covariance, np.cov(features.T), rtol=1e-6)


def test_float32_features_are_summed_in_float64():
    features = normal(5000, 2).astype(np.float32) + np.float32(100)
    assert moments(features).covariance.dtype == np.float64
    np.testing.assert_allclose(moments(features).mean, features.astype(np.float64).mean(axis=0), rtol=1e-14)


def test_moments_are_of_what_was_there_when_asked():
    accumulator = MomentAccumulator()
    accumulator.add(normal(10, 2))
    before = accumulator.moments()
    kept = before.mean.copy(), before.covariance.copy()
    accumulator.add(normal(10, 2, seed=1))
    np.testing.assert_array_equal(before.mean, kept[0])
    np.testing.assert_array_equal(before.covariance, kept[1])


def test_what_cannot_be_measured_is_named():
    accumulator = MomentAccumulator()
    with pytest.raises(DataError, match="0 features: a covariance needs at least 2"):
        accumulator.moments()
    accumulator.add(normal(1, 3))
    with pytest.raises(DataError, match="1 features"):
        accumulator.moments()
    with pytest.raises(DataError, match=r"shape \[2, 4\]; it must be \[N, 3\]"):
        accumulator.add(normal(2, 4))
    with pytest.raises(DataError, match=r"\[N, D\]"):
        moments(np.zeros(3))
    with pytest.raises(DataError, match="not finite"):
        moments(np.array([[1.0, np.nan], [0.0, 0.0]]))
    with pytest.raises(DataError, match="3 and of 4 dimensions"):
        frechet_distance(normal(5, 3), normal(5, 4))


# ------------------------------------------------------------------------------------------------------ words


@pytest.mark.parametrize(("count", "short"), [(50_000, "50k"), (10_000, "10k"), (2048, "2048"), (500, "500")])
def test_numbers_of_images_are_written_as_the_field_does(count, short):
    assert short_number(count) == short


def test_too_few_images_are_said():
    assert in_words("fid50k", num_generated=50_000, num_real=50_000, dimensions=2048) == []
    assert in_words("fid2048", num_generated=2048, num_real=2048, dimensions=2048) == []
    few = in_words("fid2047", num_generated=2047, num_real=2047, dimensions=2048)
    assert len(few) == 1
    assert few[0].startswith("fid2047: 2,047 generated and 2,047 real images for 2,048 features")
    (fewer_real,) = in_words("fid10k", num_generated=10_000, num_real=4_000, dimensions=2048)
    assert "against all 4,000 real ones" in fewer_real
