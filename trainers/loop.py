"""A whole run of training: its folder, its snapshots, being stopped and going on."""

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import numpy as np
import torch
from filelock import FileLock, Timeout

from latentlab.checkpoint import snapshots
from latentlab.errors import CheckpointError, DivergenceError, UsageError
from latentlab.files import atomic_file, refuse_existing
from latentlab.images import grid, to_uint8
from latentlab.latents import sample_noise, sample_z
from latentlab.networks import Generator
from latentlab.progress import Progress, silent
from trainers.presets import RunConfig
from trainers.reals import ImageSource
from trainers.snapshots import TrainingState, load_newest, prune, remove_leftovers, save_snapshot
from trainers.trainer import Trainer

GRID_COLUMNS, GRID_ROWS = 8, 6
SnapshotMetrics = Callable[[Generator, int], dict[str, float]]


def train(
    config: RunConfig,
    source: ImageSource,
    run: Path,
    *,
    resume: bool = False,
    device: torch.device | None = None,
    snapshot_metrics: SnapshotMetrics | None = None,
    score: str | None = None,
    progress: Progress = silent,
    say: Callable[[str], None] = lambda words: None,
) -> TrainingState:
    """Train until config.training.total_kimg and leave a run folder (docs/architecture.md).

    Args:
        config: Everything that decides the outcome; written to config.json.
        source: The data set, at the generator's resolution.
        run: The run folder.
        resume: Go on with a run that was stopped or killed; its configuration must be the same.
        device: Where to train; the CPU by default.
        snapshot_metrics: Called with the averaged generator and the number of images at each snapshot; the numbers it
            returns go into stats.jsonl and into the snapshot.
        score: Which of these numbers, lower being better, decides what the best snapshot is; it is kept.
        progress: Called after each step with images done and in all.
        say: Takes words for the user, such as a damaged snapshot that was skipped.

    Raises:
        OutputExistsError: `run` is taken and `resume` is off.
        UsageError: `resume` with another configuration (its differing fields are named), or another process trains
            this run.
        DivergenceError: A loss was no finite number; the last snapshot is whole.
        KeyboardInterrupt: Interrupted; a snapshot was written first.
    """
    refuse_taken(run, resume=resume)
    _claim(run, config)
    try:
        with FileLock(run / ".lock", timeout=0):
            trainer = Trainer(config, source, device or torch.device("cpu"))
            remove_leftovers(run)
            _restore(trainer, run, say)
            _loop(trainer, run, snapshot_metrics or (lambda generator, images: {}), score, progress)
    except Timeout as error:
        raise UsageError(f"{run} is being trained by another process: wait for it, or name another --out.") from error
    return trainer.state


def refuse_taken(run: Path, *, resume: bool) -> None:
    """Raise unless a run can be trained in this folder: a free one, or with `resume` one that holds a run.

    Raises:
        UsageError: `run` holds a run already and `resume` is off.
        OutputExistsError: `run` holds something else.
    """
    if not (run / "config.json").is_file():
        refuse_existing(run)
    elif not resume:
        raise UsageError(f"{run} holds a run already: add --resume to go on with it, or name another --out.")


def _claim(run: Path, config: RunConfig) -> None:
    path = run / "config.json"
    if path.is_file():
        _refuse_other_settings(path, config)
        return
    with atomic_file(path) as temporary:
        temporary.write_text(config.model_dump_json(indent=1) + "\n", encoding="utf-8")


def _refuse_other_settings(path: Path, config: RunConfig) -> None:
    try:
        old = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path} is not readable JSON ({error}): the run cannot be resumed.") from error
    differing = list(_differences(old, json.loads(config.model_dump_json())))
    if differing:
        raise UsageError(f"{path.parent} was started with other settings: {'; '.join(differing[:8])}.")


def _differences(old: object, new: object, name: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if key not in ("created_at", "latentlab_version"):
                yield from _differences(old.get(key), new.get(key), f"{name}.{key}".lstrip("."))
    elif old != new:
        yield f"{name} was {old!r} and is now {new!r}"


def _restore(trainer: Trainer, run: Path, say: Callable[[str], None]) -> None:
    folder, words = load_newest(run, trainer.state)
    for sentence in words:
        say(sentence)
    if folder is not None:
        say(f"resuming from snapshot {folder.name} ({trainer.state.num_images / 1000:.1f} kimg)")
    elif words:
        raise CheckpointError(f"{run}: no snapshot is usable; start again under another --out.")
    stats = run / "stats.jsonl"
    if stats.is_file():  # drop what was logged after the snapshot, and a line that a kill cut short
        kept = [
            line
            for line in stats.read_text(encoding="utf-8").splitlines()
            if _kimg(line) <= trainer.state.num_images / 1000
        ]
        with atomic_file(stats) as temporary:
            temporary.write_text("".join(line + "\n" for line in kept), encoding="utf-8")


def _kimg(line: str) -> float:
    try:
        return float(json.loads(line)["kimg"])
    except (json.JSONDecodeError, KeyError):
        return math.inf


def _loop(trainer: Trainer, run: Path, metrics: SnapshotMetrics, score: str | None, progress: Progress) -> None:
    state, settings = trainer.state, trainer.config.training
    with _stop_requests() as stop:
        while state.num_images < trainer.total_images:
            started, images = time.perf_counter(), state.num_images
            until = _next(images, settings.tick_kimg, trainer.total_images)
            while state.num_images < until and not stop.is_set():
                trainer.step()
                progress(state.num_images, trainer.total_images, f"{trainer.phase().resolution} px")
            elapsed = time.perf_counter() - started
            state.seconds += elapsed
            done = state.num_images >= trainer.total_images or stop.is_set()
            tick = _tick(trainer, run, (state.num_images - images) / max(elapsed, 1e-9))
            if done or state.num_images >= _next(images, settings.snapshot_kimg, trainer.total_images):
                state.metrics = metrics(state.average, state.num_images)
                _snapshot(trainer, run, score)
                tick |= state.metrics
            _append(run / "stats.jsonl", tick)
            if stop.is_set():
                raise KeyboardInterrupt


def _next(images: int, every_kimg: float, total: int) -> int:
    """The next multiple of `every_kimg`, in whole images and more than `images`, or the end if that comes first."""
    every = max(round(every_kimg * 1000), 1)
    return min((images // every + 1) * every, total)


def _tick(trainer: Trainer, run: Path, speed: float) -> dict[str, float]:
    losses = {name: value.item() for name, value in trainer.losses.items()}
    if not all(math.isfinite(value) for value in losses.values()):
        found = snapshots(run)
        last = f"snapshot {found[-1].name} is the last good one" if found else "no snapshot had been written yet"
        raise DivergenceError(
            f"training diverged after {trainer.state.num_images / 1000:.1f} kimg "
            f"({', '.join(f'{name} {value:.3g}' for name, value in losses.items())}); {last}. "
            "Resuming would repeat it: train again with another --seed, --preset or --out."
        )
    phase = trainer.phase()
    state = {"kimg": trainer.state.num_images / 1000, "lod": phase.lod, "resolution": phase.resolution}
    return {**state, **losses, "images_per_second": speed, "seconds": trainer.state.seconds}


def _snapshot(trainer: Trainer, run: Path, score: str | None) -> None:
    config = trainer.config
    record = {"run": run.name, "preset": config.preset, "dataset": config.dataset.model_dump(), "seed": config.seed}
    folder = save_snapshot(run, trainer.state, record)
    prune(run, config.training.keep_snapshots, score)
    with atomic_file(run / "grids" / f"{folder.name}.png") as temporary:
        grid(_preview(trainer), GRID_COLUMNS, enlarge=max(1, 128 // config.generator.resolution)).save(temporary, "PNG")


@torch.no_grad()
def _preview(trainer: Trainer) -> np.ndarray:
    average, rows = trainer.state.average, slice(0, GRID_COLUMNS * GRID_ROWS)
    z = sample_z(trainer.config.seed, rows, average.z_dim, stream="grid").to(trainer.device)
    noise = sample_noise(trainer.config.seed, rows, average.synthesis.noise_shapes, stream="grid-noise")
    return to_uint8(average(z, noise=[layer.to(trainer.device) for layer in noise]))


def _append(path: Path, line: dict[str, float]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


@contextmanager
def _stop_requests() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C or SIGTERM into a request that the loop grants between two steps; a second one is final."""
    stop = threading.Event()

    def request(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    previous = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
