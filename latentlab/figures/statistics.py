"""What training measured at snapshots, as stats.jsonl holds it, and how the network grew meanwhile."""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from latentlab.errors import DataError, NoFigureError
from latentlab.zoo import is_bundled

TICK_FIELDS = (
    *("kimg", "lod", "resolution", "minibatch", "learning_rate", "loss_g", "loss_d", "scores_real", "scores_fake"),
    *("sign_real", "r1", "r2", "gp", "w_std", "images_per_second", "seconds"),
)
"""What every tick has (docs/training.md); all other numbers are metrics of snapshots."""
_PPL = re.compile(r"ppl_([zw])(full|end)")
_LS = re.compile(r"ls_([zw])")
_FID = re.compile(r"(fid|fd_.*?)(\d+k?)?")


@dataclass(frozen=True)
class Series:
    """A metric over training: thousands of images, and values."""

    kimg: list[float]
    values: list[float]


@dataclass(frozen=True)
class Phase:
    """From where to where (thousands of images) a resolution was trained, and whether it was fading in."""

    first: float
    last: float
    resolution: int
    fading: bool


@dataclass(frozen=True)
class Statistics:
    """Of a run.

    Attributes:
        name: Of its folder.
        metrics: By key, in the order in which they were first measured.
        phases: In order.
    """

    name: str
    metrics: dict[str, Series]
    phases: list[Phase]


def read_statistics(run: Path) -> Statistics:
    """A run's metrics and phases; lines that cannot be read, as after a kill, are left out.

    Raises:
        NoFigureError: The folder has no stats.jsonl, or no metric is in it.
        DataError: It holds no line that can be read.
    """
    path = run / "stats.jsonl"
    if not path.is_file():
        raise NoFigureError(f"{run} has no stats.jsonl: training curves are those of a run of `latentlab train`.")
    ticks = [tick for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if (tick := _tick(line))]
    if not ticks:
        raise DataError(f"{path} holds no line of statistics that can be read.")
    metrics: dict[str, Series] = {}
    for tick in ticks:
        for key, value in tick.items():
            if key not in TICK_FIELDS and _is_number(value):
                series = metrics.setdefault(key, Series([], []))
                series.kimg.append(float(tick["kimg"]))
                series.values.append(float(value))
    if not metrics:
        name = run.name if is_bundled(run) else run
        raise NoFigureError(f"nothing was measured at the snapshots of {name} (`latentlab train --snapshot-metrics`).")
    return Statistics(run.resolve().name, metrics, _phases(ticks))


@dataclass(frozen=True)
class Called:
    """What a picture calls a metric: the panel that it stands in, and its line there."""

    panel: str
    unit: str
    space: str | None = None


def called(key: str) -> Called:
    """What a key of stats.jsonl is called; one that is not known stands for itself."""
    if found := _PPL.fullmatch(key):
        where = {"full": "full paths", "end": "path ends"}[found[2]]
        return Called(f"Perceptual path length, {where}", "path length", found[1])
    if found := _LS.fullmatch(key):
        return Called("Linear separability", "score", found[1])
    if key == "swd":
        return Called("Sliced Wasserstein distance", "distance")
    if key == "fd_classifiers":
        return Called("Fréchet distance of classifier features", "distance")
    if (found := _FID.fullmatch(key)) and found[1] == "fid":
        return Called(f"FID{f', {found[2]} images' if found[2] else ''}", "FID")
    return Called(key.replace("_", " "), "")


def _tick(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and _is_number(found.get("kimg")) else None


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _phases(ticks: list[dict[str, Any]]) -> list[Phase]:
    """Runs of ticks of one resolution that fade, or do not; each begins where the one before ends."""
    found: list[Phase] = []
    for tick in ticks:
        lod, resolution = tick.get("lod"), tick.get("resolution")
        if not (_is_number(lod) and _is_number(resolution)):
            continue
        fading, size, kimg = float(lod) % 1 > 0, int(resolution), float(tick["kimg"])
        if found and (found[-1].resolution, found[-1].fading) == (size, fading):
            found[-1] = Phase(found[-1].first, kimg, size, fading)
        else:
            found.append(Phase(found[-1].last if found else 0.0, kimg, size, fading))
    return found
