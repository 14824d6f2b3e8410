"""Path lengths of StyleGAN2 against the official sampler's (tests/reference/stylegan2-3/README.md)."""

import json

import numpy as np
import pytest
import torch
from test_path_length_official import BlockMeans, settings_of
from test_stylegan2 import ADA, FOLDER, arrays, official

from latentlab.metrics.path_length import Draws, path_lengths, view
from latentlab.metrics.path_length.paths import Paths
from latentlab.stylegan2 import Generator, official_generator_config

PPL = json.loads((FOLDER / "ppl.json").read_text())
OFFICIAL = arrays("ppl")
CASES = [case["name"] for case in PPL["cases"] if case["name"].startswith("g64")]
CONDITIONAL = sorted({case["name"].rsplit("/", 1)[0] for case in PPL["cases"] if case["name"].startswith("cond32")})


@pytest.fixture(scope="module")
def g64():
    generator = Generator(official_generator_config(PPL["generator_g64"]["init_kwargs"], ADA))
    generator.load_state_dict(arrays("ppl_g64.weights"))
    generator.to(memory_format=torch.channels_last)  # as network folders are loaded
    return generator.eval().requires_grad_(False)


@pytest.fixture
def exact(g64):
    """The same in float64."""
    again = Generator(g64.config).double()
    again.load_state_dict(g64.state_dict())
    return again.eval().requires_grad_(False)


def recorded(generator, forward, *, labels=None, kind=torch.float32):
    """What the official sampler drew for a forward."""
    z0, z1 = OFFICIAL[f"in/{forward}/z01"].to(kind).chunk(2)
    names = [name for name, _ in generator.named_buffers() if name.endswith("noise_const")]
    noise = [OFFICIAL[f"in/{forward}/noise/{name}"].to(kind)[None, None] for name in names]
    return Draws(z0, z1, OFFICIAL[f"in/{forward}/t_uniform"].to(kind)[:, None], noise, labels)


def in_float64(generator, settings, draws):
    """Distances without the rounding of images to float32 that a measurement does."""
    paths = Paths(generator, draws)
    t = paths.places(settings)
    ws = torch.cat([paths.ws(settings, place) for place in (t, t + settings.epsilon)])
    before, after = view(generator.synthesis(ws, "random", draws.noise), settings).chunk(2)
    return BlockMeans()(before, after) / settings.epsilon**2


@pytest.mark.parametrize("case", CASES)
def test_distances_equal_the_official_ones(g64, case):
    distance, settings = BlockMeans(), settings_of(case)
    draws = recorded(g64, "g64")
    found = path_lengths(g64, distance, settings, num_samples=6, draws=lambda rows: draws)
    rounding = 4e-4 if settings.epsilon == 1e-2 else 3e-2
    np.testing.assert_allclose(found, OFFICIAL[f"{case}/dist_f64"], rtol=rounding)
    seen = OFFICIAL.get(f"{case}/vgg_input_pair0")
    if seen is not None:
        images = torch.stack([images[0] for images in distance.seen[-1]])
        torch.testing.assert_close((images + 1) * 127.5, seen, rtol=0, atol=2e-3)


@pytest.mark.parametrize("case", CASES)
def test_distances_in_float64_equal_the_official_ones_to_a_millionth(exact, case):
    found = in_float64(exact, settings_of(case), recorded(exact, "g64", kind=torch.float64))
    torch.testing.assert_close(found, OFFICIAL[f"{case}/dist_f64"], rtol=1e-6, atol=0)


@pytest.mark.parametrize("case", CONDITIONAL)
def test_both_ends_of_a_path_share_their_label_and_a_batch_its_noise(case):
    generator, settings = official("sg2_cond32")[0], settings_of(case)

    def drawn(rows):
        forward = f"batch{rows.start // 2}"
        return recorded(generator, f"cond32/{forward}", labels=OFFICIAL[f"{case}/{forward}/c"])

    found = path_lengths(generator, BlockMeans(), settings, num_samples=4, batch_size=2, draws=drawn)
    expected = [OFFICIAL[f"{case}/batch{index}/dist_f64"] for index in (0, 1)]
    np.testing.assert_allclose(found, torch.cat(expected), rtol=4e-4)
    generator.double()
    for index in (0, 1):
        labels = OFFICIAL[f"{case}/batch{index}/c"].double()
        draws = recorded(generator, f"cond32/batch{index}", labels=labels, kind=torch.float64)
        torch.testing.assert_close(in_float64(generator, settings, draws), expected[index], rtol=1e-6, atol=0)


@pytest.mark.parametrize("space", ["z", "w"])
@pytest.mark.parametrize("sampling", ["full", "end"])
def test_the_tangent_is_the_limit_of_central_differences(exact, space, sampling):
    settings = settings_of(f"g64/{space}_{sampling}_nocrop_1e-6", method="tangent")
    draws = recorded(exact, "g64", kind=torch.float64)
    found = path_lengths(exact, BlockMeans(), settings, num_samples=6, draws=lambda rows: draws)
    paths, step = Paths(exact, draws), 1e-6
    t = paths.places(settings)
    before, after = (exact.synthesis(paths.ws(settings, t + side), "random", draws.noise) for side in (-step, step))
    limit = BlockMeans()(before, after) / (2 * step) ** 2
    np.testing.assert_allclose(found, limit, rtol=2e-5)
