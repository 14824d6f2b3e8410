"""Distances of StyleGAN2-ADA's official sampler on a generator of a few cosines (tests/reference/metrics.md)."""

from pathlib import Path

import numpy as np
import pytest
import torch

from latentlab.metrics.path_length import Draws, PathSettings, path_lengths, trim_bounds, trimmed_mean, view, view_size

with np.load(Path(__file__).parent / "reference" / "ppl_stylegan2_ada.npz") as file:
    OFFICIAL = dict(file)
CASES = sorted({name.rsplit("/", 1)[0] for name in OFFICIAL if name.startswith("toy")})


class Cosines:
    """ws = tanh(z M); images are cosines whose weights are linear in ws, times (1 + noise / 4)."""

    z_dim, w_dim, num_ws = 8, 8, 3
    w_avg = torch.zeros(8)
    normalizes_z = True

    def __init__(self, resolution: int, channels: int, kind: torch.dtype) -> None:
        self.img_resolution, self.img_channels = resolution, channels
        self.m, a, self.f, self.phi = (
            torch.from_numpy(OFFICIAL[f"in/toy/{name}"]).to(kind) for name in ("M", "A", "f_cycles_per_512px", "phi")
        )
        self.a, self.kind, self.synthesis = a[:, :channels], kind, self._Synthesis(self)

    def mapping(self, z):
        return torch.tanh(z.to(self.kind) @ self.m).reshape(len(z), 3, 8)

    class _Synthesis:
        noise_shapes = ((16, 16),)

        def __init__(self, outer) -> None:
            self.outer = outer

        def __call__(self, ws, *, noise, noise_mode="random"):
            toy, size = self.outer, self.outer.img_resolution
            pixels = torch.arange(size, dtype=toy.kind)
            turns = (toy.f[:, 0, None, None] * pixels + toy.f[:, 1, None, None] * pixels[:, None]) / 512
            waves = torch.cos(2 * np.pi * turns + toy.phi[:, None, None])
            images = torch.einsum("nj,jck,khw->nchw", ws.flatten(1), toy.a, waves)
            spread = noise[0].to(toy.kind).repeat_interleave(size // 16, 2).repeat_interleave(size // 16, 3)
            return images * (1 + 0.25 * spread)


class BlockMeans:
    """Squared differences of means of 4 x 4 blocks, of pixels from 0 to 1."""

    name, sha256, min_size = "blocks", "0" * 64, 4

    def __init__(self) -> None:
        self.seen = []

    def __call__(self, a, b):
        self.seen.append((a, b))
        means = [torch.nn.functional.avg_pool2d((x.expand(-1, 3, -1, -1) + 1) / 2, 4) for x in (a, b)]
        return (means[0] - means[1]).square().sum(dim=(1, 2, 3))

    def speed(self, images, directions, *, precision):
        return self(directions, torch.zeros_like(directions))


def settings_of(case, **more):
    space, sampling, crop, epsilon = case.split("/")[1].split("_")
    how = {"epsilon": float(epsilon), "crop": crop == "crop", "protocol": "stylegan2-ada"}
    return PathSettings(space, sampling, **how, **more)


def drawn(rows):
    """The first half of the official latents begins the paths."""
    z0, z1 = torch.from_numpy(OFFICIAL["in/toy/z01"]).chunk(2)
    noise = torch.from_numpy(OFFICIAL["in/toy/noise/synthesis.layer.noise_const"])[None, None]
    return Draws(z0[rows], z1[rows], torch.from_numpy(OFFICIAL["in/toy/t_uniform"])[rows, None], [noise])


def toy_of(case):
    resolution, channels = case.split("/")[0].removeprefix("toy").split("_c")
    return Cosines(int(resolution), int(channels), torch.float32)


@pytest.mark.parametrize("case", CASES)
def test_distances_and_what_the_distance_sees_equal_the_official_ones(case):
    toy, distance, settings = toy_of(case), BlockMeans(), settings_of(case)
    found = path_lengths(toy, distance, settings, num_samples=3, draws=drawn)
    np.testing.assert_allclose(found, OFFICIAL[f"{case}/dist_f64"], rtol=4e-4)
    seen = distance.seen[-1][0]
    assert seen.shape[-1] == view_size(toy.img_resolution, settings) == OFFICIAL[f"{case}/vgg_input_shape"][-1]
    official = torch.from_numpy(OFFICIAL[f"{case}/vgg_input_img0_strided"])
    image = ((seen[0, :, ::8, ::8] + 1) * 127.5).expand(3, -1, -1)
    torch.testing.assert_close(image, official, rtol=0, atol=2e-3)


@pytest.mark.parametrize("case", CASES)
def test_the_tangent_is_what_small_official_steps_tend_to(case):
    """At eps 1e-2 the official distances are off from their limit by a share of the order of eps."""
    found = path_lengths(toy_of(case), BlockMeans(), settings_of(case, method="tangent"), num_samples=3, draws=drawn)
    np.testing.assert_allclose(found, OFFICIAL[f"{case}/dist_f64"], rtol=0.03)


def test_the_official_aggregate():
    distances = OFFICIAL["aggregate/dist_all"][:101]
    assert trim_bounds(distances) == (OFFICIAL["aggregate/lo"], OFFICIAL["aggregate/hi"])
    assert trimmed_mean(distances)[0] == pytest.approx(float(OFFICIAL["aggregate/ppl_f64"]), rel=2e-2)


def test_the_two_generations_differ_in_what_they_see_from_512_pixels_on():
    """The older code shrinks by the cropped size, the newer one by the generator's."""
    for resolution, old, new in ((256, 128, 128), (512, 256, 128), (1024, 256, 128)):
        for protocol, size in (("stylegan", old), ("stylegan2-ada", new)):
            settings = PathSettings("w", "end", protocol=protocol)
            assert (
                view_size(resolution, settings)
                == size
                == view(torch.zeros(1, 3, resolution, resolution), settings).shape[-1]
            )
