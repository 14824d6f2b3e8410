"""What many tests share: reference recordings, and tiny settings that run in moments."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from trainers.config import DatasetRecord, RunConfig
from trainers.presets import Choice, run_config

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

    def make(*, config: str = "F", seed: int = 0, **trainer: object) -> RunConfig:
        data = DatasetRecord(name="squares", fingerprint="f" * 64, num_images=40, resolution=16)
        fields = {f"generator.{name}": 8 for name in ("z_dim", "w_dim", "mapping_fmaps", "fmap_max")}
        fields |= {"generator.fmap_base": 64, "discriminator.fmap_base": 64, "discriminator.fmap_max": 8}
        fields |= {"trainer.schedule.minibatch_base": 8, "generator.mapping_layers": 2}
        fields |= {"trainer.schedule.stable_kimg": 0.048, "trainer.schedule.fade_kimg": 0.032}
        plain = {"total_kimg": 0.2, "tick_kimg": 0.04, "snapshot_kimg": 0.08, "r1_gamma": 10.0, "r1_interval": 1}
        fields |= {f"trainer.{name}": value for name, value in {**plain, **trainer}.items()}
        return run_config(Choice(config=config, fields=tuple(fields.items())), dataset=data, seed=seed)

    return make


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tiny tensors gain nothing from threads, and lose much where tests share cores with something else."""
    torch.set_num_threads(1)
