"""The same pairs joined in Z by slerp and in W by lerp, with the perceptual speed along each path below its strip.

The speed is sqrt(d(g(p(t - e/2)), g(p(t + e/2)))) / e for a distance d that is a square for small differences:
how fast the distance's features change. The mean of its square over t is the path's share of a perceptual path length.
"""

import functools
import hashlib
from typing import Any

import numpy as np
import torch
from scipy.integrate import trapezoid
from torch import Tensor

from latentlab.errors import UsageError
from latentlab.figures.rendering import Counted, Renderer, fitted, tile_size, walk_in_words
from latentlab.figures.sheet import Curve, Sheet, nice_top
from latentlab.latents import lerp
from latentlab.metrics.path_length.views import MAX_SIZE, shrink
from latentlab.perceptual import Distance
from latentlab.progress import Progress, silent
from latentlab.protocols import full_precision, has_mapping, walk_z

STEPS = 9
STREAM = "figure-interpolation"
NOISE = f"{STREAM}-noise"


class MeanSquaredDifference:
    """The mean squared difference of pixels in [-1, 1]: no perceptual distance, but one that needs no weights."""

    name, sha256, min_size = "mean squared pixel difference", hashlib.sha256(b"mean squared difference").hexdigest(), 1
    thread_safe = True

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances [N] of two batches of images [N, C, H, W]."""
        return (a - b).square().mean(dim=(1, 2, 3))


def interpolation(
    renderer: Renderer, *, distance: Distance | None = None, progress: Progress = silent
) -> tuple[np.ndarray, dict[str, Any]]:
    """Per pair a strip in Z and, where there is a mapping, one in W; the picture [H, W, 3] and what it shows.

    All images of a pair share its noise. Not truncated.

    Args:
        renderer: Of the network.
        distance: Of the speed; mean squared pixel difference if left out.
        progress: Told how many images are made.

    Raises:
        UsageError: Images are too small for the distance.
    """
    distance = distance or MeanSquaredDifference()
    seen = renderer.resolution // _factor(renderer)
    if seen < distance.min_size:
        raise UsageError(
            f"{distance.name} needs images of at least {distance.min_size} pixels, and those of "
            f"{renderer.network.name} have {seen}: name another --distance, or none."
        )
    settings = renderer.settings
    spaces = ("z", "w") if has_mapping(renderer.generator) else ("z",)
    counted = Counted(progress, settings.num_pairs * len(spaces) * (STEPS + 2 * settings.speed_points))
    sheet = Sheet(tile_size(renderer.resolution))
    strips, speeds = {}, {}
    for space in spaces:
        steps = torch.linspace(0, 1, STEPS).tolist()
        fit = functools.partial(fitted, room=sheet.tile)
        strips[space] = renderer.images(walked(renderer, space, steps), fit, stream=NOISE, counted=counted)
        speeds[space] = path_speeds(renderer, space, distance, counted=counted)
    _place(sheet, renderer, strips, speeds, distance)
    walk = walk_in_words(renderer.generator)
    ways = f"in Z by {walk} (above) and in W by lerp (below)" if len(spaces) == 2 else f"in Z by {walk}"
    same = "" if len(spaces) == 2 else " This network has no mapping, so W is Z and has no strips of its own."
    noise = ", under the same noise" * renderer.has_noise
    kind = "" if isinstance(distance, MeanSquaredDifference) else "perceptual "
    return sheet.array(), {
        "title": "Interpolation",
        "caption": f"{settings.num_pairs} pair{'s' * (settings.num_pairs > 1)} of latents of {renderer.network.name}, "
        f"joined {ways}{noise}; below each strip the {kind}speed along it by {distance.name}, on one scale for each "
        f"pair.{same}",
        "settings": {
            "seed": settings.seed,
            "num_pairs": settings.num_pairs,
            "num_steps": STEPS,
            "speed_points": settings.speed_points,
            "epsilon": settings.epsilon,
            "interpolation": {"z": walk, "w": "lerp"},
            "distance": {"name": distance.name, "sha256": distance.sha256, "image_size": seen},
        },
        "t": _points(renderer),
        "speed": {space: found.tolist() for space, found in speeds.items()},
        "length": {space: _mean(found).tolist() for space, found in speeds.items()},
        "mean_squared_speed": {space: _mean(found**2).tolist() for space, found in speeds.items()},
    }


@torch.inference_mode()
def walked(renderer: Renderer, space: str, places: list[float]) -> Tensor:
    """ws at some places of all paths, [pairs, places, num_ws, w_dim]."""
    z0, z1 = (renderer.z(renderer.settings.num_pairs, f"{STREAM}-z{end}") for end in (0, 1))
    mapping = renderer.generator.mapping
    if space == "z":
        return torch.stack([mapping(walk_z(renderer.generator, z0, z1, t)) for t in places], dim=1)
    w0, w1 = mapping(z0), mapping(z1)
    return torch.stack([lerp(w0, w1, t) if t != 1 else w1 for t in places], dim=1)


def path_speeds(renderer: Renderer, space: str, distance: Distance, *, counted: Counted | None = None) -> np.ndarray:
    """Speeds [pairs, points] at equal steps from t = 0 to 1, by central differences."""
    half = renderer.settings.epsilon / 2
    places = [t + side for t in _points(renderer) for side in (-half, half)]
    ws, factor = walked(renderer, space, places), _factor(renderer)
    found = []
    for pair in range(len(ws)):
        seen = renderer.images(
            ws[pair : pair + 1], lambda images: shrink(images, factor), stream=NOISE, first=pair, counted=counted
        )[0]
        images = torch.from_numpy(seen).to(renderer.device)
        with torch.inference_mode(), full_precision():
            found.append(torch.cat([distance(a, b) for a, b in _pairs(images)]).clamp_min(0).sqrt().cpu().numpy())
    return np.stack(found).astype(np.float64) / renderer.settings.epsilon


def _mean(found: np.ndarray) -> np.ndarray:
    """Mean over t of what was found at equal steps [pairs, points], by the trapezoidal rule."""
    return np.asarray(trapezoid(found, axis=1)) / (found.shape[1] - 1)


def _pairs(images: Tensor, at_once: int = 16) -> list[tuple[Tensor, Tensor]]:
    return list(zip(images[::2].split(at_once), images[1::2].split(at_once), strict=True))


def _points(renderer: Renderer) -> list[float]:
    return [float(t) for t in np.linspace(0, 1, renderer.settings.speed_points)]


def _factor(renderer: Renderer) -> int:
    """Of the box filter before the distance, as path lengths have it."""
    factor = max(renderer.resolution // MAX_SIZE, 1)
    return factor if renderer.resolution % factor == 0 else 1


def _place(
    sheet: Sheet, renderer: Renderer, strips: dict[str, np.ndarray], speeds: dict[str, np.ndarray], distance: Distance
) -> None:
    tile, gap, line = sheet.tile, sheet.gap, sheet.line
    step, high = tile + gap, 3 * line
    left = sheet.margin + 3 * line
    width = STEPS * step - gap
    names = {"z": f"Z, {walk_in_words(renderer.generator).partition(',')[0]}", "w": "W, lerp"}
    note = renderer.note(f"below each strip the speed along it by {distance.name}", truncated=False)
    y = sheet.heading(sheet.margin, left + width - sheet.margin, "Interpolation", note)
    for pair in range(renderer.settings.num_pairs):
        y = sheet.text(sheet.margin, y, f"Pair {pair + 1}", bold=True) + 0.2 * line
        most = max(float(found[pair].max()) for found in speeds.values())
        scale = nice_top(most) if most > 0 else 1.0
        for space, images in strips.items():
            sheet.upright(left - 1.1 * line, y + tile / 2, names[space])
            for column, pixels in enumerate(images[pair]):
                sheet.image(left + column * step, y, pixels)
            box = (left + tile / 2, y + step + 0.3 * line, width - tile, high)
            sheet.curve(Curve(box, _points(renderer), speeds[space][pair].tolist(), scale))
            middle, end = box[1] + high / 2, box[0] + box[2]
            sheet.text(box[0] - 2.6 * line, middle - 0.5 * line, "speed", size=0.75, quiet=True, align="right")
            sheet.text(end + 0.8 * line, middle - line, "length", size=0.75, quiet=True)
            sheet.text(end + 0.8 * line, middle, f"{_mean(speeds[space][pair : pair + 1])[0]:#.3g}", size=0.75)
            y = box[1] + high + 0.9 * line
        y += 0.3 * line
    words = "Speeds are per unit of t, which is 0 under the first image and 1 under the last; their mean is the length."
    sheet.lines(left, y, words, width, size=0.75, quiet=True)
