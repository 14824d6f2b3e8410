"""Where the paths are: two random latents, a place between them, and the noise that goes with them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from latentlab.latents import lerp, sample_z, slerp, slerp_with_lengths
from latentlab.metrics.path_length.protocols import Interpolation, PathSettings
from latentlab.protocols import GeneratorLike, draw_noise, takes_noise
from latentlab.randomness import uniform_rows


@dataclass(frozen=True)
class Draws:
    """What is random about some pairs.

    Attributes:
        z0: Where the paths begin, [n, z_dim].
        z1: Where they end, [n, z_dim].
        t: Uniform in [0, 1), [n, 1]; where on the path "full" sampling looks, and which end "ends" takes.
        noise: The noise of every layer, [n or 1, 1, H, W] each; None lets the generator draw its own.
        labels: What a conditional generator shows, the same at both ends of a path, [n, c_dim]; None gives its mapping
            none.
    """

    z0: Tensor
    z1: Tensor
    t: Tensor
    noise: list[Tensor] | None = None
    labels: Tensor | None = None

    def to(self, device: torch.device) -> "Draws":
        """The same on a device."""
        layers = None if self.noise is None else [layer.to(device) for layer in self.noise]
        labels = None if self.labels is None else self.labels.to(device)
        return Draws(self.z0.to(device), self.z1.to(device), self.t.to(device), layers, labels)


Drawn = Callable[[slice], Draws]
"""Some rows of a measurement -> what is random about them."""


def draws_of(generator: GeneratorLike, seed: int, *, noise: bool) -> Drawn:
    """Draws by address: row i is a function of the seed and i alone."""

    def drawn(rows: slice) -> Draws:
        z0, z1 = (sample_z(seed, rows, generator.z_dim, stream=stream) for stream in ("ppl-z0", "ppl-z1"))
        t = torch.from_numpy(uniform_rows(seed, "ppl-t", rows, 1).astype(np.float32))
        layers = (
            draw_noise(generator, rows, seed=seed, stream="ppl-noise") if noise and takes_noise(generator) else None
        )
        return Draws(z0, z1, t, layers)

    return drawn


WALKS: dict[Interpolation, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "slerp": slerp,
    "slerp-norm": slerp_with_lengths,
    "lerp": lerp,
}


class Paths:
    """The paths of some pairs, of which several settings look at their own places.

    Args:
        generator: In eval mode.
        draws: What is random, on the generator's device.
    """

    def __init__(self, generator: GeneratorLike, draws: Draws) -> None:
        self.generator, self.draws = generator, draws
        self._ends: tuple[Tensor, Tensor] | None = None

    def ws(self, settings: PathSettings, t: Tensor) -> Tensor:
        """ws at the places t [n, 1] of the paths, [n, num_ws, w_dim]; differentiable by t."""
        if settings.space == "w":
            return lerp(*self._mapped(), t[:, :, None])
        return self._mapping(WALKS[settings.walk(self.generator)](self.draws.z0, self.draws.z1, t))

    def places(self, settings: PathSettings) -> Tensor:
        """t of the first image of each pair, [n, 1]."""
        t = self.draws.t
        if settings.sampling == "full":
            return t
        return (t >= 0.5).to(t.dtype) if settings.sampling == "ends" else torch.zeros_like(t)

    def _mapped(self) -> tuple[Tensor, Tensor]:
        """f(z0) and f(z1), once for all settings."""
        if self._ends is None:
            self._ends = (self._mapping(self.draws.z0), self._mapping(self.draws.z1))
        return self._ends

    def _mapping(self, z: Tensor) -> Tensor:
        if self.draws.labels is None:
            return self.generator.mapping(z)
        mapping: Callable[..., Tensor] = self.generator.mapping
        return mapping(z, self.draws.labels)
