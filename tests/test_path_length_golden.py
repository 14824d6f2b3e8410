"""Path lengths end to end on the networks of tests/reference/networks.md, beside a literal float64 evaluation.

The networks' images are those of the official code (test_networks.py). Here every step from latents to distances is
written out once more, in float64 and by nothing of `latentlab.metrics`: paper, section 4.1, and the official order.
"""

import copy

import numpy as np
import pytest
import torch
from test_networks import _generator
from test_path_length_official import BlockMeans

from latentlab.metrics.path_length import Draws, PathSettings, path_lengths

PAIRS = 12
EPSILON = 1e-2
CLOSE = 4e-4  # float32 against float64 at this step


def drawn(generator):
    random = torch.Generator().manual_seed(5)
    z0, z1 = torch.randn(2, PAIRS, generator.z_dim, generator=random)
    t = torch.rand(PAIRS, 1, generator=random)
    shapes = generator.synthesis.noise_shapes
    return Draws(z0, z1, t, [torch.randn(PAIRS, 1, *shape, generator=random) for shape in shapes])


def literal(generator, draws, space, sampling, *, crop):
    """d(G(p(t)), G(p(t + eps))) / eps^2 in float64, [PAIRS]."""
    g = copy.deepcopy(generator).double()
    z0, z1, t = draws.z0.double(), draws.z1.double(), draws.t.double()
    noise = {"noise": [layer.double() for layer in draws.noise]} if draws.noise else {}
    if sampling == "end":
        t = torch.zeros_like(t)
    images = []
    for place in (t, t + EPSILON):
        if space == "z":
            a, b = (z / z.norm(dim=1, keepdim=True) for z in (z0, z1))
            angle = torch.acos((a * b).sum(dim=1, keepdim=True))
            on_sphere = (torch.sin((1 - place) * angle) * a + torch.sin(place * angle) * b) / torch.sin(angle)
            ws = g.mapping(on_sphere)
        else:
            w0, w1 = g.mapping(z0), g.mapping(z1)
            ws = w0 + (w1 - w0) * place[:, :, None]
        image = g.synthesis(ws, "random", **noise)
        c = generator.img_resolution // 8
        images.append(image[:, :, 3 * c : 7 * c, 2 * c : 6 * c] if crop else image)
    blocks = [(image + 1).div(2).unfold(2, 4, 4).unfold(3, 4, 4).mean(dim=(-1, -2)) for image in images]
    return ((blocks[0] - blocks[1]) ** 2).sum(dim=(1, 2, 3)) / EPSILON**2


@pytest.mark.parametrize("sampling", ["full", "end"])
@pytest.mark.parametrize(
    ("name", "space"),
    [(name, space) for name in ("style_d8", "style_d8_res128") for space in "zw"]
    + [(name, "z") for name in ("style_d0", "trad_d0", "config_c")],  # where W is Z
)
def test_path_lengths_of_networks_are_what_the_formula_gives(recording, name, space, sampling):
    generator = _generator(recording, name)
    draws = drawn(generator)
    for crop in (False, True):
        with torch.no_grad():
            expected = literal(generator, draws, space, sampling, crop=crop)
        settings = PathSettings(space, sampling, EPSILON, crop=crop)
        found = path_lengths(
            generator, BlockMeans(), settings, num_samples=PAIRS, batch_size=PAIRS, draws=lambda rows: draws
        )
        np.testing.assert_allclose(found, expected, rtol=CLOSE)
        assert expected.std() > 0.01 * expected.mean()
