"""Path lengths as results: measured together, until they are known well enough, with their intervals."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from latentlab.distributed import Team
from latentlab.errors import LatentLabWarning, UsageError
from latentlab.files import refuse_existing
from latentlab.metrics.bootstrap import REPLICATES, interval95
from latentlab.metrics.path_length.keeping import save_pairs
from latentlab.metrics.path_length.pairs import Pairs
from latentlab.metrics.path_length.paths import Drawn
from latentlab.metrics.path_length.protocols import PathSettings
from latentlab.metrics.path_length.trimming import half_width, trimmed_mean, trimmed_mean_replicates
from latentlab.metrics.path_length.views import view_size
from latentlab.perceptual import Distance
from latentlab.progress import Progress, silent
from latentlab.protocols import GeneratorLike
from latentlab.results import MetricResult, NetworkName, software_versions
from latentlab.unfinished import Unfinished

FEWEST = 1000
"""Pairs before which no interval is trusted to end a measurement: of fewer, less than ten are outliers on each side."""
GROWTH = 1.1
"""Looked again, and what there is kept, after a tenth more pairs."""
_STEP = 256
_BINS = 50


def perceptual_path_length(
    generator: GeneratorLike,
    distance: Distance,
    settings: PathSettings,
    *,
    network: NetworkName,
    num_samples: int | None = None,
    until_ci: float | None = None,
    batch_size: int = 16,
    bootstrap: int = REPLICATES,
    device: torch.device | str = "cpu",
    draws: Drawn | None = None,
    team: Team | None = None,
    progress: Progress = silent,
) -> MetricResult:
    """Measure `ppl_{space}{sampling}`: see `perceptual_path_lengths`, which measures several in one pass."""
    return perceptual_path_lengths(
        generator,
        distance,
        [settings],
        network=network,
        num_samples=num_samples,
        until_ci=until_ci,
        batch_size=batch_size,
        bootstrap=bootstrap,
        device=device,
        draws=draws,
        team=team,
        progress=progress,
    )[0]


def perceptual_path_lengths(
    generator: GeneratorLike,
    distance: Distance,
    many: Sequence[PathSettings],
    *,
    network: NetworkName,
    num_samples: int | None = None,
    until_ci: float | None = None,
    batch_size: int = 16,
    bootstrap: int = REPLICATES,
    device: torch.device | str = "cpu",
    draws: Drawn | None = None,
    team: Team | None = None,
    keep: Path | None = None,
    unfinished: Unfinished | None = None,
    progress: Progress = silent,
) -> list[MetricResult]:
    """Trimmed means of `path_lengths`, with bootstrap intervals that resample the pairs and trim again.

    Args:
        generator: In eval mode, on `device`.
        distance: On `device`.
        many: What to measure, with one seed, over the same pairs.
        network: Who the generator is.
        num_samples: How many pairs, at least 2; at most so many with `until_ci`. Left out, the protocol's number.
        until_ci: End when half of every 95 % interval is at most this share of its value, 0.01 for 1 %.
        batch_size: Pairs at a time; changes the speed only.
        bootstrap: Replicates.
        device: Where the generator and the distance are.
        draws: What is random about some rows, instead of what follows from the seed.
        team: The processes that share the pairs; all of them get the results.
        keep: A file for the distances and the images of the largest ones (`save_pairs`), written by the first process.
        unfinished: Keeps distances while there are more to come, so that a measurement that was ended goes on; not
            with `draws`, which it does not know.
        progress: Told after every batch.

    Raises:
        UsageError, DataError: as `path_lengths`; also if the number of pairs or `until_ci` is out of range.
        OutputExistsError: `keep` exists.
    """
    if keep is not None:
        refuse_existing(keep)
    pairs = Pairs(generator, distance, many, batch_size=batch_size, device=device, draws=draws, team=team)
    most = num_samples if num_samples is not None else max(settings.rules.num_samples for settings in many)
    if most < 2:
        raise UsageError(f"num_samples is {most}; an interval needs at least 2 pairs (published: 100,000).")
    if until_ci is not None and not 0 < until_ci < 1:
        raise UsageError(f"until_ci is {until_ci}; it must be a share above 0 and below 1, such as 0.01 for 1 %.")
    kept = unfinished if unfinished is not None and draws is None else Unfinished()
    done = kept.begin("ppl", _decides(pairs, network), width=len(many))
    found = _measured(pairs, done.T, most=most, until_ci=until_ci, bootstrap=bootstrap, kept=kept, progress=progress)
    results = [
        _result(generator, distance, settings, distances, network=network, bootstrap=bootstrap, until_ci=until_ci)
        for settings, distances in zip(many, found, strict=True)
    ]
    if keep is not None and pairs.team.leads:
        try:
            save_pairs(keep, pairs, results, found)
        except OSError as error:  # a full disk costs the file, not the numbers
            words = f"{keep} could not be written ({error}): the numbers stand, their pairs are not kept."
            warnings.warn(words, LatentLabWarning, stacklevel=2)
    return results


def _decides(pairs: Pairs, network: NetworkName) -> dict[str, Any]:
    """Everything that distances follow from."""
    resolution = pairs.generator.img_resolution
    return {
        "network": network.sha256,
        "distance": [pairs.distance.name, pairs.distance.sha256],
        "settings": [
            settings.described(pairs.generator, image_size=view_size(resolution, settings)) for settings in pairs.many
        ],
        "seed": pairs.many[0].seed,
        "batch": pairs.size,
        "device": pairs.device.type,
        "software": software_versions(),
    }


def _measured(
    pairs: Pairs,
    found: np.ndarray,
    *,
    most: int,
    until_ci: float | None,
    bootstrap: int,
    kept: Unfinished,
    progress: Progress,
) -> np.ndarray:
    """Distances [settings, n], `found` being the first of them: n = most, or as many as it takes.

    Where it is looked whether they suffice, and so n, does not depend on what was there already.
    """
    if found.size:
        kept.found(found.shape[1], most, "pairs")
        progress(found.shape[1], most)
    count = 0
    while count < most and not (until_ci is not None and _known(pairs.many, found[:, :count], until_ci, bootstrap)):
        count = max(count + _STEP, int(count * GROWTH))
        count = min(-(-count // pairs.size) * pairs.size, most)
        done = found.shape[1]
        if done >= count:
            continue
        made = pairs.lengths(slice(done, count), progress=_after(done, most, progress))
        kept.keep(made[:, : (count - done) // pairs.size * pairs.size].T)  # more pairs go on with whole batches
        found = np.concatenate([found, made], axis=1)
    return found[:, :count]


def _after(before: int, most: int, progress: Progress) -> Progress:
    """What tells of a part of a measurement as of the whole."""

    def told(done: int, total: int, note: str = "") -> None:
        progress(before + done, most, note)

    return told


def _known(many: Sequence[PathSettings], found: np.ndarray, until_ci: float, bootstrap: int) -> bool:
    """Whether every mean is known to that share of itself by both intervals, the quick one and the result's."""
    return enough(many, found, until_ci) and all(
        _narrow(_interval(settings, distances, bootstrap), _mean(settings, distances), until_ci)
        for settings, distances in zip(many, found, strict=True)
    )


def _mean(settings: PathSettings, distances: np.ndarray) -> float:
    return trimmed_mean(distances, settings.rules.outliers)[0]


def _interval(settings: PathSettings, distances: np.ndarray, bootstrap: int) -> tuple[float, float]:
    return interval95(
        trimmed_mean_replicates(distances, bootstrap, seed=settings.seed, outliers=settings.rules.outliers)
    )


def _narrow(ci95: tuple[float, float], value: float, until_ci: float) -> bool:
    return (ci95[1] - ci95[0]) / 2 <= until_ci * value


def enough(many: Sequence[PathSettings], found: np.ndarray, until_ci: float) -> bool:
    """Whether, of distances [settings, N], N is at least `FEWEST` and every mean is known to that share of itself."""
    return found.shape[1] >= FEWEST and all(
        half_width(distances, settings.rules.outliers) <= until_ci * _mean(settings, distances)
        for settings, distances in zip(many, found, strict=True)
    )


def _result(
    generator: GeneratorLike,
    distance: Distance,
    settings: PathSettings,
    distances: np.ndarray,
    *,
    network: NetworkName,
    bootstrap: int,
    until_ci: float | None,
) -> MetricResult:
    outliers = settings.rules.outliers
    value, num_kept = trimmed_mean(distances, outliers)
    ci95 = _interval(settings, distances, bootstrap)
    size = view_size(generator.img_resolution, settings)
    details: dict[str, Any] = {
        "percentiles": [float(percentile) for percentile in np.percentile(distances, np.arange(101))],
        "histogram": _histogram(distances),
        "num_kept": num_kept,
        "bootstrap": bootstrap,
    }
    if until_ci is not None:
        met = len(distances) >= FEWEST and _narrow(ci95, value, until_ci)
        details |= {"until_ci": until_ci, "until_ci_met": met}
    return MetricResult(
        metric=settings.metric,
        value=value,
        ci95=ci95,
        num_samples=len(distances),
        seed=settings.seed,
        network=network,
        protocol=settings.described(generator, image_size=size)
        | {"distance": {"name": distance.name, "sha256": distance.sha256}},
        details=details,
    )


def _histogram(distances: np.ndarray) -> dict[str, list[float] | list[int]]:
    """Counts over log10 of the positive distances."""
    positive = distances[distances > 0].astype(np.float64)
    if not len(positive):
        return {"edges": [], "counts": []}
    counts, edges = np.histogram(np.log10(positive), bins=_BINS)
    return {"edges": edges.tolist(), "counts": counts.tolist()}
