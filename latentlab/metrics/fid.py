"""Fréchet and kernel distances between a generator's images and real ones: FID, KID, and the same on other features.

The official protocol (`fid50k`, paper, section 2): 50,000 generated images with random noise and no truncation, rounded
to 8 bits as the official code does, against real images; features of FID's Inception network, covariances in float64.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latentlab.blocks import cut
from latentlab.data import Dataset
from latentlab.data.embedded import cache_folder
from latentlab.distributed import Team
from latentlab.errors import DataError, UsageError
from latentlab.features import ImageFeatures
from latentlab.files import atomic_file
from latentlab.images import to_uint8
from latentlab.latents import sample_z
from latentlab.metrics.bootstrap import interval_of_refits
from latentlab.metrics.frechet import frechet_distance, in_words, short_number
from latentlab.metrics.kernel_distance import kernel_distance
from latentlab.progress import Progress, silent
from latentlab.protocols import GeneratorLike, full_precision, synthesize
from latentlab.randomness import derive_seed, uniform_rows
from latentlab.results import MetricResult, NetworkName, software_versions
from latentlab.unfinished import Unfinished

PUBLISHED = 50_000
GROUPS = 10
"""Of the jackknife that makes the interval."""
_STEP = 2048


@dataclass(frozen=True)
class Against:
    """Real images, and what was taken of them.

    Attributes:
        features: float32 [M, D].
        described: What a protocol says of them.
    """

    features: np.ndarray
    described: dict[str, Any]


def distance_results(
    generator: GeneratorLike,
    dataset: Dataset,
    features: ImageFeatures,
    *,
    network: NetworkName,
    num_generated: int = PUBLISHED,
    num_real: int = PUBLISHED,
    mixed: int = 1,
    seed: int = 0,
    batch_size: int = 32,
    device: torch.device | str = "cpu",
    team: Team | None = None,
    cache: bool = True,
    unfinished: Unfinished | None = None,
    progress: Progress = silent,
    say: Callable[[str], None] | None = None,
) -> tuple[list[MetricResult], list[str]]:
    """Measure the Fréchet distance and the kernel distance (KID), with 95 % intervals.

    Args:
        generator: In eval mode, on `device`.
        dataset: Real images of the generator's resolution.
        features: Of images; those of FID's own network give `fid...` and `kid...`, others `fd_...` and `kd_...`.
        network: Who the generator is.
        num_generated: Generated images.
        num_real: Real images; all there are if there are fewer, which is said.
        mixed: How many latents are mixed in each image, at random layers (paper, table 2); 1 for none.
        seed: Of latents, noise and the choice of real images.
        batch_size: Images at a time; changes the speed only.
        device: Where the generator and the features are.
        team: The processes that share the generated images.
        cache: Whether features of real images are kept, and found, in the cache folder.
        unfinished: Keeps the features of generated images, so that a measurement that was ended goes on.
        progress: Told how many images are done.
        say: Told in words what takes long, and how often.

    Returns:
        The results, and what must be said of them, in sentences.

    Raises:
        UsageError: numbers out of range, more latents to be mixed than layers, or images of another size.
        DataError: images or features are not finite.
    """
    _check(generator, dataset, num_generated=num_generated, num_real=num_real, mixed=mixed, batch_size=batch_size)
    team, total = team or Team(), num_generated + min(num_real, len(dataset))
    count = min(num_real, len(dataset))
    kept_in = cache_folder() if cache else None
    real = _real(dataset, features, count, seed=seed, batch_size=batch_size, kept_in=kept_in, told=progress, say=say)
    decides = {"network": network.sha256, "features": [features.name, features.sha256], "mixed": mixed, "seed": seed}
    decides |= {"device": torch.device(device).type, "software": software_versions()}
    kept = unfinished or Unfinished()
    found = kept.begin("fid", decides, width=real.features.shape[1])[:num_generated]
    kept.found(len(found), num_generated, "generated images")
    fakes = np.zeros((num_generated, found.shape[1]), np.float32)
    fakes[: len(found)] = found
    for rows in cut(slice(len(found), num_generated), max(batch_size, _STEP // batch_size * batch_size)):
        for batch in cut(rows, batch_size)[team.rank :: team.size]:
            images = generated_images(generator, batch, mixed=mixed, seed=seed, device=torch.device(device))
            fakes[batch] = features(to_uint8(images))
            progress(total - num_generated + batch.stop, total)
        _share(fakes[rows], team)
        kept.keep(fakes[rows])
    # data are often sorted, and groups and blocks are cut in order
    shuffled = np.random.default_rng(derive_seed(seed, "fid-groups")).permutation(real.features)
    protocol = {
        "num_generated": num_generated,
        "real": real.described,
        "mixed_latents": mixed,
        "features": {"name": features.name, "sha256": features.sha256},
        "images": "8 bits, clamped",
        "noise": "random",
        "truncation": "none",
    }
    suffix = short_number(num_generated) + (f"_mixed{mixed}" if mixed > 1 else "")
    name = f"{features.distance_name}{suffix}"
    results = [
        _result(metric, value, ci95, network=network, num_generated=num_generated, seed=seed, protocol=protocol)
        for metric, (value, ci95) in {
            name: _frechet(fakes, shuffled),
            _kernel_name(name): kernel_distance(fakes, shuffled),
        }.items()
    ]
    words = in_words(
        name,
        num_generated=num_generated,
        num_real=len(shuffled),
        dimensions=fakes.shape[1],
        asked_real=None if num_real == len(dataset) else num_real,
    )
    return results, words


def _check(
    generator: GeneratorLike, dataset: Dataset, *, num_generated: int, num_real: int, mixed: int, batch_size: int
) -> None:
    if min(num_generated, num_real) < 2 * GROUPS or batch_size < 1:
        raise UsageError(
            f"{num_generated} generated and {num_real} real images in batches of {batch_size}: an interval needs at "
            f"least {2 * GROUPS} of each (published: 50,000), and a batch at least 1."
        )
    if len(dataset) < 2 * GROUPS:
        raise UsageError(f"the data {dataset.name} have {len(dataset)} images; at least {2 * GROUPS} are needed.")
    if generator.img_resolution != dataset.resolution:
        raise UsageError(
            f"the generator's images are {generator.img_resolution} pixels wide and the data's {dataset.resolution}: "
            "open the data at the generator's resolution."
        )
    if not 1 <= mixed <= generator.num_ws:
        allowed = f"take 1 (none) to {generator.num_ws}" if generator.num_ws > 1 else "leave mixing out"
        layers = f"{generator.num_ws} layers" if generator.num_ws > 1 else "one layer"
        raise UsageError(f"{mixed} latents cannot be mixed in a generator of {layers}: {allowed}.")


def _real(
    dataset: Dataset,
    features: ImageFeatures,
    count: int,
    *,
    seed: int,
    batch_size: int,
    kept_in: Path | None,
    told: Progress,
    say: Callable[[str], None] | None,
) -> Against:
    """Features of real images chosen by the seed (all of them if so many are asked for), from the cache if there."""
    chosen = chosen_reals(len(dataset), count, seed=seed)
    described = {key: dataset.describe()[key] for key in ("name", "fingerprint", "resolution", "crop", "filter")}
    described |= {"num_images": count, "of": len(dataset)}
    choice = hashlib.sha256(chosen.tobytes()).hexdigest()
    key = hashlib.sha256(f"{dataset.fingerprint} {dataset.resolution} {features.sha256} {choice}".encode()).hexdigest()
    path = None if kept_in is None else kept_in / f"features-{key[:32]}.npy"
    found = None if path is None else _cached(path, count)
    if found is None:
        if say is not None:
            again = "" if path is None else f"; they are kept in {kept_in} for the next time"
            say(f"taking features of {count:,} real images (--num-real takes fewer){again}")
        parts = []
        for start in range(0, count, batch_size):
            parts.append(features(dataset.images(chosen[start : start + batch_size])))
            told(min(start + batch_size, count), count)
        found = np.concatenate(parts)
        if not np.isfinite(found).all():
            raise DataError(
                "features of real images are not finite (NaN or infinity): the network's weights may be so."
            )
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(path) as temporary, temporary.open("wb") as file:
                np.save(file, found)
    return Against(found, described)


def _cached(path: Path, count: int) -> np.ndarray | None:
    try:
        found: np.ndarray = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.ndim == 2 and len(found) == count and np.isfinite(found).all() else None


def chosen_reals(total: int, count: int, *, seed: int) -> np.ndarray:
    """Which of `total` real images are compared with, ascending: the same ones whenever asked."""
    order = np.random.default_rng(derive_seed(seed, "fid-reals")).permutation(total)
    return np.asarray(np.sort(order[:count]))


def generated_images(
    generator: GeneratorLike, rows: slice, *, seed: int, device: torch.device, mixed: int = 1
) -> Tensor:
    """Generated images of some rows, [n, C, R, R]; row i is a function of the seed and i alone.

    Raises:
        DataError: images are not finite.
    """
    with torch.inference_mode(), full_precision():
        ws = _mapped(generator, rows, seed, "fid-z", device)
        if mixed > 1:
            ws = ws.clone()
            cuts = mixing_cuts(seed, rows, mixed, generator.num_ws)
            for number in range(1, mixed):
                other = _mapped(generator, rows, seed, f"fid-z{number}", device)
                beyond = torch.from_numpy(np.arange(generator.num_ws) >= cuts[:, number - 1 : number]).to(device)
                ws = torch.where(beyond[:, :, None], other, ws)
        images = synthesize(generator, [ws], rows=rows, seed=seed, stream="fid-noise")[0]
    if not images.isfinite().all():
        raise DataError(f"the generator made images with values that are not finite, in rows from {rows.start} on.")
    return images


def mixing_cuts(seed: int, rows: slice, mixed: int, num_ws: int) -> np.ndarray:
    """The layers from which on each further latent takes over, int64 [n, mixed - 1], ascending, each above 0.

    They are drawn without repetition from the layers 1 to num_ws - 1, all choices equally likely.
    """
    draws = uniform_rows(seed, "fid-cuts", rows, num_ws - 1)
    return np.asarray(np.sort(np.argsort(draws, axis=1)[:, : mixed - 1], axis=1) + 1)


def _mapped(generator: GeneratorLike, rows: slice, seed: int, stream: str, device: torch.device) -> Tensor:
    return generator.mapping(sample_z(seed, rows, generator.z_dim, stream=stream).to(device))


def _share(features: np.ndarray, team: Team) -> None:
    """Give every process the features [n, D] that others made; each has zeros there."""
    if team.size == 1:
        return
    everyone = torch.from_numpy(features).to(team.device)
    team.add([everyone])
    features[:] = everyone.cpu().numpy()


def _frechet(fakes: np.ndarray, reals: np.ndarray) -> tuple[float, tuple[float, float]]:
    """The Fréchet distance, and its interval by leaving out a tenth of both sets at a time (grouped jackknife)."""
    value = frechet_distance(fakes, reals)
    groups = [np.arange(len(x)) % GROUPS for x in (fakes, reals)]
    without = [frechet_distance(fakes[groups[0] != g], reals[groups[1] != g]) for g in range(GROUPS)]
    low, high, _ = interval_of_refits(value, np.array(without))
    return value, (max(low, 0.0), high)


def _kernel_name(name: str) -> str:
    """kid50k beside fid50k, kd_classifiers... beside fd_classifiers..."""
    return "kid" + name.removeprefix("fid") if name.startswith("fid") else "kd" + name.removeprefix("fd")


def _result(metric: str, value: float, ci95: tuple[float, float], *, num_generated: int, **fields: Any) -> MetricResult:
    return MetricResult(metric=metric, value=value, ci95=ci95, num_samples=num_generated, **fields)
