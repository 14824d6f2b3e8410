"""Perceptual path length (paper, section 4.1): how far images move, perceptually, when latents move a little.

    l = E[ d(g(p(t)), g(p(t + eps))) / eps^2 ]

with p a walk between two random latents, by slerp in Z and by lerp between f(z1) and f(z2) in W. Lower is better.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch

from latentlab.errors import DataError, UsageError
from latentlab.latents import lerp, sample_z
from latentlab.metrics.bootstrap import REPLICATES, draw_counts, interval95
from latentlab.perceptual import Distance
from latentlab.progress import Progress, silent
from latentlab.protocols import GeneratorLike, full_precision, has_mapping, normalizes_z, synthesize, walk_z
from latentlab.randomness import uniform_rows
from latentlab.results import MetricResult, NetworkName

Space = Literal["z", "w"]
Sampling = Literal["full", "end"]
EPSILON = 1e-4
MAX_SIZE = 256
"""Images larger than this are box-filtered by a whole factor before the distance sees them (official code)."""
_BINS = 50


@dataclass(frozen=True)
class PathSettings:
    """What is measured: every setting that changes the distances.

    Attributes:
        space: "z" or "w".
        sampling: "full" takes t ~ U(0, 1), "end" takes t = 0 exactly.
        epsilon: The step along the path.
        crop: Whether images are cropped to where aligned faces are (`face_crop`).
        seed: Row i of the measurement is a function of the seed and i alone.
    """

    space: Space
    sampling: Sampling
    epsilon: float = EPSILON
    crop: bool = True
    seed: int = 0


def face_crop(images: torch.Tensor) -> torch.Tensor:
    """Rows 3c to 7c and columns 2c to 6c of square images [N, C, H, H], c = H // 8 (official behaviour)."""
    unit = images.shape[-1] // 8
    return images[..., 3 * unit : 7 * unit, 2 * unit : 6 * unit]


def shrink(images: torch.Tensor, largest: int = MAX_SIZE) -> torch.Tensor:
    """Box-filter square images larger than `largest` by the whole factor H // largest (official behaviour).

    Raises:
        UsageError: H is no multiple of that factor.
    """
    size = images.shape[-1]
    if size <= largest:
        return images
    factor = size // largest
    if size % factor:
        raise UsageError(f"images of {size} pixels cannot be averaged by the factor {factor}, which divides no {size}.")
    return torch.nn.functional.avg_pool2d(images, factor)


def trim_bounds(distances: np.ndarray) -> tuple[float, float]:
    """The distances between which values are kept, both inclusive: 1st percentile 'lower', 99th 'higher'."""
    low = np.percentile(distances, 1, method="lower")
    high = np.percentile(distances, 99, method="higher")
    return float(low), float(high)


def trimmed_mean(distances: np.ndarray) -> tuple[float, int]:
    """Mean of the values within `trim_bounds`, in the array's own precision, and how many were kept (official)."""
    low, high = trim_bounds(distances)
    kept = distances[(distances >= low) & (distances <= high)]
    return float(np.mean(kept)), len(kept)


def trimmed_mean_replicates(distances: np.ndarray, replicates: int, *, seed: int) -> np.ndarray:
    """The trimmed mean of resampled distances, trimming included, float64 [replicates].

    A resample is a count per distance; with the distances sorted once, its percentiles and its sum between them
    are look-ups in cumulative counts, so that a replicate costs one pass and no sort.
    """
    values = np.sort(distances).astype(np.float64)
    count = len(values)
    low_rank, high_rank = int(np.floor(0.01 * (count - 1))), int(np.ceil(0.99 * (count - 1)))
    means = np.empty(replicates)
    for index, draws in enumerate(draw_counts(count, replicates, seed=seed, stream="path-length")):
        cumulative = np.cumsum(draws)
        low, high = values[np.searchsorted(cumulative, [low_rank, high_rank], side="right")]
        kept = slice(np.searchsorted(values, low, side="left"), np.searchsorted(values, high, side="right"))
        means[index] = draws[kept] @ values[kept] / draws[kept].sum()
    return means


def path_lengths(
    generator: GeneratorLike,
    distance: Distance,
    settings: PathSettings,
    *,
    num_samples: int,
    batch_size: int = 16,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> np.ndarray:
    """Distances d / eps^2 along random paths, float32 [num_samples], in exact float32 arithmetic.

    Both images of a pair share their noise and go through synthesis in one batch; there is no truncation, and
    images reach the distance as floats, never clamped.

    Args:
        generator: In eval mode, on `device`.
        distance: On `device`.
        settings: What to measure.
        num_samples: How many pairs.
        batch_size: Pairs at a time; changes the speed only.
        device: Where the generator and the distance are.
        progress: Told after every batch.

    Raises:
        UsageError: a setting is not allowed, W is asked of a generator without a mapping, images are too small.
        DataError: a distance is negative, not finite, or not zero between equal images.
    """
    _check(generator, distance, settings, num_samples, batch_size)
    found = np.empty(num_samples, np.float32)
    with torch.inference_mode(), full_precision():
        for rows in _batches(num_samples, batch_size):
            before, after = _pairs(generator, settings, rows, torch.device(device))
            if rows.start == 0:
                _check_zero(distance, before)
            raw = distance(before, after).float() * (1 / settings.epsilon**2)
            found[rows] = _checked(raw, rows)
            progress(rows.stop, num_samples)
    return found


def perceptual_path_length(
    generator: GeneratorLike,
    distance: Distance,
    settings: PathSettings,
    *,
    network: NetworkName,
    num_samples: int = 100_000,
    batch_size: int = 16,
    bootstrap: int = REPLICATES,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> MetricResult:
    """Measure `ppl_{space}{sampling}`: the trimmed mean of `path_lengths`, with a bootstrap interval.

    The interval resamples the pairs and repeats the trimming. Arguments and errors: see `path_lengths`; `network`
    says who the generator is.
    """
    distances = path_lengths(
        generator,
        distance,
        settings,
        num_samples=num_samples,
        batch_size=batch_size,
        device=device,
        progress=progress,
    )
    value, num_kept = trimmed_mean(distances)
    return MetricResult(
        metric=f"ppl_{settings.space}{settings.sampling}",
        value=value,
        ci95=interval95(trimmed_mean_replicates(distances, bootstrap, seed=settings.seed)),
        num_samples=num_samples,
        seed=settings.seed,
        network=network,
        protocol=_protocol(generator, distance, settings),
        details={
            "percentiles": [float(value) for value in np.percentile(distances, np.arange(101))],
            "histogram": _histogram(distances),
            "num_kept": num_kept,
        },
    )


def distance_size(resolution: int, *, crop: bool) -> int:
    """Width of the images the distance gets from a generator of this resolution."""
    size = 4 * (resolution // 8) if crop else resolution
    return size if size <= MAX_SIZE else size // (size // MAX_SIZE)


def _pairs(
    generator: GeneratorLike, settings: PathSettings, rows: slice, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """The images at t and at t + eps, as the distance gets them, [n, C, R, R] each."""
    ws = _path_points(generator, settings, rows, device)
    before, after = synthesize(generator, ws, rows=rows, seed=settings.seed, stream="ppl-noise")
    if settings.crop:
        before, after = face_crop(before), face_crop(after)
    return shrink(before), shrink(after)


def _path_points(
    generator: GeneratorLike, settings: PathSettings, rows: slice, device: torch.device
) -> list[torch.Tensor]:
    """ws at t and at t + eps, [n, num_ws, w_dim] each: slerp before the mapping in Z, lerp after it in W."""
    seed = settings.seed
    z0, z1 = (sample_z(seed, rows, generator.z_dim, stream=stream).to(device) for stream in ("ppl-z0", "ppl-z1"))
    t = torch.zeros(len(z0), 1, device=device)
    if settings.sampling == "full":
        t = torch.from_numpy(uniform_rows(seed, "ppl-t", rows, 1).astype(np.float32)).to(device)
    if settings.space == "z":
        return [generator.mapping(walk_z(generator, z0, z1, step)) for step in (t, t + settings.epsilon)]
    w0, w1 = generator.mapping(z0), generator.mapping(z1)
    return [lerp(w0, w1, step[:, :, None]) for step in (t, t + settings.epsilon)]


def _batches(num_samples: int, batch_size: int) -> Iterator[slice]:
    for start in range(0, num_samples, batch_size):
        yield slice(start, min(start + batch_size, num_samples))


def _check(
    generator: GeneratorLike, distance: Distance, settings: PathSettings, num_samples: int, batch_size: int
) -> None:
    for name, allowed in (("space", get_args(Space)), ("sampling", get_args(Sampling))):
        if getattr(settings, name) not in allowed:
            raise UsageError(f"{name} is {getattr(settings, name)!r}; it must be one of {', '.join(allowed)}.")
    if num_samples < 1 or batch_size < 1:
        raise UsageError(f"num_samples is {num_samples} and batch_size {batch_size}; both must be at least 1.")
    if not 0 < settings.epsilon < 1:
        raise UsageError(f"epsilon is {settings.epsilon}; it must be above 0 and below 1 (published: 1e-4).")
    if settings.space == "w" and not has_mapping(generator):
        normalised = "normalised " if normalizes_z(generator) else ""
        raise UsageError(f"this generator has no mapping network, so its W is only {normalised}Z: measure space z.")
    size = distance_size(generator.img_resolution, crop=settings.crop)
    if size < distance.min_size:
        cropped = f" after the face crop ({generator.img_resolution} before)" if settings.crop else ""
        raise UsageError(
            f"images are {size} pixels wide{cropped}, and the distance {distance.name} needs at least "
            f"{distance.min_size}: " + ("measure without the crop, or " if settings.crop else "") + "use another one."
        )


def _check_zero(distance: Distance, images: torch.Tensor) -> None:
    """Equal images must be at distance 0, or noise in the distance, divided by eps^2, would swamp the result."""
    largest = float(distance(images, images).abs().max())
    if not largest <= 1e-12:
        raise DataError(
            f"the distance {distance.name} between equal images is {largest:g} instead of 0: images may hold NaN, or "
            "the distance may be random (is its network in eval mode?)."
        )


def _checked(distances: torch.Tensor, rows: slice) -> np.ndarray:
    values = distances.cpu().numpy()
    bad = ~np.isfinite(values) | (values < 0)
    if bad.any():
        first = rows.start + int(np.argmax(bad))
        raise DataError(f"the distance of pair {first} is {values[bad][0]}; it must be finite and not negative.")
    return values


def _histogram(distances: np.ndarray) -> dict[str, list[float] | list[int]]:
    """Counts over log10 of the positive distances."""
    positive = distances[distances > 0].astype(np.float64)
    if not len(positive):
        return {"edges": [], "counts": []}
    counts, edges = np.histogram(np.log10(positive), bins=_BINS)
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def _interpolation(generator: GeneratorLike, settings: PathSettings) -> str:
    if settings.space == "w":
        return "lerp"
    return "slerp" if normalizes_z(generator) else "slerp, lengths interpolated"


def _protocol(generator: GeneratorLike, distance: Distance, settings: PathSettings) -> dict[str, Any]:
    return {
        "space": settings.space,
        "sampling": settings.sampling,
        "epsilon": settings.epsilon,
        "method": "finite differences",
        "interpolation": _interpolation(generator, settings),
        "crop": "face" if settings.crop else "none",
        "image_size": distance_size(generator.img_resolution, crop=settings.crop),
        "distance": {"name": distance.name, "sha256": distance.sha256},
        "outliers": "below 1st percentile (lower) and above 99th (higher) dropped",
        "noise": "random, shared by a pair",
        "truncation": "none",
        "precision": "float32",
    }
