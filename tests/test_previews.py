"""Images for the report, the sliced Wasserstein distance, and image grids."""

import numpy as np
import pytest
import torch
from fake_generator import FakeGenerator

from latentlab.images import grid, to_float, to_uint8
from latentlab.metrics.sliced_wasserstein import laplacian_pyramid, patches, sliced_wasserstein, snapshot_metric
from latentlab.networks import Generator, GeneratorConfig, initialised
from latentlab.previews import NUM_PAIRS, NUM_SAMPLES, NUM_STEPS, previews_show, render_previews, save_previews


@pytest.fixture
def generator():
    config = GeneratorConfig(
        resolution=16, fmap_base=32, fmap_max=4, z_dim=4, w_dim=4, mapping_fmaps=4, mapping_layers=1
    )
    return initialised(lambda: Generator(config), 0).eval()


def test_shapes_and_repeatability(generator):
    arrays = render_previews(generator, seed=1)
    assert arrays["samples"].shape == (NUM_SAMPLES, 16, 16, 3)
    for space in "zw":
        assert arrays[f"interpolation_{space}"].shape == (NUM_PAIRS, NUM_STEPS, 16, 16, 3)
    again = render_previews(generator, seed=1)
    assert all(np.array_equal(arrays[name], again[name]) for name in arrays)
    assert not np.array_equal(arrays["samples"], render_previews(generator, seed=2)["samples"])


def test_both_walks_join_the_same_images(generator):
    arrays = render_previews(generator)
    for end in (0, -1):
        z, w = (arrays[f"interpolation_{space}"][:, end].astype(int) for space in "zw")
        assert np.abs(z - w).max() <= 1
    assert not np.array_equal(arrays["interpolation_z"][:, 4], arrays["interpolation_w"][:, 4])


def test_saved_previews_know_their_network(tmp_path, generator):
    path = tmp_path / "previews.npz"
    assert not previews_show(path, "a" * 64)
    save_previews(path, generator, sha256="a" * 64)
    assert previews_show(path, "a" * 64)
    assert not previews_show(path, "b" * 64)
    path.write_bytes(b"damaged")
    assert not previews_show(path, "a" * 64)


def test_grid_and_conversion():
    images = np.zeros((3, 2, 2, 3), np.uint8)
    images[1] = 255
    sheet = np.asarray(grid(images, 2, enlarge=2))
    assert sheet.shape == (8, 8, 3)
    assert sheet[:4, 4:].min() == 255
    assert sheet[:4, :4].max() == sheet[4:].max() == 0
    assert np.array_equal(to_uint8(to_float(images)), images)


class Pictures:
    def __init__(self, images):
        self.all = images

    def __len__(self):
        return len(self.all)

    def images(self, indices):
        return self.all[indices]


def _noise(seed, smooth=0):
    images = torch.rand(40, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
    for _ in range(smooth):
        images = torch.nn.functional.avg_pool2d(images, 3, 1, 1)
    return images * 2 - 1


def test_pyramid_adds_up():
    details, rest = laplacian_pyramid(_noise(0))
    assert (details.shape[-1], rest.shape[-1]) == (32, 16)
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    kernel = torch.outer(taps, taps).expand(3, 1, 5, 5)
    large = torch.nn.functional.interpolate(rest, scale_factor=2)
    large = torch.nn.functional.conv2d(torch.nn.functional.pad(large, (2, 2, 2, 2), mode="reflect"), kernel, groups=3)
    torch.testing.assert_close(details + large, _noise(0))


def test_distance_is_zero_for_the_same_and_grows_with_the_difference():
    sets = [patches(images, seed=0)[0] for images in (_noise(0), _noise(1), _noise(1, smooth=1), _noise(1, smooth=3))]
    same, fresh, blurred, more = (sliced_wasserstein(sets[0], other, seed=0) for other in sets)
    assert same == 0
    assert 0 < fresh < blurred < more


def test_snapshot_metric_is_small_for_images_of_the_generator_itself():
    fake = FakeGenerator()
    z = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    own = to_uint8(fake.synthesis(fake.mapping(z), noise_mode="none"))
    other = np.broadcast_to(np.linspace(0, 255, own.shape[2], dtype=np.uint8)[:, None], own.shape)  # a ramp
    near, far = (snapshot_metric(Pictures(images), seed=0)(fake, 0)["swd"] for images in (own, other))
    assert 0 < near < far / 3
