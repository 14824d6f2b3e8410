"""Snapshots of a run: the averaged generator as a network folder, and beside it all that training needs to go on."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from latentlab.checkpoint import assign, load_tensors, read_json, save_generator, save_tensors, snapshots
from latentlab.errors import CheckpointError
from latentlab.files import atomic_folder
from latentlab.networks import Discriminator, Generator
from trainers.presets import TrainingConfig


@dataclass
class TrainingState:
    """Everything that changes while a run trains. Random numbers need no state: they are functions of the seed."""

    generator: Generator
    average: Generator
    discriminator: Discriminator
    optimizer_g: torch.optim.Adam
    optimizer_d: torch.optim.Adam
    num_images: int = 0
    num_steps: int = 0
    seconds: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)

    def set_lod(self, lod: float) -> None:
        """Grow all three networks to one level of detail."""
        self.generator.synthesis.lod = self.average.synthesis.lod = self.discriminator.lod = lod


def save_snapshot(run: Path, state: TrainingState, record: dict[str, Any]) -> Path:
    """Write `snapshots/NNNNNNNNN`, the number of images seen; it appears complete or not at all.

    `record` says in network.json how the weights came about.
    """
    folder = run / "snapshots" / f"{state.num_images:09d}"
    with atomic_folder(folder, replace=True) as temporary:
        save_generator(temporary, state.average, {**record, "num_images": state.num_images, **state.metrics})
        description = {
            "kind": "training",
            "num_images": state.num_images,
            "num_steps": state.num_steps,
            "seconds": state.seconds,
            "lod": state.generator.synthesis.lod,
            "metrics": state.metrics,
        }
        save_tensors(temporary, "training", dict(_tensors(state)), description)
    return folder


def load_snapshot(folder: Path, state: TrainingState) -> None:
    """Put a snapshot's content into `state`, whose networks must have the run's configuration.

    Raises:
        CheckpointError: A file is missing or damaged, or does not fit the networks.
    """
    average, _ = load_tensors(folder, "network")
    tensors, description = load_tensors(folder, "training")
    assign(state.average, average, str(folder))
    for prefix, network in (("g", state.generator), ("d", state.discriminator)):
        assign(network, _with_prefix(tensors, prefix), str(folder))
    for prefix, optimizer in (("adam_g", state.optimizer_g), ("adam_d", state.optimizer_d)):
        _restore_adam(optimizer, _with_prefix(tensors, prefix))
    state.num_images, state.num_steps = description["num_images"], description["num_steps"]
    state.seconds, state.metrics = description["seconds"], description["metrics"]
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


def prune(run: Path, keep: int, score: str | None) -> None:
    """Remove all but the newest `keep` snapshots and the one with the lowest `score` among their metrics."""
    found = snapshots(run)
    kept = set(found[-keep:])
    scored = {folder: _metric(folder, score) for folder in found} if score else {}
    scored = {folder: value for folder, value in scored.items() if value is not None}
    if scored:
        kept.add(min(scored, key=lambda folder: scored[folder] or 0.0))
    for folder in set(found) - kept:
        shutil.rmtree(folder)


def remove_leftovers(run: Path) -> None:
    """Remove what a killed process left half-written."""
    for path in (run / "snapshots").glob(".*.partial"):
        shutil.rmtree(path, ignore_errors=True)


def _metric(folder: Path, score: str) -> float | None:
    try:
        value = read_json(folder / "training.json")["metrics"].get(score)
    except (CheckpointError, KeyError):
        return None
    return None if value is None else float(value)


def _tensors(state: TrainingState) -> Iterator[tuple[str, Tensor]]:
    for prefix, network in (("g", state.generator), ("d", state.discriminator)):
        yield from ((f"{prefix}.{name}", tensor) for name, tensor in network.state_dict().items())
    for prefix, optimizer in (("adam_g", state.optimizer_g), ("adam_d", state.optimizer_d)):
        for index, moments in optimizer.state_dict()["state"].items():
            yield from ((f"{prefix}.{index}.{name}", tensor) for name, tensor in moments.items())


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    start = prefix + "."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def _restore_adam(optimizer: torch.optim.Adam, tensors: dict[str, Tensor]) -> None:
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, what = name.partition(".")
        moments.setdefault(int(index), {})[what] = tensor
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    for parameter, state in optimizer.state.items():  # fused steps walk memory: moments must lie as parameters do
        for name in ("exp_avg", "exp_avg_sq"):
            state[name] = torch.empty_like(parameter).copy_(state[name])


def make_adam(network: nn.Module, settings: TrainingConfig) -> torch.optim.Adam:
    """Adam over a network's parameters, with fused steps."""
    return torch.optim.Adam(
        network.parameters(),
        lr=settings.schedule.learning_rate_base,
        betas=settings.adam_betas,
        eps=settings.adam_eps,
        fused=True,
    )
