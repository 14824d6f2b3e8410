"""A tiny generator, labeller and distance that fit the protocols; deterministic, with known answers."""

import hashlib

import numpy as np
import torch

from latentlab.latents import normalize
from latentlab.results import NetworkName

NETWORK = NetworkName(name="fake", sha256=hashlib.sha256(b"fake").hexdigest())


def matrix(name: str, rows: int, columns: int) -> torch.Tensor:
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")
    values = np.random.default_rng(seed).normal(size=(rows, columns)) / np.sqrt(rows)
    return torch.from_numpy(values.astype(np.float32))


class Synthesis:
    """Images linear in the last w, plus noise; with `noise_shapes` as LatentLab's networks have."""

    def __init__(self, generator: "FakeGenerator", noise: float) -> None:
        self.generator, self.noise_strength, self.batches = generator, noise, []
        self.noise_shapes = [(generator.img_resolution,) * 2] if noise else []

    def __call__(self, ws, noise_mode="random", noise=None):
        self.batches.append(len(ws))
        flat = ws[:, -1] @ self.generator.paint
        images = flat.reshape(-1, self.generator.img_channels, *(self.generator.img_resolution,) * 2)
        if noise is not None:
            assert noise_mode == "random"
            images = images + self.noise_strength * noise[0].to(images.dtype)
        return images


class ForeignSynthesis:
    """As users' generators: no `noise` argument, noise from torch's global generator."""

    def __init__(self, generator: "FakeGenerator") -> None:
        self.plain = Synthesis(generator, 0.0)

    def __call__(self, ws, noise_mode="random"):
        images = self.plain(ws)
        return images + 0.1 * torch.randn(images.shape) if noise_mode == "random" else images


class FakeGenerator:
    thread_safe = True

    def __init__(self, *, resolution=16, noise=0.1, foreign=False, linear=False, has_mapping=True, scale=1.0) -> None:
        self.z_dim = self.w_dim = 8
        self.num_ws, self.img_resolution, self.img_channels = 3, resolution, 3
        self.linear, self.has_mapping = linear, has_mapping
        self.w_avg = torch.full((8,), 0.25)
        self.paint = matrix("paint", 8, 3 * resolution**2) * scale
        self.synthesis = ForeignSynthesis(self) if foreign else Synthesis(self, noise)

    def mapping(self, z):
        w = z if self.linear else torch.tanh(normalize(z) @ matrix("map", 8, 8) * 3)
        return w[:, None].repeat(1, self.num_ws, 1)


class FakeLabeller:
    name, attributes, resolution = "fake-classifiers", ("left", "right", "rare"), 8
    sha256 = hashlib.sha256(b"fake-classifiers").hexdigest()

    def __init__(self) -> None:
        self.stop_after = None
        self.calls = 0

    def __call__(self, images):
        self.calls += 1
        if self.stop_after is not None and self.calls > self.stop_after:
            raise KeyboardInterrupt
        assert images.shape[1:] == (3, self.resolution, self.resolution)
        return images.flatten(1) @ matrix("label", 3 * self.resolution**2, 3) * 10 - torch.tensor([0.0, 0.0, 8.0])


class SquaredDistance:
    """Mean squared difference."""

    name, sha256, min_size = "mse", hashlib.sha256(b"mse").hexdigest(), 1

    def __call__(self, a, b):
        return (a - b).square().mean(dim=(1, 2, 3))
