"""The paper's configurations A-F, the sizes and lengths they can be trained at, and the run that follows from both."""

import datetime
import math
from collections.abc import Mapping
from importlib.metadata import version
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from latentlab.errors import UsageError
from latentlab.networks import DiscriminatorConfig, GeneratorConfig
from trainers.config import DatasetRecord, Letter, RunConfig, TrainerConfig
from trainers.recipes import Fields, apply_fields, in_words
from trainers.schedule import Schedule, phases

Loss = Literal["logistic", "wgan-gp"]
WGAN_GP_MAX_RATE = 0.002  # official code: learning rates are capped where WGAN-GP is the loss
MIN_GROWN = 8


class Configuration(BaseModel):
    """A row of the paper's table 1: what distinguishes a configuration from its neighbours."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    title: str
    mapping_layers: int
    use_styles: bool
    const_input: bool
    use_noise: bool
    blur: bool
    mixing_prob: float
    loss: Loss
    initial_resolution: int
    paper_kimg: float

    @property
    def traditional(self) -> bool:
        """Whether the latent enters through the first layer only."""
        return not self.use_styles


def _styles(title: str, *, const_input: bool, use_noise: bool, mixing_prob: float = 0.0) -> Configuration:
    return Configuration(
        title=title,
        mapping_layers=8,
        use_styles=True,
        const_input=const_input,
        use_noise=use_noise,
        blur=True,
        mixing_prob=mixing_prob,
        loss="logistic",
        initial_resolution=8,
        paper_kimg=25_000,
    )


_TUNED = Configuration(
    title="tuned baseline: bilinear up- and downscaling, non-saturating loss with R1",
    mapping_layers=0,
    use_styles=False,
    const_input=False,
    use_noise=False,
    blur=True,
    mixing_prob=0.0,
    loss="logistic",
    initial_resolution=8,
    paper_kimg=25_000,
)

CONFIGS: Mapping[Letter, Configuration] = MappingProxyType(
    {
        # The progressive GAN's own scaling (nearest up, average down), start at 4x4, WGAN-GP, 12 million images.
        "A": _TUNED.model_copy(
            update={
                "title": "baseline progressive GAN",
                "blur": False,
                "loss": "wgan-gp",
                "initial_resolution": 4,
                "paper_kimg": 12_000,
            }
        ),
        "B": _TUNED,
        "C": _styles("B with mapping network and styles", const_input=False, use_noise=False),
        "D": _styles("C with a learned constant as input", const_input=True, use_noise=False),
        "E": _styles("D with noise inputs", const_input=True, use_noise=True),
        "F": _styles("E with mixing regularisation", const_input=True, use_noise=True, mixing_prob=0.9),
    }
)

# Minibatches of the official schedules, by number of GPUs: the base, and what single resolutions have instead.
OFFICIAL_MINIBATCHES: Mapping[int, tuple[int, dict[int, int]]] = MappingProxyType(
    {
        1: (4, {4: 128, 8: 128, 16: 128, 32: 64, 64: 32, 128: 16, 256: 8, 512: 4}),
        2: (8, {4: 256, 8: 256, 16: 128, 32: 64, 64: 32, 128: 16, 256: 8}),
        4: (16, {4: 512, 8: 256, 16: 128, 32: 64, 64: 32, 128: 16}),
        8: (32, {4: 512, 8: 256, 16: 128, 32: 64, 64: 32}),
    }
)


class Preset(BaseModel):
    """Sizes of the networks, and the training that goes with them.

    Attributes:
        latent_dim: Dimensions of Z and W, and width of the mapping network.
        fmap_base, fmap_max: Feature maps at stage s are min(fmap_base / 2^s, fmap_max).
        fmap_least: Feature maps that the full resolution has at least, whatever it is.
        final_kimg: How long the full resolution is trained once it has grown; None leaves total_kimg as it is.
        trainer: The training, for 32x32 pixels where its length depends on the resolution.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    latent_dim: int
    fmap_base: int
    fmap_max: int
    fmap_least: int
    final_kimg: float | None
    trainer: TrainerConfig

    def fmaps(self, resolution: int) -> dict[str, int]:
        """`fmap_base` and `fmap_max` at a resolution, whose last stage is log2(resolution) - 1."""
        least = self.fmap_least * resolution // 2
        return {"fmap_base": max(self.fmap_base, least), "fmap_max": self.fmap_max}


def _scaled(stable_kimg: float, fade_kimg: float, rate: float) -> Schedule:
    return Schedule(
        stable_kimg=stable_kimg, fade_kimg=fade_kimg, minibatch={}, learning_rate_base=rate, learning_rate={}
    )


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        # Minutes on two CPU cores at 32x32: recognisable as faces, without fine detail. `latentlab demo` trains it.
        "quick": Preset(
            latent_dim=64,
            fmap_base=256,
            fmap_max=32,
            fmap_least=16,
            final_kimg=16,
            trainer=TrainerConfig(
                total_kimg=36,
                schedule=_scaled(6, 4, 0.004),
                r1_gamma=1.0,
                r1_interval=8,
                ema_half_life_kimg=1.0,
                w_avg_beta=0.99,
                tick_kimg=0.5,
                snapshot_kimg=6,
            ),
        ),
        # For a GPU, or a night on two CPU cores, at 32x32 to 128x128; its results have not been measured yet.
        "small": Preset(
            latent_dim=128,
            fmap_base=1024,
            fmap_max=128,
            fmap_least=32,
            final_kimg=700,
            trainer=TrainerConfig(
                total_kimg=1000,
                schedule=_scaled(100, 50, 0.002),
                r1_gamma=1.0,
                r1_interval=4,
                ema_half_life_kimg=5.0,
                tick_kimg=5,
                snapshot_kimg=50,
            ),
        ),
        # The paper's: 25 million images (A: 12 million), the official schedules; not run yet.
        "paper": Preset(
            latent_dim=512, fmap_base=8192, fmap_max=512, fmap_least=16, final_kimg=None, trainer=TrainerConfig()
        ),
    }
)


class Choice(BaseModel):
    """What a user chooses; everything else follows from it.

    Attributes:
        config: One of the paper's configurations A-F.
        preset: Sizes and lengths: quick, small or paper.
        mapping_layers: Depth of the mapping network; the configuration's if None.
        mixing_prob: How often styles are mixed in training; the configuration's if None.
        loss: The configuration's if None.
        gpus: Whose official minibatches to take: 1, 2, 4 or 8 GPUs, for the preset `paper`; None is 8 there.
        kimg: Length of training in thousands of images; the preset's if None. The schedule is stretched with it.
        shards: See TrainerConfig; 1 if None.
        precision: See TrainerConfig; None leaves what the preset has.
        fields: Single fields to set at last, by their dotted names in config.json (see trainers.recipes).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    config: Letter = "F"
    preset: str = "quick"
    mapping_layers: int | None = None
    mixing_prob: float | None = None
    loss: Loss | None = None
    gpus: int | None = None
    kimg: float | None = None
    shards: int | None = None
    precision: str | None = None
    fields: Fields = ()


def run_config(choice: Choice, *, dataset: DatasetRecord, seed: int = 0) -> RunConfig:
    """The complete settings of a run on a data set.

    Raises:
        UsageError: A choice that does not exist, contradicts another, or makes a training that is impossible.
    """
    if choice.preset not in PRESETS:
        raise UsageError(f"unknown preset {choice.preset!r}: expected one of {', '.join(PRESETS)}.")
    if choice.mapping_layers is not None and choice.mapping_layers < 0:
        raise UsageError(f"--mapping-depth {choice.mapping_layers}: must be 0 (no mapping network) or more.")
    resolution = dataset.resolution
    if resolution < MIN_GROWN or resolution > 1024 or resolution & (resolution - 1):
        raise UsageError(f"--resolution {resolution}: must be a power of two from {MIN_GROWN} to 1024.")
    if choice.mixing_prob is not None and not 0 <= choice.mixing_prob <= 1:
        raise UsageError(f"--mixing {choice.mixing_prob:g}: must be a probability from 0 to 1.")
    if choice.mixing_prob and CONFIGS[choice.config].traditional:
        raise UsageError(f"--mixing {choice.mixing_prob:g}: configuration {choice.config} has no styles to mix.")
    generator, discriminator = _networks(choice, resolution)
    config = RunConfig(
        preset=choice.preset,
        config=choice.config,
        generator=generator,
        discriminator=discriminator,
        trainer=_trainer(choice, resolution),
        dataset=dataset,
        seed=seed,
        latentlab_version=version("latentlab"),
        created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
    config = apply_fields(config, choice.fields)
    check_possible(config)
    return config


def _networks(choice: Choice, resolution: int) -> tuple[GeneratorConfig, DiscriminatorConfig]:
    row, size = CONFIGS[choice.config], PRESETS[choice.preset]
    depth = row.mapping_layers if choice.mapping_layers is None else choice.mapping_layers
    shape: dict[str, Any] = {"resolution": resolution, "blur": row.blur, **size.fmaps(resolution)}
    generator = GeneratorConfig(
        **shape,
        z_dim=size.latent_dim,
        w_dim=size.latent_dim,
        mapping_fmaps=size.latent_dim,
        mapping_layers=depth,
        use_styles=row.use_styles,
        const_input=row.const_input,
        use_noise=row.use_noise,
        pixel_norm=row.traditional,
        instance_norm=row.use_styles,
    )
    return generator, DiscriminatorConfig(**shape)


def _trainer(choice: Choice, resolution: int) -> TrainerConfig:
    row, preset = CONFIGS[choice.config], PRESETS[choice.preset]
    loss = choice.loss or row.loss
    schedule = _schedule(choice, loss)
    trainer = preset.trainer
    total = row.paper_kimg
    if preset.final_kimg is not None:
        stages = max(int(math.log2(resolution / schedule.initial_resolution)), 0)
        total = stages * (schedule.stable_kimg + schedule.fade_kimg) + preset.final_kimg
    fields: dict[str, Any] = {
        "total_kimg": total,
        "schedule": schedule,
        "loss": loss,
        "mixing_prob": row.mixing_prob if choice.mixing_prob is None else choice.mixing_prob,
        "shards": 1 if choice.shards is None else choice.shards,
        "precision": choice.precision or trainer.precision,
    }
    try:
        trainer = TrainerConfig.model_validate(trainer.model_dump() | fields)
    except ValidationError as error:
        raise UsageError(in_words(error, "training")) from error
    return trainer if choice.kimg is None else stretched(trainer, choice.kimg)


def _schedule(choice: Choice, loss: Loss) -> Schedule:
    schedule = PRESETS[choice.preset].trainer.schedule
    fields: dict[str, Any] = {"initial_resolution": CONFIGS[choice.config].initial_resolution}
    if choice.gpus is not None and choice.preset != "paper":
        raise UsageError(f"--gpus {choice.gpus} chooses among the official schedules: it needs --preset paper.")
    if choice.preset == "paper":
        gpus = choice.gpus or 8
        if gpus not in OFFICIAL_MINIBATCHES:
            raise UsageError(f"--gpus {gpus}: there are official schedules for 1, 2, 4 and 8.")
        fields |= dict(zip(("minibatch_base", "minibatch"), OFFICIAL_MINIBATCHES[gpus], strict=True))
    if loss == "wgan-gp":
        fields["learning_rate_base"] = min(schedule.learning_rate_base, WGAN_GP_MAX_RATE)
        fields["learning_rate"] = {level: min(rate, WGAN_GP_MAX_RATE) for level, rate in schedule.learning_rate.items()}
    return schedule.model_copy(update=fields)


def stretched(trainer: TrainerConfig, kimg: float) -> TrainerConfig:
    """A training made `kimg` thousand images long; growing is stretched in proportion and keeps its shape.

    Ticks and snapshots are stretched too, but come every 4 and every 16 of the largest minibatches at most: a short
    trial of a long training would otherwise do little else.

    Raises:
        UsageError: `kimg` is not a positive number.
    """
    if not 0 < kimg < math.inf:
        raise UsageError(f"--kimg {kimg}: must be a number of more than 0.")
    factor = kimg / trainer.total_kimg
    growth = {name: getattr(trainer.schedule, name) * factor for name in ("stable_kimg", "fade_kimg")}
    times = {name: getattr(trainer, name) * factor for name in ("total_kimg", "tick_kimg", "snapshot_kimg")}
    largest = max([trainer.schedule.minibatch_base, *trainer.schedule.minibatch.values()])
    times["tick_kimg"] = max(times["tick_kimg"], 4 * largest / 1000)
    times["snapshot_kimg"] = max(times["snapshot_kimg"], 16 * largest / 1000)
    times["ema_half_life_kimg"] = trainer.ema_half_life_kimg * min(factor, 1)
    return trainer.model_copy(update={**times, "schedule": trainer.schedule.model_copy(update=growth)})


def check_possible(config: RunConfig) -> None:
    """Raise UsageError where a run could not be trained.

    A minibatch must divide into the shards, each shard into groups of minibatch-stddev, the data set must not be
    smaller than a minibatch, and training must last until the networks have grown.
    """
    trainer, group = config.trainer, config.discriminator.mbstd_group_size
    if config.generator.resolution != config.discriminator.resolution:
        raise UsageError(
            f"generator.resolution {config.generator.resolution} and discriminator.resolution "
            f"{config.discriminator.resolution} must agree."
        )
    if (config.generator.num_channels, config.discriminator.num_channels) != (3, 3):
        raise UsageError("generator.num_channels and discriminator.num_channels must be 3: images are read as RGB.")
    if config.discriminator.num_outputs != 1:
        raise UsageError(f"discriminator.num_outputs {config.discriminator.num_outputs}: must be 1, the score.")
    if config.dataset.resolution != config.generator.resolution:
        raise UsageError(
            f"generator.resolution {config.generator.resolution} is not that of the data, "
            f"{config.dataset.resolution}: choose it with --resolution."
        )
    plan = phases(trainer.schedule, config.generator.resolution, trainer.total_kimg)
    for step in plan:
        _check_minibatch(step.minibatch, step.resolution, trainer.shards, group)
    grown = next((step for step in plan if step.resolution == config.generator.resolution and not step.fading), None)
    if grown is None:
        needed = trainer.schedule.growth_kimg(config.generator.resolution)
        raise UsageError(
            f"training for {trainer.total_kimg:g} kimg ends before the networks have grown to "
            f"{config.generator.resolution} pixels, which takes {needed:g} kimg: raise trainer.total_kimg, or lower "
            "trainer.schedule.stable_kimg and fade_kimg (--kimg changes all of them)."
        )
    largest = max(step.minibatch for step in plan)
    if config.dataset.num_images < largest:
        raise UsageError(
            f"{config.dataset.name} has {config.dataset.num_images:,} images, fewer than the largest minibatch of "
            f"{largest}: take more images, or smaller minibatches (--set trainer.schedule.minibatch_base=N)."
        )


def _check_minibatch(minibatch: int, resolution: int, shards: int, group: int) -> None:
    part, rest = divmod(minibatch, shards)
    if rest:
        raise UsageError(
            f"the minibatch of {minibatch} images at {resolution} pixels does not divide into {shards} shards: choose "
            "another number of shards (or processes), or other minibatches."
        )
    if group > 1 and part > group and part % group:
        raise UsageError(
            f"{part} images at {resolution} pixels in one shard do not divide into groups of {group} for minibatch "
            "stddev: choose minibatches that are multiples of it, or set discriminator.mbstd_group_size."
        )
