"""What a report reads: run folders and classifier cards, in the forms docs/architecture.md describes."""

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np

from latentlab.errors import DataError
from latentlab.report.drawings import Drawing, read_drawings
from latentlab.report.formatting import flatten
from latentlab.report.published import PPL_PROTOCOL, PPL_WALKS
from latentlab.results import MetricResult, is_image_distance, read_results
from latentlab.zoo import ORIGIN, bundled_record

PREVIEW_AXES = {"samples": 4, "interpolation_z": 5, "interpolation_w": 5}
"""Axes of each array of previews.npz: [N, H, W, C], or [P, S, H, W, C] with P pairs and S steps."""

FEWEST_PAIRS = 1000
"""Of fewer, fewer than ten are dropped on each side as outliers: a trial, which displaces no measurement."""

PAIRS = "pairs.h5"
"""Where a run folder has the pairs of its path lengths (`latentlab ppl --keep RUN/pairs.h5`)."""

CONFIGS = ("config.json", "generator.json")
"""What a run folder says of its generator: a training's settings, or what a user's own generator is."""

RUN_CONTENT = (
    "a run folder has config.json (or generator.json, which `latentlab report` writes when it is given "
    "package.module:factory or the official file itself) and, as far as they exist, results.jsonl, previews.npz, "
    "stats.jsonl, grids/, figures/"
)


@dataclass(frozen=True)
class Tear:
    """The largest path lengths of a metric, and images around them.

    Attributes:
        metric: Which.
        value: The path length itself.
        lengths: Of the largest, largest first, [K].
        images: uint8 [K, S, H, W, C], steps along the path.
    """

    metric: str
    value: float
    lengths: np.ndarray
    images: np.ndarray


@dataclass(frozen=True)
class ReportRun:
    """One run as the report shows it; parts that do not exist yet are empty."""

    name: str
    folder: Path
    config: dict[str, Any]
    stats: list[dict[str, Any]]
    results: list[MetricResult]
    previews: dict[str, np.ndarray]
    grid: Path | None
    tears: list[Tear]
    drawings: list[Drawing] = field(default_factory=list)

    @property
    def shown(self) -> dict[str, MetricResult]:
        """The result of each metric that tables show."""
        return shown(self.results)

    @property
    def foreign(self) -> str | None:
        """What a generator not trained here is: the factory or file it is from; None for a run of LatentLab's."""
        described = self.config.get("generator", {})
        return described.get("factory") or described.get("origin")

    @property
    def w_without_mapping(self) -> str:
        """What W is where there is no mapping network."""
        return "Z" if self.config.get("generator", {}).get("normalizes_z") is False else "Z, normalised"

    @property
    def depth(self) -> int | None:
        """Layers of the mapping network; None where the settings do not say."""
        depth = self.config.get("generator", {}).get("mapping_layers")
        return depth if isinstance(depth, int) else None

    @property
    def arch(self) -> Literal["style", "traditional"] | None:
        """Whether the latent enters through styles or through the first layer; None where the settings do not say."""
        styles = self.config.get("generator", {}).get("use_styles")
        if not isinstance(styles, bool):
            return None
        return "style" if styles else "traditional"

    @property
    def dataset(self) -> str:
        """Name, size and resolution of the training images; an empty text where the settings do not name them."""
        facts = self.config.get("dataset", {})
        if "name" not in facts:
            return ""
        parts = [str(facts["name"])]
        if isinstance(facts.get("num_images"), int):
            parts.append(f"{facts['num_images']:,} images")
        if isinstance(facts.get("resolution"), int):
            parts.append(f"{facts['resolution']}×{facts['resolution']}")
        return ", ".join(parts)

    @property
    def fingerprint(self) -> str | None:
        """Digest of what the training images are; None where the settings do not say."""
        return self.config.get("dataset", {}).get("fingerprint")

    @property
    def images_seen(self) -> int | None:
        """How many images the discriminator had seen at the last recorded tick."""
        ticks = [tick["kimg"] for tick in self.stats if isinstance(tick.get("kimg"), int | float)]
        return round(ticks[-1] * 1000) if ticks else None


def shown(results: Sequence[MetricResult]) -> dict[str, MetricResult]:
    """The result of each metric that tables show: of the network measured last, the nearest to the paper.

    Of path lengths, those of `FEWEST_PAIRS` and more come first; of those, the one that departs from the paper's
    protocol in the fewest settings, of those the one of most pairs, of those the newest; of distances to real images,
    the one to the most, of those the newest; of other metrics, the newest.
    """
    recency = {result.network.sha256: number for number, result in enumerate(results)}
    chosen: dict[str, tuple[tuple[int, ...], MetricResult]] = {}
    for result in results:
        rank = (recency[result.network.sha256], *_merit(result))
        if result.metric not in chosen or rank >= chosen[result.metric][0]:
            chosen[result.metric] = (rank, result)
    return {metric: result for metric, (_, result) in chosen.items()}


def _merit(result: MetricResult) -> tuple[int, int, int]:
    """What is shown first of several measurements of one network: the larger one."""
    if result.metric.startswith("ppl"):
        return int(result.num_samples >= FEWEST_PAIRS), -_departures(result), result.num_samples
    return 0, 0, (num_real(result) or 0) if is_image_distance(result.metric) else 0


def num_real(result: MetricResult) -> int | None:
    """How many real images a distance between sets of images was measured with; None where it does not say."""
    real = result.protocol.get("real")
    number = real.get("num_images") if isinstance(real, dict) else None
    return number if isinstance(number, int) else None


def _departures(result: MetricResult) -> int:
    """In how many settings a path length was measured otherwise than the paper's."""
    protocol = flatten(result.protocol)
    space = result.protocol.get("space")
    walk = PPL_WALKS.get(space) if isinstance(space, str) else None
    published = PPL_PROTOCOL | {"interpolation": walk}
    departures = sum(name in protocol and protocol[name] != value for name, value in published.items())
    return departures + sum(name in protocol for name in ("upsample", "quantize"))


def read_run(folder: Path | str) -> ReportRun:
    """Read a run folder; results, previews, statistics, grids and figures may be missing.

    Of what was measured of a bundled network, settings and statistics of training are those that came with it.

    Raises:
        DataError: the folder is no run folder, or one of its files does not have the documented form.
    """
    folder = Path(folder)
    record = bundled_record(folder) if folder.is_dir() else None
    results = folder / "results.jsonl"
    grids = sorted((folder / "grids").glob("*.png"), key=lambda path: (path.stem.zfill(12), path.name))
    return ReportRun(
        name=folder.resolve().name,
        folder=folder,
        config=_config_of(folder, record),
        stats=_read_stats((record or folder) / "stats.jsonl"),
        results=read_results(results) if results.is_file() else [],
        previews=_read_previews(folder / "previews.npz"),
        grid=grids[-1] if grids else None,
        tears=_read_tears(folder / PAIRS),
        drawings=read_drawings(folder / "figures"),
    )


def read_card(folder: Path | str) -> dict[str, Any]:
    """Read card.json, the held-out accuracy per attribute, of a classifier folder.

    Raises:
        DataError: there is no card.json in the folder, or it does not list attributes.
    """
    path = Path(folder) / "card.json"
    if not path.is_file():
        raise DataError(
            f"{folder} is no classifier folder: it has no card.json; `latentlab classifiers train` writes it."
        )
    card = _read_object(path)
    attributes = card.get("attributes")
    if not isinstance(attributes, list) or not all(isinstance(row, dict) and "name" in row for row in attributes):
        raise DataError(f"{path}: `attributes` must be a list of objects with a `name` each.")
    return card


def _config_of(folder: Path, record: Path | None) -> dict[str, Any]:
    """What a run folder says of its generator, or what came with the bundled network that it is of."""
    path = next((folder / name for name in CONFIGS if (folder / name).is_file()), None)
    if path is not None:
        return _read_config(path)
    if record is None:
        raise DataError(f"{folder} is no run folder: it has no config.json. Expected: {RUN_CONTENT}.")
    config = _read_config(record / "config.json")
    return config | {"generator": config.get("generator", {}) | {"origin": ORIGIN}}


def _read_config(path: Path) -> dict[str, Any]:
    config = _read_object(path)
    for part in ("generator", "dataset"):
        if not isinstance(config.get(part, {}), dict):
            raise DataError(f"{path}: `{part}` is {config[part]!r}; an object with its settings is expected.")
    return config


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}); restore it or make the folder again.") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds a {type(content).__name__}; a JSON object is expected.")
    return content


def _read_stats(path: Path) -> list[dict[str, Any]]:
    """One object per tick; a last line that is still being written is left out."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    ticks: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        try:
            tick = json.loads(line)
        except ValueError as error:
            if number == len(lines):
                break
            raise DataError(f"{path}, line {number}: not JSON ({error}).") from error
        if not isinstance(tick, dict):
            raise DataError(f"{path}, line {number}: a JSON object is expected, one per tick.")
        ticks.append(tick)
    return ticks


def _read_previews(path: Path) -> dict[str, np.ndarray]:
    """The uint8 image arrays of previews.npz; names this version does not know are left out."""
    if not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as stored:
            previews = {name: stored[name] for name in PREVIEW_AXES if name in stored.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is not a readable .npz file ({error}); delete it and make it again.") from error
    for name, images in previews.items():
        if images.dtype != np.uint8 or images.ndim != PREVIEW_AXES[name] or images.shape[-1] not in (1, 3):
            raise DataError(
                f"{path}: `{name}` is {images.dtype} {list(images.shape)}; uint8 with {PREVIEW_AXES[name]} axes, "
                "the last of 1 or 3 channels, is expected. Delete the file and make it again."
            )
    return {name: images for name, images in previews.items() if images.size}


def _read_tears(path: Path) -> list[Tear]:
    """What pairs.h5 holds of the largest lengths, metric by metric."""
    if not path.is_file():
        return []
    found = []
    try:
        with h5py.File(path, "r") as file:
            for metric, group in file.items():
                lengths, largest, images = (group[name][:] for name in ("lengths", "largest", "images"))
                found.append(Tear(metric, float(group.attrs["value"]), lengths[largest], images))
    except (OSError, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DataError(
            f"{path} is no file of pairs ({error}); delete it, and make it by `latentlab ppl --keep {path}`."
        ) from error
    for tear in found:
        if tear.images.ndim != 5 or tear.images.dtype != np.uint8 or len(tear.images) != len(tear.lengths):
            raise DataError(f"{path}: the images of {tear.metric} do not have the form [K, S, H, W, C] of 8 bits.")
    return found
