"""What many tests share: reference recordings, and tiny settings that run in moments."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from trainers.presets import DatasetRecord, RunConfig, TrainingConfig, networks_for
from trainers.schedule import Schedule

REFERENCE = Path(__file__).parent / "reference"


@pytest.fixture(autouse=True)
def one_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep rendered faces out of the user's cache, and share them between tests."""
    monkeypatch.setenv("LATENTLAB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def recording() -> Callable[[str], dict]:
    """Load a reference file by name; arrays as a dict, JSON as it is."""

    def load(name: str) -> dict:
        path = REFERENCE / name
        return json.loads(path.read_text()) if path.suffix == ".json" else dict(np.load(path))

    return load


class Squares:
    """16 x 16 images of random colour, as a data set."""

    name, fingerprint, resolution = "squares", "f" * 64, 16

    def __len__(self) -> int:
        return 40

    def images(self, indices: np.ndarray) -> np.ndarray:
        colours = np.random.default_rng(0).integers(0, 256, (40, 1, 1, 3), dtype=np.uint8)
        return np.broadcast_to(colours, (40, 16, 16, 3))[indices]


@pytest.fixture
def squares() -> Squares:
    return Squares()


@pytest.fixture
def tiny_run() -> Callable[..., RunConfig]:
    """A run of seconds at 16 x 16 pixels that still grows from 8 x 8."""

    def make(*, arch: str = "style", seed: int = 0, **training: object) -> RunConfig:
        generator, discriminator = networks_for("quick", arch=arch, mapping_depth=2, resolution=16)
        small = {"fmap_base": 64, "fmap_max": 8}
        latent = {"z_dim": 8, "w_dim": 8, "mapping_fmaps": 8}
        schedule = Schedule(stable_kimg=0.048, fade_kimg=0.032, minibatch={}, minibatch_base=8)
        settings = {"total_kimg": 0.2, "tick_kimg": 0.04, "snapshot_kimg": 0.08, "schedule": schedule, **training}
        return RunConfig(
            preset="quick",
            generator=generator.model_copy(update={**small, **latent}),
            discriminator=discriminator.model_copy(update=small),
            training=TrainingConfig.model_validate(settings),
            dataset=DatasetRecord(name="squares", fingerprint="f" * 64, num_images=40, resolution=16),
            seed=seed,
            latentlab_version="0",
            created_at="2026-01-01",
        )

    return make


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tiny tensors gain nothing from threads, and lose much where tests share cores with something else."""
    torch.set_num_threads(1)
