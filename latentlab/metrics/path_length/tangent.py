"""The path length's limit for ever smaller steps: the squared speed of the distance's features along the path.

For a distance d(a, b) = |phi(a) - phi(b)|^2 with smooth features phi, d(g(p(t)), g(p(t + e))) / e^2 tends to
|d/dt phi(g(p(t)))|^2 as e goes to 0. Forward-mode differentiation gives this derivative exactly, with no difference of
nearly equal numbers in it, so that half precision will do (docs/path-length.md).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from latentlab.errors import UsageError
from latentlab.metrics.path_length.paths import Paths
from latentlab.metrics.path_length.protocols import PathSettings
from latentlab.metrics.path_length.views import view
from latentlab.networks import Synthesis
from latentlab.perceptual import Distance
from latentlab.perceptual.pushing import jvp
from latentlab.protocols import GeneratorLike, draw_noise, synthesize
from latentlab.pushed_synthesis import push_synthesis

STREAM = "ppl-noise"


def images_and_directions(paths: Paths, settings: PathSettings, *, rows: slice) -> tuple[Tensor, Tensor]:
    """Images of some places on paths, as the distance sees them, and how they change with t, [n, C, R, R] each."""
    places = paths.places(settings)
    ws, velocity = jvp(lambda t: paths.ws(settings, t), places, torch.ones_like(places))
    made, directions = _pushed(paths, settings, ws, velocity, rows=rows)
    return view(made, settings), view(directions, settings)


def pushes_alone(generator: GeneratorLike) -> bool:
    """Whether the synthesis is LatentLab's own, whose derivative is written out and takes several threads."""
    return isinstance(generator.synthesis, Synthesis)


def speed_of(distance: Distance) -> Callable[..., Tensor]:
    """The distance's method `speed`.

    Raises:
        UsageError: it has none.
    """
    speed: Callable[..., Tensor] | None = getattr(distance, "speed", None)
    if speed is None:
        raise UsageError(
            f"the distance {distance.name} has no method speed(images, directions, precision=...), which the tangent "
            "method needs: take finite differences."
        )
    return speed


def _pushed(
    paths: Paths, settings: PathSettings, ws: Tensor, velocity: Tensor, *, rows: slice
) -> tuple[Tensor, Tensor]:
    """Whole images at ws, and their derivative along a velocity of ws."""
    generator, noise, seed = paths.generator, paths.draws.noise, settings.seed
    if isinstance(generator.synthesis, Synthesis):
        if noise is None and settings.noise_mode == "random":
            noise = [layer.to(ws.device) for layer in draw_noise(generator, rows, seed=seed, stream=STREAM)]
        return push_synthesis(generator.synthesis, ws, velocity, noise_mode=settings.noise_mode, noise=noise)

    def images(ws: Tensor) -> Tensor:
        how = settings.noise_mode
        return synthesize(generator, [ws], rows=rows, seed=seed, stream=STREAM, noise_mode=how, noise=noise)[0]

    return jvp(images, ws, velocity)
