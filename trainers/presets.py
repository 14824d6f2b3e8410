"""Named settings for training: everything that decides how a run comes out, as frozen and checked records."""

import datetime
import math
from importlib.metadata import version
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from latentlab.errors import UsageError
from latentlab.networks import DiscriminatorConfig, GeneratorConfig, NetworkConfig
from trainers.schedule import Schedule


class TrainingConfig(BaseModel):
    """How a generator is trained; the defaults are the paper's configuration F on eight GPUs."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    total_kimg: float = Field(25_000, gt=0)
    schedule: Schedule = Schedule()
    r1_gamma: float = Field(10.0, ge=0)
    r1_interval: int = Field(1, ge=1)  # R1 every k-th step with weight k ("lazy", StyleGAN2 appendix B); 1 in the paper
    mixing_prob: float = Field(0.9, ge=0, le=1)
    ema_half_life_kimg: float = Field(10.0, ge=0)
    w_avg_beta: float = Field(0.995, ge=0, lt=1)
    adam_betas: tuple[float, float] = (0.0, 0.99)
    adam_eps: float = Field(1e-8, gt=0)
    mirror: bool = True
    tick_kimg: float = Field(10, gt=0)
    snapshot_kimg: float = Field(100, gt=0)
    keep_snapshots: int = Field(3, ge=1)


class DatasetRecord(BaseModel):
    """What a run was trained on."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    fingerprint: str
    num_images: int
    resolution: int


class RunConfig(BaseModel):
    """A run's config.json: every setting that decides what comes out."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_version: Literal[1] = 1
    preset: str
    generator: GeneratorConfig
    discriminator: DiscriminatorConfig
    training: TrainingConfig
    dataset: DatasetRecord
    seed: int
    latentlab_version: str
    created_at: str


class Preset(BaseModel):
    """Sizes of the networks and the training that goes with them."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    latent_dim: int
    fmap_base: int
    fmap_max: int
    training: TrainingConfig


PRESETS: dict[str, Preset] = {
    # Three minutes on two CPU cores at 32x32: recognisable as faces, without fine detail. `latentlab demo` trains it.
    "quick": Preset(
        latent_dim=64,
        fmap_base=256,
        fmap_max=32,
        training=TrainingConfig(
            total_kimg=36,
            schedule=Schedule(stable_kimg=6, fade_kimg=4, minibatch={}, learning_rate_base=0.004, learning_rate={}),
            r1_gamma=1.0,
            r1_interval=8,
            ema_half_life_kimg=1.0,
            w_avg_beta=0.99,
            tick_kimg=0.5,
            snapshot_kimg=6,
        ),
    ),
    # For a GPU, or a night on two CPU cores, at 32x32 to 64x64; its results have not been measured yet.
    "small": Preset(
        latent_dim=128,
        fmap_base=1024,
        fmap_max=128,
        training=TrainingConfig(
            total_kimg=1000,
            schedule=Schedule(stable_kimg=100, fade_kimg=50, minibatch={}, learning_rate_base=0.002, learning_rate={}),
            r1_gamma=1.0,
            r1_interval=4,
            ema_half_life_kimg=5.0,
            tick_kimg=5,
            snapshot_kimg=50,
        ),
    ),
    # The paper's: 25 million images, the official schedule for eight GPUs; not run yet.
    "paper": Preset(latent_dim=512, fmap_base=8192, fmap_max=512, training=TrainingConfig()),
}


def networks_for(
    preset: str, *, arch: Literal["style", "traditional"], mapping_depth: int, resolution: int
) -> tuple[GeneratorConfig, DiscriminatorConfig]:
    """Generator and discriminator of a preset's size.

    Raises:
        UsageError: Unknown preset, or a depth or resolution that no network can have.
    """
    if preset not in PRESETS:
        raise UsageError(f"unknown preset {preset!r}: expected one of {', '.join(PRESETS)}.")
    if mapping_depth < 0:
        raise UsageError(f"--mapping-depth {mapping_depth}: must be 0 (no mapping network) or more.")
    if resolution < 8 or resolution > 1024 or resolution & (resolution - 1):
        raise UsageError(f"--resolution {resolution}: must be a power of two from 8 to 1024.")
    size = PRESETS[preset]
    maps = NetworkConfig(resolution=resolution, fmap_base=size.fmap_base, fmap_max=size.fmap_max).model_dump()
    latent = dict.fromkeys(("z_dim", "w_dim", "mapping_fmaps"), size.latent_dim)
    build = GeneratorConfig.traditional if arch == "traditional" else GeneratorConfig
    return build(**maps, **latent, mapping_layers=mapping_depth), DiscriminatorConfig(**maps)


def run_config(
    preset: str,
    *,
    arch: Literal["style", "traditional"],
    mapping_depth: int,
    dataset: DatasetRecord,
    kimg: float | None = None,
    seed: int = 0,
) -> RunConfig:
    """The complete settings of a run by a preset; `kimg` replaces the preset's length of training.

    A shorter or longer training stretches the schedule of growing in proportion, so that it keeps its shape.

    Raises:
        UsageError: As networks_for; or `kimg` is not positive, or the data set smaller than a minibatch.
    """
    generator, discriminator = networks_for(
        preset, arch=arch, mapping_depth=mapping_depth, resolution=dataset.resolution
    )
    training = training_for(preset, kimg)
    largest = max([training.schedule.minibatch_base, *training.schedule.minibatch.values()])
    if dataset.num_images < largest:
        raise UsageError(f"{dataset.name} has {dataset.num_images} images; training needs at least {largest}.")
    return RunConfig(
        preset=preset,
        generator=generator,
        discriminator=discriminator,
        training=training,
        dataset=dataset,
        seed=seed,
        latentlab_version=version("latentlab"),
        created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def training_for(preset: str, kimg: float | None) -> TrainingConfig:
    """A preset's training, stretched or shrunk to `kimg` thousand images if that is given.

    Raises:
        UsageError: `kimg` is not a positive number.
    """
    training = PRESETS[preset].training
    if kimg is None:
        return training
    if not 0 < kimg < math.inf:
        raise UsageError(f"--kimg {kimg}: must be a number of more than 0.")
    return _stretched(training, kimg / training.total_kimg)


def _stretched(training: TrainingConfig, factor: float) -> TrainingConfig:
    growth = {name: getattr(training.schedule, name) * factor for name in ("stable_kimg", "fade_kimg")}
    times = {name: getattr(training, name) * factor for name in ("total_kimg", "tick_kimg", "snapshot_kimg")}
    times["ema_half_life_kimg"] = training.ema_half_life_kimg * min(factor, 1)
    return training.model_copy(update={**times, "schedule": training.schedule.model_copy(update=growth)})
