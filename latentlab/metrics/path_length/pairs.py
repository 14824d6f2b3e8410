"""Distances of pairs along random paths, by finite differences or by the tangent; several settings in one pass."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from latentlab.blocks import block_pool, cut, in_order
from latentlab.distributed import Team
from latentlab.errors import DataError, UsageError
from latentlab.metrics.path_length.paths import Drawn, Draws, Paths, draws_of
from latentlab.metrics.path_length.protocols import PathSettings
from latentlab.metrics.path_length.tangent import images_and_directions, pushes_alone, speed_of
from latentlab.metrics.path_length.views import view, view_size
from latentlab.perceptual import Distance
from latentlab.progress import Progress, silent
from latentlab.protocols import (
    GeneratorLike,
    cuda_arithmetic,
    has_mapping,
    normalizes_z,
    synthesize,
    threads_may_share,
)

_CPU_BATCH = 8
_ZERO_CHECKED = 4  # images


def path_lengths(
    generator: GeneratorLike,
    distance: Distance,
    settings: PathSettings,
    *,
    num_samples: int,
    batch_size: int = 16,
    device: torch.device | str = "cpu",
    draws: Drawn | None = None,
    team: Team | None = None,
    progress: Progress = silent,
) -> np.ndarray:
    """Distances d / eps^2 along random paths, or their limits by the tangent, float32 [num_samples].

    Both images of a pair share their noise and go through synthesis in one batch; there is no truncation, and
    images reach the distance as floats, never clamped (unless quantised).

    Args:
        generator: In eval mode, on `device`.
        distance: On `device`.
        settings: What to measure.
        num_samples: How many pairs.
        batch_size: Pairs at a time; changes the speed only.
        device: Where the generator and the distance are.
        draws: What is random about some rows, instead of what follows from the seed.
        team: The processes that share the pairs; all of them get all distances.
        progress: Told after every batch.

    Raises:
        UsageError: a setting is not allowed, W is asked of a generator without a mapping, images are too small.
        DataError: a distance is negative, not finite, or not zero between equal images.
    """
    pairs = Pairs(generator, distance, [settings], batch_size=batch_size, device=device, draws=draws, team=team)
    if num_samples < 1:
        raise UsageError(f"num_samples is {num_samples}; it must be at least 1.")
    return pairs.lengths(slice(0, num_samples), progress=progress)[0]


class Pairs:
    """The pairs of a measurement, at which several settings look in one pass: they share latents, W and noise.

    On a CPU as many batches as there are threads are worked on at once, one thread each, where generator and distance
    allow; batches have at most 8 pairs then, whose feature maps fit into a core's cache. A distance follows from its
    row's batch alone, whatever the number of processes.

    Args:
        generator: In eval mode, on `device`.
        distance: On `device`.
        many: What to measure, with one seed.
        batch_size: Pairs at a time.
        device: Where the generator and the distance are.
        draws: What is random about some rows, instead of what follows from the seed.
        team: The processes that share the pairs.

    Raises:
        UsageError: as `path_lengths`; also if seeds differ.
    """

    def __init__(
        self,
        generator: GeneratorLike,
        distance: Distance,
        many: Sequence[PathSettings],
        *,
        batch_size: int = 16,
        device: torch.device | str = "cpu",
        draws: Drawn | None = None,
        team: Team | None = None,
    ) -> None:
        self.generator, self.distance, self.many = generator, distance, list(many)
        self.batch_size, self.device, self.team = batch_size, torch.device(device), team or Team()
        for settings in many:
            check(generator, distance, settings)
        if batch_size < 1:
            raise UsageError(f"batch_size is {batch_size}; it must be at least 1.")
        alike = {(settings.seed, settings.noise_mode, settings.method, settings.precision) for settings in many}
        if len(alike) != 1:
            raise UsageError("settings measured together must agree in their seed, noise_mode, method and precision.")
        if many[0].precision == "tf32" and self.device.type == "cpu":
            raise UsageError("precision tf32 is of GPUs; on a CPU take float32 or bfloat16.")
        if many[0].method == "tangent":
            speed_of(distance)
        self.size = min(batch_size, _CPU_BATCH) if self._shared else batch_size
        random = many[0].noise_mode == "random"
        self._first: int | None = None  # the row that begins the batch on which the distance is tried
        self.draws = draws or draws_of(generator, many[0].seed, noise=random)

    def lengths(self, rows: slice, *, progress: Progress = silent) -> np.ndarray:
        """Distances of some rows, float32 [settings, rows]; the first row begins a batch of `size`."""
        found = torch.zeros(len(self.many), rows.stop - rows.start, dtype=torch.float64)
        batches, count = cut(rows, self.size)[self.team.rank :: self.team.size], 0
        if self._first is None and batches:
            self._first = batches[0].start
        with self._arithmetic():  # of the whole process, so not for each thread to set
            for batch, made in self._made(batches):
                found[:, batch.start - rows.start : batch.stop - rows.start] = made
                count += (batch.stop - batch.start) * self.team.size
                progress(min(count, rows.stop - rows.start), rows.stop - rows.start)
        everyone = found.to(self.team.device)
        self.team.add([everyone])
        return everyone.cpu().numpy().astype(np.float32)

    def around(self, settings: PathSettings, row: int, offsets: Sequence[float]) -> Tensor:
        """Whole images of a pair's path at t + each offset, [len(offsets), C, R, R], under the pair's noise."""
        rows = slice(row, row + 1)
        with torch.inference_mode(), self._arithmetic():
            paths = Paths(self.generator, self._drawn(rows))
            t = paths.places(settings)
            images = self._images(paths, settings, rows, [t + offset for offset in offsets])
        return torch.cat(images).cpu()

    def _made(self, batches: Sequence[slice]) -> Iterator[tuple[slice, Tensor]]:
        """Batches and their distances [settings, n], in order: by several threads, or by this one with all cores."""
        work = self._tangents if self.many[0].method == "tangent" else self._differences
        if not self._shared:
            yield from ((batch, work(batch)) for batch in batches)
            return
        workers = torch.get_num_threads()
        with block_pool(workers) as pool:
            yield from in_order(pool, work, batches, ahead=2 * workers)

    def _differences(self, rows: slice) -> Tensor:
        """Distances of a batch, [settings, n]."""
        paths, found = Paths(self.generator, self._drawn(rows)), []
        with torch.inference_mode():
            for settings in self.many:
                t = paths.places(settings)
                images = self._images(paths, settings, rows, [t, t + settings.epsilon])
                before, after = (view(part, settings) for part in images)
                if rows.start == self._first:
                    _check_zero(self.distance, before)
                raw = self.distance(before, after).float() * (1 / settings.epsilon**2)
                found.append(_checked(raw, rows))
        return torch.stack(found)

    def _tangents(self, rows: slice) -> Tensor:
        """The same in the limit."""
        paths, found = Paths(self.generator, self._drawn(rows)), []
        with torch.no_grad():
            for settings in self.many:
                seen, directions = images_and_directions(paths, settings, rows=rows)
                if rows.start == self._first:
                    _check_zero(self.distance, seen)
                found.append(_checked(speed_of(self.distance)(seen, directions, precision=settings.precision), rows))
        return torch.stack(found)

    def _images(self, paths: Paths, settings: PathSettings, rows: slice, places: Sequence[Tensor]) -> list[Tensor]:
        """The images at some places of each path, [n, C, R, R] each."""
        return synthesize(
            self.generator,
            [paths.ws(settings, t) for t in places],
            rows=rows,
            seed=settings.seed,
            stream="ppl-noise",
            noise_mode=settings.noise_mode,
            noise=paths.draws.noise,
        )

    def _drawn(self, rows: slice) -> Draws:
        return self.draws(rows).to(self.device)

    def _arithmetic(self) -> AbstractContextManager[None]:
        return cuda_arithmetic(tf32=self.many[0].precision != "float32")

    @property
    def _shared(self) -> bool:
        """Whether several threads may work at once."""
        if self.device.type != "cpu":
            return False
        if self.many[0].method == "tangent":
            return pushes_alone(self.generator) and getattr(self.distance, "speed_thread_safe", False)
        return threads_may_share(self.generator) and getattr(self.distance, "thread_safe", False)


def check(generator: GeneratorLike, distance: Distance, settings: PathSettings) -> None:
    """Refuse what cannot be measured, before any work.

    Raises:
        UsageError: naming what was asked, what is allowed and what to do.
    """
    settings.check()
    if settings.space == "w" and not has_mapping(generator):
        normalised = "normalised " if normalizes_z(generator) else ""
        raise UsageError(f"this generator has no mapping network, so its W is only {normalised}Z: measure space z.")
    size = view_size(generator.img_resolution, settings)
    plain = view_size(generator.img_resolution, replace(settings, upsample=None))
    if settings.upsample is not None and settings.upsample <= plain:
        raise UsageError(f"upsample is {settings.upsample}, and images are {plain} pixels wide already: leave it out.")
    if size < distance.min_size:
        cropped = f" after the face crop ({generator.img_resolution} before)" if settings.cropped else ""
        raise UsageError(
            f"images are {size} pixels wide{cropped}, and the distance {distance.name} needs at least "
            f"{distance.min_size}: "
            + ("measure without the crop, " if settings.cropped else "")
            + f"upsample to {distance.min_size} pixels or more, or use another distance."
        )


def _check_zero(distance: Distance, images: Tensor) -> None:
    """Equal images must be at distance 0, or noise in the distance, divided by eps^2, would swamp the result."""
    few = images[:_ZERO_CHECKED]
    largest = float(distance(few, few).abs().max())
    if not largest <= 1e-12:
        raise DataError(
            f"the distance {distance.name} between equal images is {largest:g} instead of 0: images or the "
            "distance's weights may hold NaN, or the distance may be random (is its network in eval mode?)."
        )


def _checked(distances: Tensor, rows: slice) -> Tensor:
    count, values = rows.stop - rows.start, distances.cpu()
    if values.shape != (count,):
        raise UsageError(f"the distance gave the shape {list(values.shape)} for {count} pairs; it must be [{count}].")
    bad = ~values.isfinite() | (values < 0)
    if bad.any():
        first = int(bad.int().argmax())
        raise DataError(
            f"the distance of pair {rows.start + first} is {float(values[first])}; it must be finite and not negative."
        )
    return values
