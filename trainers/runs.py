"""The training runs in a folder, as they are right now: read from their files, nothing is loaded, nothing is touched.

No torch here, and only the ends of stats.jsonl are read, so that hundreds of runs are listed in a moment.
"""

import datetime
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

State = Literal["training", "finished", "stopped", "damaged"]
MARKS = ("config.json", "stats.jsonl", "snapshots")
TAIL_BYTES = 32_768
RECENT = 5
HALF_AN_IMAGE = 0.0005  # in kimg


@dataclass(frozen=True)
class BestSnapshot:
    """The best snapshot of a run: by which metric (lower is better), its value, and where it is, in kimg."""

    metric: str
    value: float
    kimg: float


@dataclass(frozen=True)
class RunSummary:
    """One training run.

    Attributes:
        name: The folder's name.
        path: The folder.
        state: "training": a live process holds the run's lock; "finished": the newest snapshot has seen all images;
            "stopped": neither, so it can be resumed; "damaged": it cannot be resumed as it is.
        reason: What is damaged; empty otherwise.
        kimg, total_kimg: Thousands of images seen and planned; None where the configuration does not say.
        images_per_second: Mean of the last ticks; None before the first one.
        seconds: Time spent in training.
        best: The best snapshot; None where nothing was measured.
        settings: The configuration in words, such as "style 8, F, 32 px".
        dataset: The data set's name.
        updated: When statistics were last written (UTC); before the first tick, when the run was started.
    """

    name: str
    path: Path
    state: State
    reason: str
    kimg: float
    total_kimg: float | None
    images_per_second: float | None
    seconds: float
    best: BestSnapshot | None
    settings: str
    dataset: str
    updated: datetime.datetime

    @property
    def seconds_left(self) -> float | None:
        """Time to the end at the present speed; None unless it trains and its speed is known."""
        if self.state != "training" or not self.images_per_second or self.total_kimg is None:
            return None
        return max(self.total_kimg - self.kimg, 0) * 1000 / self.images_per_second


class _DamagedError(Exception):
    """Why a run cannot be used."""


def list_runs(root: Path) -> list[RunSummary]:
    """The runs in a folder, or the one that it is itself, newest first; empty where there is no such folder.

    Hidden folders and folders with neither config.json nor stats.jsonl nor snapshots/ are no runs.
    """
    folders = [root] if _is_run(root) else [path for path in _folders(root) if _is_run(path)]
    runs = [_summary(folder) for folder in folders]
    return sorted(runs, key=lambda run: (-run.updated.timestamp(), run.name))


def _folders(root: Path) -> list[Path]:
    return [path for path in root.iterdir() if path.is_dir() and path.name[0] != "."] if root.is_dir() else []


def _is_run(path: Path) -> bool:
    return any((path / mark).exists() for mark in MARKS)


def _summary(run: Path) -> RunSummary:
    problems, config, ticks = list[str](), dict[str, Any](), list[dict[str, Any]]()
    try:
        config = _read_config(run)
    except _DamagedError as error:
        problems.append(str(error))
    try:
        ticks = _last_ticks(run)
    except _DamagedError as error:
        problems.append(str(error))
    last: dict[str, Any] = ticks[-1] if ticks else {}
    kimg, total = _number(last, "kimg") or 0.0, _number(_section(config, "trainer", "training"), "total_kimg")
    state: State = "damaged"
    if not problems:
        try:
            state = _state(run, total)
        except _DamagedError as error:
            problems.append(str(error))
    speeds = [speed for tick in ticks[-RECENT:] if (speed := _number(tick, "images_per_second")) is not None]
    return RunSummary(
        name=run.resolve().name,
        path=run,
        state=state,
        reason="; ".join(problems),
        kimg=kimg,
        total_kimg=total,
        images_per_second=sum(speeds) / len(speeds) if speeds else None,
        seconds=_number(last, "seconds") or 0.0,
        best=_best(run),
        settings=_in_words(config),
        dataset=str(_section(config, "dataset").get("name", "")),
        updated=_updated(run),
    )


def _state(run: Path, total: float | None) -> State:
    """By the newest snapshot, since a run that was killed while it wrote the last one goes on from the one before."""
    if _is_locked(run / ".lock"):
        return "training"
    kimg = _newest_images(run) / 1000
    return "finished" if total is not None and kimg >= total - HALF_AN_IMAGE else "stopped"


def _newest_images(run: Path) -> float:
    """Images seen at the newest snapshot that can be read; 0 where there is none at all."""
    folders = sorted((run / "snapshots").glob("[0-9]*"), reverse=True)
    for folder in folders:
        try:
            images = _number(_read_object(folder / "training.json"), "num_images")
        except _DamagedError:
            continue
        if images is not None:
            return images
    if folders:
        raise _DamagedError("no snapshot can be read")
    return 0.0


def _is_locked(path: Path) -> bool:
    """Whether a live process holds a lock; a lock file that is not there is not made.

    One that may not be opened, such as somebody else's or on a disk for reading only, counts as free.
    """
    if not path.is_file():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:
        return False


def _read_config(run: Path) -> dict[str, Any]:
    config = _read_object(run / "config.json")
    if not _section(config, "generator") or not _section(config, "trainer", "training"):
        raise _DamagedError("config.json is not that of a training run")
    return config


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise _DamagedError(f"{path.name} is missing") from error
    except OSError as error:
        raise _DamagedError(f"{path.name} cannot be read ({error.strerror})") from error
    except ValueError as error:  # no JSON, or no UTF-8
        raise _DamagedError(f"{path.name} is no JSON") from error
    if not isinstance(value, dict):
        raise _DamagedError(f"{path.name} is no JSON object")
    return value


def _last_ticks(run: Path) -> list[dict[str, Any]]:
    """The ticks in the last TAIL_BYTES of stats.jsonl; lines that cannot be read, as after a kill, are left out."""
    try:
        lines = _tail(run / "stats.jsonl")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _DamagedError(f"stats.jsonl cannot be read ({error.strerror})") from error
    ticks = list(_ticks(lines))
    if not ticks and any(line.endswith(b"\n") for line in lines):
        raise _DamagedError("stats.jsonl holds no line that can be read")
    return ticks


def _tail(path: Path) -> list[bytes]:
    """The whole lines within the last TAIL_BYTES of a file, and what follows the last of them."""
    with path.open("rb") as file:
        start = max(file.seek(0, os.SEEK_END) - TAIL_BYTES, 0)
        file.seek(start)
        lines = file.read(TAIL_BYTES).splitlines(keepends=True)
    return lines[1:] if start else lines


def _ticks(lines: list[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            tick = json.loads(line)
        except ValueError:
            continue
        if isinstance(tick, dict) and _number(tick, "kimg") is not None:
            yield tick


def _best(run: Path) -> BestSnapshot | None:
    """What the newest readable snapshot calls the best; in runs that did not note it, the best of those kept."""
    records = list[dict[str, Any]]()
    for folder in sorted((run / "snapshots").glob("[0-9]*"), reverse=True):
        try:
            records.append(_read_object(folder / "training.json"))
        except _DamagedError:
            continue
        if best := _noted(_section(records[-1], "best")):
            return best
    metric = _score(_section(records[0], "metrics")) if records else None
    found = [best for record in records if metric and (best := _measured(record, metric))]
    return min(found, key=lambda best: best.value, default=None)


def _noted(best: dict[str, Any]) -> BestSnapshot | None:
    value, images = _number(best, "value"), _number(best, "num_images")
    if value is None or images is None:
        return None
    return BestSnapshot(str(best.get("metric")), value, images / 1000)


def _score(metrics: dict[str, Any]) -> str | None:
    """The metric that says most about quality: FID where it was measured, or else the first one."""
    return min(metrics, key=lambda name: not name.startswith("fid"), default=None)


def _measured(record: dict[str, Any], metric: str) -> BestSnapshot | None:
    return _noted(record | {"metric": metric, "value": _section(record, "metrics").get(metric)})


def _in_words(config: dict[str, Any]) -> str:
    """Architecture and depth of the mapping, configuration of the paper (or preset) and resolution."""
    generator = _section(config, "generator")
    if not generator:
        return ""
    arch = "style" if generator.get("use_styles", True) else "traditional"
    parts = [f"{arch} {generator.get('mapping_layers', '?')}", config.get("config") or config.get("preset")]
    return ", ".join([*map(str, filter(None, parts)), f"{generator.get('resolution', '?')} px"])


def _updated(run: Path) -> datetime.datetime:
    """When stats.jsonl was written to, else config.json, else anything in the folder."""
    path = next((run / name for name in ("stats.jsonl", "config.json") if (run / name).is_file()), run)
    return datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC)


def _section(record: dict[str, Any], *names: str) -> dict[str, Any]:
    """The first of these fields that holds an object, or an empty one."""
    return next((value for name in names if isinstance(value := record.get(name), dict)), {})


def _number(record: dict[str, Any], name: str) -> float | None:
    """A finite number, or None."""
    value = record.get(name)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
