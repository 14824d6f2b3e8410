"""Metrics of a generator in training: what `latentlab train --snapshot-metrics` computes at every snapshot.

Everything that can be wrong is found when the callback is made: names, missing classifiers or weights, sizes. Numbers
are functions of the seed and of the generator alone, so a resumed run measures what an unbroken one would have. No
truncation; images are taken at full size whatever the level of detail the generator has grown to.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import torch

from latentlab.errors import DataError, UsageError
from latentlab.features import ClassifierFeatures, ImageFeatures, box_filter, inception_features
from latentlab.images import to_uint8
from latentlab.latents import sample_z
from latentlab.metrics import sliced_wasserstein
from latentlab.metrics.fid import chosen_reals, generated_images
from latentlab.metrics.frechet import MomentAccumulator, Moments, frechet_of_moments, in_words, short_number
from latentlab.metrics.path_length import PathSettings, Sampling, Space, path_lengths, trimmed_mean, view_size
from latentlab.metrics.separability import linear_separability
from latentlab.perceptual import Distance, Featured, classifier_distance, lpips_distance
from latentlab.progress import Progress, silent
from latentlab.protocols import GeneratorLike, Labeller, full_precision, synthesize

PPL = ("ppl_zfull", "ppl_zend", "ppl_wfull", "ppl_wend")
LS = ("ls_z", "ls_w")
NAMES = ("swd", "fid", "fd_classifiers", *PPL, *LS)
"""What can be measured at a snapshot. Lower is better for all of them."""
FEWEST_FOR_LS = 4  # half of them is kept, and a hyperplane needs two
DEFAULT_SAMPLES = {"fid": 50_000, "fd_classifiers": 5_000, "ppl": 1_000, "ls": 5_000}
"""Generated images, pairs, samples. fid's are the published number; the others are fewer, to cost little."""

Measure = Callable[[GeneratorLike], dict[str, float]]
Say = Callable[[str], None]


class Images(sliced_wasserstein.Images, Protocol):
    """Real images by number, as latentlab.data gives them.

    Attributes:
        resolution: Height and width, the generator's too.
    """

    @property
    def resolution(self) -> int:
        """R."""


class Classifiers(Featured, Labeller, Protocol):
    """Attribute classifiers: log-odds and feature maps."""


@dataclass(frozen=True)
class Means:
    """What the metrics may need, by the options of `latentlab train`.

    Attributes:
        classifiers: `--classifiers`, in eval mode on the device: for fd_classifiers, ls_* and ppl_*.
        inception_weights: `--inception-weights`, a file: for fid.
        lpips_weights: `--lpips-weights`, a folder: ppl_* then measure with LPIPS (VGG16) instead of the classifiers.
        num_samples: `--metric-samples`, for fid, fd_classifiers, ppl_* and ls_*; DEFAULT_SAMPLES if None.
        crop: Whether ppl_* look at the place of aligned faces only, as `latentlab ppl` does.
        batch_size: Images at a time; changes the speed only.
    """

    classifiers: Classifiers | None = None
    inception_weights: Path | None = None
    lpips_weights: Path | None = None
    num_samples: int | None = None
    crop: bool = True
    batch_size: int = 32


class SnapshotMetrics:
    """The callback for `trainers.loop.train`: (averaged generator, images seen) -> numbers by key.

    Attributes:
        keys: The keys of the numbers, in the order of the names asked for; those of FID carry the number of images.
        warnings: What the user should know before training starts; may be empty.
    """

    def __init__(
        self,
        measures: Sequence[Measure],
        *,
        keys: Sequence[str],
        warnings: Sequence[str],
        say: Say = lambda words: None,
    ) -> None:
        self.keys, self.warnings = tuple(keys), tuple(warnings)
        self._measures, self._say = measures, say

    def __call__(self, generator: GeneratorLike, num_images: int) -> dict[str, float]:
        """Measure; the generator, on the callback's device, is left as it is.

        A metric that cannot be computed of this generator (all its images have the same attributes, say) is left out
        and its reason said: training goes on.
        """
        found: dict[str, float] = {}
        for measure in self._measures:
            try:
                with torch.inference_mode(), full_precision():
                    found |= measure(generator)
            except DataError as error:
                self._say(f"a metric was left out at {num_images / 1000:g} kimg: {error}")
        return {key: found[key] for key in self.keys if key in found}


def snapshot_metrics(
    names: Sequence[str],
    dataset: Images,
    *,
    seed: int,
    means: Means | None = None,
    has_mapping: bool = True,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
    say: Say = lambda words: None,
) -> SnapshotMetrics:
    """Make the callback; reads the real images that the metrics need, and keeps their statistics.

    Args:
        names: Some of NAMES, in the order in which numbers are given.
        dataset: The real images, of the generator's resolution.
        seed: Every draw is a function of the seed, of what it is for, and of its number. ppl_* and ls_* are what
            `latentlab ppl` and `latentlab sample` with `latentlab separability` give under the same seed.
        means: Classifiers, weights and numbers of samples.
        has_mapping: Whether the generator has a mapping; without one W is only normalised Z.
        device: Where the generator and the classifiers are, and the metrics compute.
        progress: Told how many real images have been read.
        say: Takes the reason when a metric is left out at a snapshot.

    Raises:
        UsageError: an unknown or repeated name, one that needs what is not given, W without a mapping, images too
            small for the distance or the classifiers, or fewer than 2 real images or samples.
        WeightsError: weights are missing or have another form.
    """
    means = means or Means()
    _check(names, dataset, means, has_mapping=has_mapping)
    maker = _Maker(dataset, means, seed=seed, device=torch.device(device), progress=progress)
    keys: list[str] = []
    measures: list[Measure] = []
    for name in names:
        key, measure = maker.make(name, names)
        keys.append(key)
        if measure is not None:
            measures.append(measure)
    return SnapshotMetrics(measures, keys=keys, warnings=maker.warnings, say=say)


class _Maker:
    """Makes the function behind each name."""

    def __init__(self, dataset: Images, means: Means, *, seed: int, device: torch.device, progress: Progress) -> None:
        self.dataset, self.means, self.seed, self.device = dataset, means, seed, device
        self.progress = progress
        self.warnings: list[str] = []
        self._distance: Distance | None = None

    def make(self, name: str, names: Sequence[str]) -> tuple[str, Measure | None]:
        """The key of a metric and what measures it; None where another name's measure gives it, too."""
        if name == "swd":
            callback = sliced_wasserstein.snapshot_metric(self.dataset, seed=self.seed)
            return name, lambda generator: callback(generator, 0)
        if name in PPL:
            return name, self._ppl(name)
        if name in LS:
            asked = [other for other in names if other in LS]
            return name, self._ls(asked) if name == asked[0] else None
        return self._frechet(name)

    def _frechet(self, name: str) -> tuple[str, Measure]:
        count = _count(self.means, name)
        features = self._features(name)
        key = features.distance_name + (short_number(count) if name == "fid" else "")
        real = self._real_moments(features, min(count, len(self.dataset)))
        self.warnings += in_words(key, num_generated=count, num_real=real.count, dimensions=len(real.mean))
        size, seed, device = self.means.batch_size, self.seed, self.device

        def measure(generator: GeneratorLike) -> dict[str, float]:
            fakes = MomentAccumulator()
            for rows in _batches(count, size):
                fakes.add(features(to_uint8(generated_images(generator, rows, seed=seed, device=device))))
            return {key: frechet_of_moments(real, fakes.moments())}

        return key, measure

    def _features(self, name: str) -> ImageFeatures:
        if name == "fd_classifiers":
            return ClassifierFeatures(_given(self.means), device=self.device)
        features = inception_features(self.means.inception_weights, device=self.device)
        if features.distance_name != name:
            self.warnings.append(
                f"{features.distance_name}: the Inception weights are not FID's, so this is not FID; its numbers are "
                "comparable among themselves only."
            )
        return features

    def _real_moments(self, features: ImageFeatures, count: int) -> Moments:
        """Of `count` real images chosen by the seed: the same ones at every snapshot and after a resume."""
        chosen, found = chosen_reals(len(self.dataset), count, seed=self.seed), MomentAccumulator()
        for rows in _batches(count, self.means.batch_size):
            found.add(features(self.dataset.images(chosen[rows])))
            self.progress(rows.stop, count)
        return found.moments()

    def _ppl(self, name: str) -> Measure:
        distance, count = self._shared_distance(), _count(self.means, "ppl")
        space, sampling = cast(Space, name[4]), cast(Sampling, name[5:])
        settings = PathSettings(space, sampling, crop=self.means.crop, seed=self.seed)
        size, device = max(self.means.batch_size // 2, 1), self.device

        def measure(generator: GeneratorLike) -> dict[str, float]:
            lengths = path_lengths(generator, distance, settings, num_samples=count, batch_size=size, device=device)
            return {name: trimmed_mean(lengths)[0]}

        return measure

    def _shared_distance(self) -> Distance:
        """LPIPS if its weights are given, else the classifiers' features."""
        if self._distance is None:
            if self.means.lpips_weights is not None:
                self._distance = lpips_distance(weights_dir=self.means.lpips_weights, device=self.device)
            else:
                self._distance = classifier_distance(_given(self.means))
            size = view_size(self.dataset.resolution, PathSettings("z", "full", crop=self.means.crop))
            if size < self._distance.min_size:
                cropped = " after the face crop" if self.means.crop else ""
                raise UsageError(
                    f"--snapshot-metrics: images of {self.dataset.resolution} pixels are {size} wide{cropped}, and the "
                    f"distance {self._distance.name} needs at least {self._distance.min_size}: leave ppl_* out."
                )
        return self._distance

    def _ls(self, names: Sequence[str]) -> Measure:
        classifiers, count = _given(self.means), _count(self.means, "ls")
        box_filter(torch.empty(1, 1, self.dataset.resolution, self.dataset.resolution), classifiers.resolution)
        size, seed, device = self.means.batch_size, self.seed, self.device

        def measure(generator: GeneratorLike) -> dict[str, float]:
            batches = [_labelled(generator, classifiers, rows, seed, device) for rows in _batches(count, size)]
            z, w, logits = (np.concatenate(part) for part in zip(*batches, strict=True))
            latents = {"ls_z": z, "ls_w": w}
            return {
                name: linear_separability(
                    latents[name], logits, attributes=classifiers.attributes, seed=seed, bootstrap=1
                ).score
                for name in names
            }

        return measure


def _labelled(
    generator: GeneratorLike, classifiers: Classifiers, rows: slice, seed: int, device: torch.device
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """z, the last layer's w and logits of some rows: those that `latentlab sample` draws under this seed."""
    z = sample_z(seed, rows, generator.z_dim)
    ws = generator.mapping(z.to(device))
    images = _finite(synthesize(generator, [ws], rows=rows, seed=seed)[0], rows)
    logits = classifiers(box_filter(images, classifiers.resolution))
    return z.numpy(), ws[:, -1].float().cpu().numpy(), logits.float().cpu().numpy()


def _finite(images: torch.Tensor, rows: slice) -> torch.Tensor:
    if not images.isfinite().all():
        raise DataError(f"the generator made images with values that are not finite, in rows from {rows.start} on.")
    return images


def _batches(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def _count(means: Means, kind: str) -> int:
    return DEFAULT_SAMPLES[kind] if means.num_samples is None else means.num_samples


def _given(means: Means) -> Classifiers:
    assert means.classifiers is not None, "checked when the callback is made"
    return means.classifiers


def _check(names: Sequence[str], dataset: Images, means: Means, *, has_mapping: bool) -> None:
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise UsageError(f"--snapshot-metrics: there is no {', '.join(unknown)}; known are {', '.join(NAMES)}.")
    if len(set(names)) < len(names):
        raise UsageError(f"--snapshot-metrics {','.join(names)}: every metric may be named only once.")
    if means.num_samples is not None and means.num_samples < 2:
        raise UsageError(f"--metric-samples {means.num_samples}: must be at least 2.")
    if means.batch_size < 1:
        raise UsageError(f"batch_size is {means.batch_size}; it must be at least 1.")
    if len(dataset) < 2:
        raise UsageError(f"--snapshot-metrics: a data set of {len(dataset)} images; at least 2 are needed.")
    for name in names:
        _check_needs(name, means, has_mapping=has_mapping)


def _check_needs(name: str, means: Means, *, has_mapping: bool) -> None:
    if not has_mapping and (name == "ls_w" or name.startswith("ppl_w")):
        raise UsageError(
            f"--snapshot-metrics {name}: this generator has no mapping network, so its W is only normalised Z; take "
            f"{name.replace('_w', '_z')}."
        )
    if name in LS and _count(means, "ls") < FEWEST_FOR_LS:
        raise UsageError(f"--metric-samples {means.num_samples}: {name} needs at least {FEWEST_FOR_LS}.")
    lacks = means.classifiers is None
    if lacks and (name in LS or name == "fd_classifiers"):
        raise UsageError(f"--snapshot-metrics {name}: needs attribute classifiers; give a folder as --classifiers.")
    if lacks and name in PPL and means.lpips_weights is None:
        raise UsageError(
            f"--snapshot-metrics {name}: needs a perceptual distance; give a folder with the weights of VGG16 as "
            "--lpips-weights, or attribute classifiers as --classifiers."
        )
