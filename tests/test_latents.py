from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import special, stats

from latentlab.latents import lerp, normalize, sample_noise, sample_z, slerp, truncate
from latentlab.randomness import random_bits

REFERENCE = Path(__file__).parent / "reference"


@pytest.fixture(scope="module")
def official():
    with np.load(REFERENCE / "ppl_interp.npz") as file:
        return {name: torch.from_numpy(np.atleast_1d(file[name])) for name in file.files}


@pytest.mark.parametrize("end", ["", "_eps"])
def test_interpolation_equals_the_official_one(official, end):
    t = official["t"][:, None] + (official["epsilon"].float() if end else 0)
    torch.testing.assert_close(slerp(official["a"], official["b"], t), official["slerp" + end], rtol=0, atol=2e-7)
    walked = lerp(official["wa"], official["wb"], t[:, :, None])
    torch.testing.assert_close(walked, official["lerp" + end], rtol=0, atol=1e-6)
    torch.testing.assert_close(normalize(official["a"]), official["normalize_a"], rtol=0, atol=1e-7)


def test_noise_is_normal_by_the_inverse_error_function():
    layers = sample_noise(5, slice(0, 400), [(4, 4), (3, 5)])
    flat = torch.cat([layer.flatten(1) for layer in layers], dim=1).double().numpy()
    uniform = ((random_bits(5, "noise", slice(0, 400), 31) >> 8) + 0.5) / 2**24
    signed = np.where(uniform < 0.5, uniform + 0.5, uniform - 0.5)  # the highest bit is the sign
    np.testing.assert_allclose(flat, special.ndtri(signed), atol=3e-6)
    assert stats.kstest(flat.ravel(), "norm").pvalue > 0.01


def test_noise_of_a_row_is_the_same_in_any_company():
    shapes = [(4, 4), (8, 8)]
    together = sample_noise(0, slice(0, 64), shapes)
    for rows in (slice(5, 6), slice(7, 20), slice(33, 64)):
        for part, whole in zip(sample_noise(0, rows, shapes), together, strict=True):
            assert torch.equal(part, whole[rows])


def test_slerp_has_unit_length_and_constant_speed():
    a, b = sample_z(0, slice(0, 2), 64)
    steps = torch.linspace(0, 1, 11)[:, None]
    path = slerp(a.expand(11, -1), b.expand(11, -1), steps)
    torch.testing.assert_close(path.norm(dim=1), torch.ones(11))
    angles = torch.acos((path[1:] * path[:-1]).sum(dim=1))
    assert angles.std() < 1e-3 * angles.mean()
    torch.testing.assert_close(path[[0, -1]], normalize(torch.stack([a, b])), atol=1e-6, rtol=0)


def test_slerp_is_finite_where_the_ends_are_equal_or_opposite():
    a = sample_z(0, slice(0, 1000), 64)
    same = slerp(a, a, torch.full((1000, 1), 0.3))
    torch.testing.assert_close(same, normalize(a), atol=1e-3, rtol=0)
    assert slerp(a, -a, torch.full((1000, 1), 0.3)).isfinite().all()
    assert not normalize(torch.zeros(2, 3)).any()


def test_samples_are_functions_of_seed_stream_and_row():
    assert torch.equal(sample_z(5, slice(0, 9), 16)[4:], sample_z(5, np.arange(4, 9), 16))
    assert not torch.equal(sample_z(5, slice(0, 9), 16), sample_z(5, slice(0, 9), 16, stream="ppl-z0"))
    noise = sample_noise(5, slice(2, 5), [(4, 4), (8, 8)])
    assert [tuple(layer.shape) for layer in noise] == [(3, 1, 4, 4), (3, 1, 8, 8)]
    alone = sample_noise(5, slice(4, 5), [(4, 4), (8, 8)])
    assert all(torch.equal(layer[2:], row) for layer, row in zip(noise, alone, strict=True))


def test_truncation_moves_the_first_layers_towards_the_average():
    ws, average = torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(0)), torch.ones(8)
    assert torch.equal(truncate(ws, average, 1), ws)
    torch.testing.assert_close(truncate(ws, average, 0), torch.ones_like(ws))
    partial = truncate(ws, average, 0.5, cutoff=3)
    torch.testing.assert_close(partial[:, :3], (ws[:, :3] + 1) / 2)
    assert torch.equal(partial[:, 3:], ws[:, 3:])
