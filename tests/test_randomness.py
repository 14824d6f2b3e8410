import numpy as np
import pytest
from scipy import stats

from latentlab.randomness import derive_seed, normal_rows, random_bits, uniform_rows

FIRST_NORMALS = [0.0684443, 0.237774, 0.2229291]


@pytest.mark.parametrize("width", [1, 3, 4, 7, 512])
def test_rows_are_the_same_however_they_are_asked_for(width):
    together = normal_rows(3, "z", slice(0, 50), width)
    parts = np.concatenate([normal_rows(3, "z", slice(a, b), width) for a, b in [(0, 1), (1, 17), (17, 50)]])
    scattered = normal_rows(3, "z", np.array([49, 0, 1, 2, 30]), width)
    assert np.array_equal(together, parts)
    assert np.array_equal(scattered, together[[49, 0, 1, 2, 30]])


def test_seeds_streams_and_rows_differ():
    base = uniform_rows(0, "z", slice(0, 4), 16)
    assert not np.intersect1d(base, uniform_rows(1, "z", slice(0, 4), 16)).size
    assert not np.intersect1d(base, uniform_rows(0, "noise", slice(0, 4), 16)).size
    assert len(np.unique(base)) == base.size


def test_distributions_are_uniform_and_normal():
    uniform = uniform_rows(7, "t", slice(0, 20_000), 1)
    normal = normal_rows(7, "z", slice(0, 5000), 4)
    assert uniform.min() > 0
    assert uniform.max() < 1
    assert stats.kstest(uniform.ravel(), "uniform").pvalue > 0.01
    assert stats.kstest(normal.ravel(), "norm").pvalue > 0.01


def test_no_rows_give_an_empty_array_and_far_rows_work():
    assert uniform_rows(0, "z", slice(5, 5), 3).shape == (0, 3)
    assert uniform_rows(0, "z", np.array([], int), 3).shape == (0, 3)
    far = slice(10**12, 10**12 + 1)
    assert np.array_equal(uniform_rows(0, "z", far, 3), uniform_rows(0, "z", np.array([10**12]), 3))


def test_derived_seeds_are_fixed_and_fit_in_63_bits():
    assert derive_seed(0, "a") == derive_seed(0, "a") != derive_seed(0, "b")
    assert all(0 <= derive_seed(i, "x") < 2**63 for i in range(100))


def test_the_numbers_of_a_seed_never_change():
    """Computed by this module with NumPy 2.4: a change would make every published number irreproducible."""
    assert normal_rows(0, "z", slice(0, 1), 3)[0] == pytest.approx(FIRST_NORMALS, abs=1e-6)


@pytest.mark.parametrize("width", [1, 2, 3, 8, 9, 100])
def test_bits_are_the_same_however_they_are_asked_for(width):
    together = random_bits(3, "noise", slice(0, 50), width)
    parts = np.concatenate([random_bits(3, "noise", slice(a, b), width) for a, b in [(0, 1), (1, 17), (17, 50)]])
    assert together.dtype == np.uint32
    assert np.array_equal(together, parts)
    assert np.array_equal(random_bits(3, "noise", np.array([49, 0, 30]), width), together[[49, 0, 30]])
    assert len(np.unique(together)) > 0.99 * together.size


def test_every_bit_is_set_half_of_the_time():
    bits = np.unpackbits(random_bits(0, "noise", slice(0, 4000), 5).view(np.uint8)).reshape(-1, 32)
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 0.02
