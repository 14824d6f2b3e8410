"""A whole run of training: its folder, its snapshots, being stopped and going on."""

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
from latentlab.distributed import Team
from latentlab.errors import CheckpointError, DivergenceError, UsageError
from latentlab.files import atomic_file
from latentlab.images import grid, to_uint8
from latentlab.latents import sample_noise, sample_z
from latentlab.networks import Generator
from latentlab.progress import Progress, silent
from trainers.config import RunConfig
from trainers.events import Events
from trainers.folder import (
    append_stats,
    differences,
    read_stats,
    refuse_differences,
    refuse_other_networks,
    refuse_taken,
    replace_last,
    truncate_stats,
    write_config,
)
from trainers.reals import ImageSource
from trainers.snapshots import (
    TrainingState,
    better,
    load_newest,
    load_snapshot,
    prune,
    remove_leftovers,
    save_snapshot,
    snapshot_name,
)
from trainers.trainer import Trainer
from trainers.watch import concerns

GRID_COLUMNS, GRID_ROWS = 8, 6
LOCK_PATIENCE = 1.0  # seconds; `latentlab runs` holds a free lock for a moment
SnapshotMetrics = Callable[[Generator, int], dict[str, float]]
Say = Callable[[str], None]


def train(
    config: RunConfig,
    source: ImageSource,
    run: Path,
    *,
    resume: bool = False,
    force: bool = False,
    device: torch.device | None = None,
    team: Team | None = None,
    snapshot_metrics: SnapshotMetrics | None = None,
    score: str | None = None,
    progress: Progress = silent,
    say: Say = lambda words: None,
) -> TrainingState:
    """Train until config.trainer.total_kimg and leave a run folder (docs/architecture.md).

    Args:
        config: Everything that decides the outcome; written to config.json.
        source: The data set, at the generator's resolution.
        run: The run folder.
        resume: Go on with a run that was stopped or killed; its configuration must be the same.
        force: Resume with another configuration all the same; the old one is kept as config-N.json.
        device: Where to train; the CPU by default.
        team: The processes that train together; this one alone by default.
        snapshot_metrics: Called with the averaged generator and the number of images at each snapshot; the numbers it
            returns go into stats.jsonl and into the snapshot.
        score: Which of these numbers, lower being better, decides what the best snapshot is; it is kept.
        progress: Called after each step with images done and in all.
        say: Takes words for the user, such as a damaged snapshot that was skipped.

    Raises:
        OutputExistsError: `run` is taken and `resume` is off.
        UsageError: `resume` with another configuration (its differing fields are named), another process trains this
            run, or the processes do not divide the shards.
        DivergenceError: A loss was no finite number; the last snapshot is whole.
        LostProcessError: Another process of the team has ended.
        KeyboardInterrupt: Interrupted; a snapshot was written first.
    """
    team = team or Team()
    if config.trainer.shards % team.size:
        raise UsageError(
            f"{team.size} processes cannot share {config.trainer.shards} shards evenly: choose --shards as a multiple "
            "of the number of processes."
        )
    try:
        with _locked(run, config, team, resume=resume, force=force):
            trainer = Trainer(config, source, device or torch.device("cpu"), team)
            resumed = _restore(trainer, run, say)
            if team.leads:  # only now, when a snapshot has turned out to fit
                for difference in differences(run, config):
                    say(f"going on with other settings: {difference}")
                write_config(run, config)
            purge = trainer.state.num_images if resumed else None
            with Events(run if team.leads else None, purge, say) as events:
                _Loop(trainer, run, events, snapshot_metrics, score, progress, say).work()
    except Timeout as error:
        raise UsageError(f"{run} is being trained by another process: wait for it, or name another --out.") from error
    return trainer.state


@contextmanager
def _locked(run: Path, config: RunConfig, team: Team, *, resume: bool, force: bool) -> Iterator[None]:
    """Make the folder ours; the others of the team wait until process 0 has done so."""
    if not team.leads:
        team.wait()
        yield
        return
    refuse_taken(run, resume=resume)
    run.mkdir(parents=True, exist_ok=True)
    with FileLock(run / ".lock", timeout=LOCK_PATIENCE):
        if not force:
            refuse_differences(run, differences(run, config))
        remove_leftovers(run)
        team.wait()
        yield


def _restore(trainer: Trainer, run: Path, say: Say) -> bool:
    """Process 0 looks for the newest snapshot that is whole; all load it. Returns whether there is one."""
    words: list[str] = []
    folder: Path | None = None
    if trainer.team.leads:
        folder, words = load_newest(run, trainer.state)
        if folder is None and words:
            refuse_other_networks(run, trainer.config)
        for sentence in words:
            say(sentence)
        if folder is None and words:
            raise CheckpointError(f"{run}: no snapshot is usable; start again under another --out.")
        truncate_stats(run, trainer.state.num_images / 1000)
    name = trainer.team.told(folder.name if folder else "")
    if name and not trainer.team.leads:
        load_snapshot(run / "snapshots" / name, trainer.state)
    if name:
        say(f"resuming from snapshot {name} ({trainer.state.num_images / 1000:.1f} kimg)")
    return bool(name)


class _Loop:
    """Steps, statistics and snapshots until the end."""

    def __init__(
        self,
        trainer: Trainer,
        run: Path,
        events: Events,
        metrics: SnapshotMetrics | None,
        score: str | None,
        progress: Progress,
        say: Say,
    ) -> None:
        self.trainer, self.run, self.events = trainer, run, events
        self.metrics, self.score, self.progress, self.say = metrics, score, progress, say
        self.history = read_stats(run) if trainer.team.leads else []
        self.known = set(self._concerns())

    def work(self) -> None:
        """Train to the end, or until asked to stop."""
        state, settings, total = self.trainer.state, self.trainer.config.trainer, self.trainer.total_images
        if self.trainer.team.leads and state.num_images > 0:
            self._make_up(finished=state.num_images >= total)
        with _stop_requests() as stop:
            stopped = False
            while state.num_images < total and not stopped:
                images = state.num_images
                stopped, speed = self._steps(_next(images, settings.tick_kimg, total), stop)
                tick = self._tick(speed)
                done = state.num_images >= total or stopped
                due = done or state.num_images >= _next(images, settings.snapshot_kimg, total)
                if self.trainer.team.leads:
                    self._record(tick, snapshot=due, measure=not stopped)
            if stopped:
                raise KeyboardInterrupt

    def _steps(self, until: int, stop: threading.Event) -> tuple[bool, float]:
        """Train until that many images; returns whether somebody asked to stop, and images per second."""
        trainer, state, stopped = self.trainer, self.trainer.state, False
        started, images = time.perf_counter(), state.num_images
        while state.num_images < until and not stopped:
            trainer.step()
            self.progress(state.num_images, trainer.total_images, f"{trainer.phase().resolution} px")
            stopped = trainer.team.any(stop.is_set())
        elapsed = time.perf_counter() - started
        state.seconds += elapsed
        return stopped, (state.num_images - images) / max(elapsed, 1e-9)

    def _tick(self, speed: float) -> dict[str, float]:
        losses = self.trainer.averages()
        if not all(math.isfinite(value) for value in losses.values()):
            found = snapshots(self.run)
            last = f"snapshot {found[-1].name} is the last good one" if found else "no snapshot had been written yet"
            raise DivergenceError(
                f"training diverged after {self.trainer.state.num_images / 1000:.1f} kimg "
                f"({', '.join(f'{name} {value:.3g}' for name, value in losses.items())}); {last}. "
                "Resuming would repeat it: train again with another --seed, --preset or --out."
            )
        state, phase = self.trainer.state, self.trainer.phase()
        where = {"kimg": state.num_images / 1000, "lod": phase.lod, "resolution": phase.resolution}
        where |= {"minibatch": phase.minibatch, "learning_rate": phase.learning_rate}
        return {**where, **losses, "images_per_second": speed, "seconds": state.seconds}

    def _record(self, tick: dict[str, float], *, snapshot: bool, measure: bool) -> None:
        """Statistics first, then the snapshot: a kill in between repeats both.

        Who asked to stop is about to kill, so that snapshot is not measured.
        """
        state = self.trainer.state
        if snapshot:
            state.metrics = {}
            if measure:
                self._measure()
            tick |= state.metrics
        append_stats(self.run, tick)
        self.events.scalars(state.num_images, tick)
        self._warn(tick)
        if snapshot:
            self._snapshot()

    def _measure(self) -> None:
        state = self.trainer.state
        state.metrics = self.metrics(state.average, state.num_images) if self.metrics else {}
        state.best = better(state.best, state.metrics, self.score, state.num_images)

    def _make_up(self, *, finished: bool) -> None:
        """What was left undone after the snapshot that we resume from: a kill, or a request to stop at the very end."""
        state = self.trainer.state
        if finished and self.metrics and not state.metrics and self.history:
            self._measure()
            self.history[-1] |= state.metrics
            replace_last(self.run, self.history[-1])
            self.events.scalars(state.num_images, state.metrics)
            self._snapshot()
        prune(self.run, self.trainer.config.trainer.keep_snapshots, state)

    def _concerns(self) -> dict[str, str]:
        loss = self.trainer.config.trainer.loss
        return {concern.kind: concern.words for concern in concerns(self.history, loss=loss, score=self.score)}

    def _warn(self, tick: dict[str, float]) -> None:
        """Say what begins to look wrong, once until it has gone away."""
        self.history.append(tick)
        found = self._concerns()
        for kind in found.keys() - self.known:
            self.say(f"warning: {found[kind]}")
        self.known = set(found)

    def _snapshot(self) -> None:
        config, state = self.trainer.config, self.trainer.state
        dataset = config.dataset.model_dump()
        record = {"run": self.run.name, "preset": config.preset, "config": config.config, "dataset": dataset}
        with atomic_file(self.run / "grids" / f"{snapshot_name(state)}.png") as temporary:
            enlarge = max(1, 128 // config.generator.resolution)
            picture = grid(_preview(self.trainer), GRID_COLUMNS, enlarge=enlarge)
            picture.save(temporary, "PNG")
        self.events.image(state.num_images, "grid", np.asarray(picture))
        save_snapshot(self.run, state, {**record, "seed": config.seed})
        prune(self.run, config.trainer.keep_snapshots, state)


def _next(images: int, every_kimg: float, total: int) -> int:
    """The next multiple of `every_kimg`, in whole images and more than `images`, or the end if that comes first."""
    every = max(round(every_kimg * 1000), 1)
    return min((images // every + 1) * every, total)


@torch.no_grad()
def _preview(trainer: Trainer) -> np.ndarray:
    average, rows = trainer.state.average, slice(0, GRID_COLUMNS * GRID_ROWS)
    z = sample_z(trainer.config.seed, rows, average.z_dim, stream="grid").to(trainer.device)
    noise = sample_noise(trainer.config.seed, rows, average.synthesis.noise_shapes, stream="grid-noise")
    return to_uint8(average(z, noise=[layer.to(trainer.device) for layer in noise]))


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
