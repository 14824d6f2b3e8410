"""Path lengths of torchmetrics and torch-fidelity, on the same latents and with the same distance."""

import numpy as np
import pytest
import torch
import torch_fidelity
from torch import nn
from torch_fidelity.sample_similarity_base import SampleSimilarityBase
from torchmetrics.functional.image import perceptual_path_length as torchmetrics_ppl

from latentlab.metrics.path_length import Draws, PathSettings, path_lengths, trimmed_mean
from latentlab.metrics.path_length.views import resized
from latentlab.networks import Generator, GeneratorConfig, initialised
from latentlab.perceptual import FeatureDistance

COUNT = 200


@pytest.fixture(scope="module")
def generator():
    config = GeneratorConfig(resolution=32, fmap_base=128, fmap_max=16, z_dim=16, w_dim=16, mapping_fmaps=16)
    return initialised(lambda: Generator(config), 0).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def distance():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        trunk = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.Softplus(), nn.Conv2d(8, 16, 3, stride=2)).eval()
    trunk.requires_grad_(False)

    def features(images):
        first = trunk[1](trunk[0](images))
        return [first, trunk[2](first)]

    return FeatureDistance(features, name="small", sha256="0" * 64, min_size=8)


def latents():
    rng = np.random.RandomState(3)
    return [torch.from_numpy(rng.randn(COUNT, 16)).float() for _ in range(2)]


def drawn(rows):
    z0, z1 = latents()
    return Draws(z0[rows], z1[rows], torch.zeros(rows.stop - rows.start, 1))


def ours(generator, distance, protocol):
    settings = PathSettings("z", "end", protocol=protocol, noise_mode="const")
    return path_lengths(generator, distance, settings, num_samples=COUNT, batch_size=50, draws=drawn)


class AsTheyWant(nn.Module):
    """Images in [0, 255] from z, under constant noise."""

    def __init__(self, generator) -> None:
        super().__init__()
        self.generator, self.left = generator, latents()

    def sample(self, count):
        assert count == COUNT
        return self.left.pop(0)

    def forward(self, z):
        return (self.generator(z, noise_mode="const") + 1) * 127.5


def test_equals_torchmetrics(generator, distance):
    class Similarity(nn.Module):
        def forward(self, a, b):
            return distance(resized(a, 64), resized(b, 64))

    mean, _, kept = torchmetrics_ppl(AsTheyWant(generator), num_samples=COUNT, batch_size=50, sim_net=Similarity())
    found, count = trimmed_mean(ours(generator, distance, "torchmetrics"), ("lower", "lower"))
    assert count == len(kept)
    assert found == pytest.approx(float(mean), rel=1e-4)


def test_equals_torch_fidelity(generator, distance):
    class Similarity(SampleSimilarityBase):
        def __init__(self, name, sample_similarity_resize=None, sample_similarity_dtype=None, **_) -> None:
            super().__init__(name)
            self.size = sample_similarity_resize

        def forward(self, a, b):
            return distance(*(resized(x / 127.5 - 1, self.size) for x in (a, b)))

    torch_fidelity.register_sample_similarity("small", Similarity)
    torch_fidelity.register_noise_source("pinned", lambda rng, shape: torch.from_numpy(rng.randn(*shape)).float())
    wrapped = torch_fidelity.GenerativeModelModuleWrapper(AsTheyWant(generator), 16, "normal", 0)
    theirs = torch_fidelity.calculate_metrics(
        input1=wrapped,
        input1_model_num_samples=COUNT,
        ppl=True,
        ppl_sample_similarity="small",
        ppl_sample_similarity_dtype="float32",
        ppl_reduction="none",
        ppl_discard_percentile_lower=None,  # its call of numpy.percentile fails from numpy 2.4 on
        ppl_discard_percentile_higher=None,
        rng_seed=3,
        batch_size=50,
        cuda=False,
        verbose=False,
    )
    found = ours(generator, distance, "torch-fidelity")
    np.testing.assert_allclose(found, theirs["perceptual_path_length_raw"], rtol=2e-2)
    assert found.mean() == pytest.approx(theirs["perceptual_path_length_mean"], rel=1e-4)
