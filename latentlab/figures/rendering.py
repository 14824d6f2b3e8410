"""Images of a generator for figures: latents by address, images in blocks of rows, tiles of a size that can be seen."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from latentlab.blocks import block_rows, spread
from latentlab.errors import DataError, UsageError
from latentlab.images import box_resize, quantized
from latentlab.latents import sample_z, truncate
from latentlab.metrics.path_length import EPSILON
from latentlab.progress import Progress
from latentlab.protocols import GeneratorLike, NoiseMode, draw_noise, normalizes_z, synthesize, takes_noise
from latentlab.results import NetworkName

LEAST_TILE, MOST_TILE = 128, 256
"""Widths in pixels: smaller images are enlarged by a whole factor, larger ones reduced by means of boxes."""
LEVELS = 127.5
"""Grey levels of 8 bits per unit of an image in [-1, 1]."""


@dataclass(frozen=True)
class FigureSettings:
    """What decides the pictures, beside the network.

    Attributes:
        seed: Row i of everything random is a function of the seed and i alone.
        truncation_psi: Of all figures but those of truncation and interpolation; 1 for none.
        noise_draws: Images of one latent of which the deviation is taken.
        num_pairs: Pairs between which is interpolated.
        speed_points: Places on a path at which its speed is measured.
        epsilon: Step along the path of the speed; that of path lengths, if left out.
        num_edits: Attributes along whose directions is moved.
    """

    seed: int = 0
    truncation_psi: float = 1.0
    noise_draws: int = 100
    num_pairs: int = 4
    speed_points: int = 65
    epsilon: float = EPSILON
    num_edits: int = 4

    def __post_init__(self) -> None:
        """Check.

        Raises:
            UsageError: A value is not allowed.
        """
        if not math.isfinite(self.truncation_psi):
            raise UsageError(f"truncation psi is {self.truncation_psi}; it must be a finite number, 1 for none.")
        least = {"noise_draws": 4, "num_pairs": 1, "speed_points": 2, "num_edits": 1}
        for name, few in least.items():
            if getattr(self, name) < few:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be at least {few}.")
        if not 0 < self.epsilon < 1:
            raise UsageError(f"epsilon is {self.epsilon:g}; it must be above 0 and below 1.")


class Counted:
    """Tells a progress how many of a figure's images are made."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0
        progress(0, total)

    def add(self, count: int) -> None:
        """So many more are made."""
        self._done += count
        self._progress(self._done, self._total)


@dataclass(frozen=True)
class Renderer:
    """Makes images of a generator by address.

    Attributes:
        generator: In eval mode, on `device`.
        network: Who it is.
        settings: Of the figures.
        device: Where it is.
    """

    generator: GeneratorLike
    network: NetworkName
    settings: FigureSettings = FigureSettings()
    device: torch.device | str = "cpu"

    @property
    def resolution(self) -> int:
        """Height and width of the images."""
        return self.generator.img_resolution

    @property
    def w_avg(self) -> Tensor:
        """The average of W, [w_dim]."""
        return torch.as_tensor(self.generator.w_avg, device=self.device)

    @property
    def has_noise(self) -> bool:
        """Whether the synthesis has noise, as far as it says."""
        return not takes_noise(self.generator) or bool(self.generator.synthesis.noise_shapes)  # type: ignore[attr-defined]

    def z(self, count: int, stream: str) -> Tensor:
        """The first rows of a stream of latents, [count, z_dim]."""
        return sample_z(self.settings.seed, slice(0, count), self.generator.z_dim, stream=stream).to(self.device)

    @torch.inference_mode()
    def ws(self, count: int, stream: str) -> Tensor:
        """The same, mapped and truncated by the settings' psi, [count, num_ws, w_dim]."""
        return truncate(self.generator.mapping(self.z(count, stream)), self.w_avg, self.settings.truncation_psi)

    def images(
        self,
        ws: Tensor,
        finish: Callable[[Tensor], Tensor],
        *,
        stream: str,
        first: int = 0,
        noise_mode: NoiseMode = "random",
        noisy: Sequence[bool] | None = None,
        counted: Counted | None = None,
    ) -> np.ndarray:
        """What `finish` makes of images, [rows, views, ...]; all views of a row share its noise.

        Args:
            ws: [rows, views, num_ws, w_dim].
            finish: Images [N, C, H, W] -> N results, of whole pictures or of what is kept of them.
            stream: Of the noise, whose row is a row's number; `first` is that of ws's first row.
            first: See there.
            noise_mode: As the generator takes it.
            noisy: Which layers' noise is not zero; None for all. For generators that take noise.
            counted: Told how many are made.

        Raises:
            DataError: Images are not finite.
        """
        at_once = block_rows(self.resolution)
        rows, views = max(at_once // ws.shape[1], 1), min(at_once, ws.shape[1])

        @torch.inference_mode()
        def block(item: tuple[Tensor, slice]) -> Tensor:
            part, numbers = item
            noise = self._noise(numbers, stream, noisy) if noise_mode == "random" else None
            made = synthesize(
                self.generator,
                list(part.unbind(1)),
                rows=numbers,
                seed=self.settings.seed,
                stream=stream,
                noise_mode=noise_mode,
                noise=noise,
            )
            if not all(torch.isfinite(images).all() for images in made):
                raise DataError(f"{self.network.name} makes images that are not finite: nothing can be drawn of them.")
            return torch.stack([finish(images) for images in made], dim=1).cpu()

        items = [
            (part, slice(first + start, first + start + len(part)))
            for start, whole in zip(range(0, len(ws), rows), ws.split(rows), strict=True)
            for part in whole.split(views, dim=1)
        ]
        found: dict[int, list[Tensor]] = {}
        for (_, numbers), made in spread(block, items, self.generator, self.device):
            found.setdefault(numbers.start, []).append(made)
            if counted is not None:
                counted.add(made.shape[0] * made.shape[1])
        return torch.cat([torch.cat(row, dim=1) for row in found.values()]).numpy()

    def _noise(self, rows: slice, stream: str, noisy: Sequence[bool] | None) -> list[Tensor] | None:
        if not takes_noise(self.generator):
            return None
        drawn = draw_noise(self.generator, rows, seed=self.settings.seed, stream=stream)
        if noisy is None:
            return drawn
        return [layer if kept else torch.zeros_like(layer) for layer, kept in zip(drawn, noisy, strict=True)]

    def note(self, *words: str, truncated: bool = True) -> str:
        """What stands below a title: the network, what is not as it is by default, and more words."""
        psi = self.settings.truncation_psi
        cut = [f"truncation ψ {minus(psi)}"] if truncated and psi != 1 else []
        return ", ".join(filter(None, [self.network.name, *cut, f"seed {self.settings.seed}", *words]))


def tile_size(resolution: int, *, least: int = LEAST_TILE, most: int = MOST_TILE) -> int:
    """Width of images of a resolution in a picture: a whole multiple if they are small, at most `most` if large."""
    return min(resolution, most) if resolution >= least else resolution * -(-least // resolution)


def fitted(images: Tensor, room: int) -> Tensor:
    """Float images [N, C, H, H] -> uint8 [N, h, h, 3] of h <= room: enlarged by a whole factor, or means of boxes."""
    size = images.shape[-1]
    if size > room:
        images = box_resize(images, room)
    pixels = quantized(images)
    pixels = pixels[..., :3] if pixels.shape[-1] >= 3 else pixels[..., :1].expand(-1, -1, -1, 3)
    factor = max(room // size, 1)
    return pixels.repeat_interleave(factor, dim=1).repeat_interleave(factor, dim=2)


def walk_in_words(generator: GeneratorLike) -> str:
    """How Z is walked."""
    return "slerp" if normalizes_z(generator) else "slerp, lengths interpolated"


def minus(value: float) -> str:
    """A number as pictures write it, with a real minus sign."""
    return f"{value:g}".replace("-", "−")
