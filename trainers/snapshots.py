"""Snapshots of a run: the averaged generator as a network folder, and beside it all that training needs to go on."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from latentlab.checkpoint import assign, load_tensors, save_generator, save_tensors, snapshots
from latentlab.errors import CheckpointError
from latentlab.files import atomic_folder
from latentlab.networks import Discriminator, Generator
from trainers.optimizer import Adam

CHECKED_ELSEWHERE = ("sha256", "schema_version", "weights_sha256")


@dataclass
class TrainingState:
    """Everything that changes while a run trains.

    Random numbers need no state of their own: those of step k are a function of (seed, k), and the images that it
    sees, of (seed, num_images).

    Attributes:
        generator, average, discriminator: The networks, `average` being the generator average.
        optimizer_g, optimizer_d: Their optimisers.
        num_images: Real images seen; the position in the data.
        num_steps: Steps taken; the position in the random numbers.
        phase_images: Where the schedule was looked at last, in images.
        seconds: Time spent in training.
        metrics: What was measured at the newest snapshot.
        best: The best snapshot so far: {"metric", "value", "num_images"}, or empty.
    """

    generator: Generator
    average: Generator
    discriminator: Discriminator
    optimizer_g: Adam
    optimizer_d: Adam
    num_images: int = 0
    num_steps: int = 0
    phase_images: int = 0
    seconds: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    best: dict[str, Any] = field(default_factory=dict)

    def set_lod(self, lod: float) -> None:
        """Grow all three networks to one level of detail."""
        self.generator.synthesis.lod = self.average.synthesis.lod = self.discriminator.lod = lod


def snapshot_name(state: TrainingState) -> str:
    """NNNNNNNNN, the number of images seen."""
    return f"{state.num_images:09d}"


def save_snapshot(run: Path, state: TrainingState, record: dict[str, Any]) -> None:
    """Write `snapshots/NNNNNNNNN`, the number of images seen; it appears complete or not at all.

    `record` says in network.json how the weights came about.
    """
    folder = run / "snapshots" / snapshot_name(state)
    with atomic_folder(folder, replace=True) as temporary:
        save_generator(temporary, state.average, {**record, "num_images": state.num_images, **state.metrics})
        description = {
            "kind": "training",
            "num_images": state.num_images,
            "num_steps": state.num_steps,
            "phase_images": state.phase_images,
            "seconds": state.seconds,
            "lod": state.generator.synthesis.lod,
            "metrics": state.metrics,
            "best": state.best,
            "adam_g": state.optimizer_g.position(),
            "adam_d": state.optimizer_d.position(),
        }
        description["sha256"] = _sha256(description)
        save_tensors(temporary, "training", dict(_tensors(state)), description)


def load_snapshot(folder: Path, state: TrainingState) -> None:
    """Put a snapshot's content into `state`, whose networks must have the run's configuration.

    Raises:
        CheckpointError: A file is missing or damaged, or does not fit the networks.
    """
    average, _ = load_tensors(folder, "network")
    tensors, description = load_tensors(folder, "training")
    if description.get("sha256") != _sha256(description):
        raise CheckpointError(f"{folder / 'training.json'} is damaged: its checksum is not the one in it.")
    assign(state.average, average, str(folder))
    for prefix, network in (("g", state.generator), ("d", state.discriminator)):
        assign(network, _with_prefix(tensors, prefix), str(folder))
    for prefix, optimizer in (("adam_g", state.optimizer_g), ("adam_d", state.optimizer_d)):
        optimizer.restore(_with_prefix(tensors, prefix), description[prefix])
    for name in ("num_images", "num_steps", "phase_images", "seconds", "metrics", "best"):
        setattr(state, name, description[name])
    state.set_lod(description["lod"])


def load_newest(run: Path, state: TrainingState) -> tuple[Path | None, list[str]]:
    """Load the newest snapshot that is whole; returns it (None if there is none) and words about damaged ones."""
    words = []
    for folder in reversed(snapshots(run)):
        try:
            load_snapshot(folder, state)
        except (CheckpointError, KeyError) as error:
            words.append(f"snapshot {folder.name} cannot be used and is skipped: {error}")
            continue
        return folder, words
    return None, words


def prune(run: Path, keep: int, state: TrainingState) -> None:
    """Remove all but the newest `keep` snapshots and the best one, which RUN/best leads to.

    Later ones than `state` are those that were damaged when the run was resumed: they do not count and stay until
    training comes there again.
    """
    found, best = [path for path in snapshots(run) if path.name <= snapshot_name(state)], state.best
    kept = set(found[-keep:])
    if best:
        kept.add(run / "snapshots" / f"{best['num_images']:09d}")
        _point(run / "best", Path("snapshots") / f"{best['num_images']:09d}")
    for folder in set(found) - kept:
        shutil.rmtree(folder)


def better(best: dict[str, Any], metrics: dict[str, float], score: str | None, num_images: int) -> dict[str, Any]:
    """The best snapshot so far, after one with `metrics`: the one with the lowest `score` (paper, table 1).

    One measured by another score does not count; a snapshot made again replaces itself.
    """
    if score is None or score not in metrics:
        return best
    comparable = best.get("metric") == score and best["num_images"] != num_images
    if comparable and best["value"] <= metrics[score]:
        return best
    return {"metric": score, "value": metrics[score], "num_images": num_images}


def _point(link: Path, target: Path) -> None:
    """Make `link` a symbolic link to `target`, where the file system has such links."""
    temporary = link.with_name(f".{link.name}.partial")
    with suppress(OSError, NotImplementedError):
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(target, target_is_directory=True)
        temporary.replace(link)


def remove_leftovers(run: Path) -> None:
    """Remove what a killed process left half-written."""
    for folder in (run, run / "snapshots", run / "grids"):
        for path in folder.glob(".*.partial"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _sha256(description: dict[str, Any]) -> str:
    """Checksum of the positions, whose digits nothing else protects; checksums of files are left out."""
    positions = {name: value for name, value in description.items() if name not in CHECKED_ELSEWHERE}
    return hashlib.sha256(json.dumps(positions, sort_keys=True).encode()).hexdigest()


def _tensors(state: TrainingState) -> Iterator[tuple[str, Tensor]]:
    for prefix, network in (("g", state.generator), ("d", state.discriminator)):
        yield from ((f"{prefix}.{name}", tensor) for name, tensor in network.state_dict().items())
    for prefix, optimizer in (("adam_g", state.optimizer_g), ("adam_d", state.optimizer_d)):
        yield from ((f"{prefix}.{name}", tensor) for name, tensor in optimizer.tensors())


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    start = prefix + "."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
