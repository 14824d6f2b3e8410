"""What a run's config.json holds: every setting that decides what comes out, as frozen and checked records."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from latentlab.networks import DiscriminatorConfig, GeneratorConfig
from trainers.schedule import Schedule

Precision = Literal["float32", "tf32", "bfloat16", "float16"]
"""Arithmetic of the networks' convolutions; statistics, losses and weights are float32 always."""

Letter = Literal["A", "B", "C", "D", "E", "F"]
"""The paper's configurations (table 1)."""


Beta = Annotated[float, Field(ge=0, lt=1)]


class TrainerConfig(BaseModel):
    """How a generator is trained; the defaults are the paper's configuration F on eight GPUs.

    Attributes:
        total_kimg: Length of training, in thousands of real images shown to the discriminator.
        schedule: Growing, minibatches and learning rates.
        minibatch_repeats: Steps between two looks at the schedule (official training loop: 4).
        loss: "logistic" is the non-saturating logistic loss with R1 (and R2); "wgan-gp" Wasserstein with gradient
            penalty, as in the progressive GAN.
        r1_gamma, r2_gamma: Weight of the squared gradient at real, and at generated, images.
        r1_interval: The two penalties are applied every k-th step with weight k ("lazy", StyleGAN2 appendix B); 1 in
            the paper.
        gp_lambda, gp_target, drift: WGAN-GP's penalty, the gradient norm it pulls towards, and the weight of the
            squared real score.
        mixing_prob: How often styles are mixed (paper, section 3.1).
        ema_half_life_kimg: Half-life of the generator average.
        w_avg_beta: Share of the average of w that stays, per evaluation of the generator.
        adam_betas, adam_eps: Of both optimisers.
        mirror: Show real images mirrored half of the time.
        shards: Independent parts of each minibatch, with minibatch-stddev groups and style mixing of their own, whose
            gradients are averaged: the official code has one for each GPU. Any number of processes that divides it
            gives the same result.
        precision: See Precision.
        tick_kimg, snapshot_kimg, keep_snapshots: How often statistics and snapshots are written, and how many of the
            newest snapshots stay.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    total_kimg: float = Field(25_000, gt=0, allow_inf_nan=False)
    schedule: Schedule = Schedule()
    minibatch_repeats: int = Field(4, ge=1)
    loss: Literal["logistic", "wgan-gp"] = "logistic"
    r1_gamma: float = Field(10.0, ge=0, allow_inf_nan=False)
    r2_gamma: float = Field(0.0, ge=0, allow_inf_nan=False)
    r1_interval: int = Field(1, ge=1)
    gp_lambda: float = Field(10.0, ge=0, allow_inf_nan=False)
    gp_target: float = Field(1.0, gt=0, allow_inf_nan=False)
    drift: float = Field(0.001, ge=0, allow_inf_nan=False)
    mixing_prob: float = Field(0.9, ge=0, le=1)
    ema_half_life_kimg: float = Field(10.0, ge=0, allow_inf_nan=False)
    w_avg_beta: float = Field(0.995, ge=0, lt=1)
    adam_betas: tuple[Beta, Beta] = (0.0, 0.99)
    adam_eps: float = Field(1e-8, gt=0, allow_inf_nan=False)
    mirror: bool = True
    shards: int = Field(1, ge=1)
    precision: Precision = "float32"
    tick_kimg: float = Field(10, gt=0, allow_inf_nan=False)
    snapshot_kimg: float = Field(100, gt=0, allow_inf_nan=False)
    keep_snapshots: int = Field(3, ge=1)


class DatasetRecord(BaseModel):
    """What a run was trained on: see latentlab.data.Dataset.describe."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    fingerprint: str
    num_images: int
    resolution: int
    crop: str = "none"
    filter: str = "box"
    num_skipped: int = 0


class RunConfig(BaseModel):
    """A run's config.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_version: Literal[2] = 2
    preset: str
    config: Letter
    generator: GeneratorConfig
    discriminator: DiscriminatorConfig
    trainer: TrainerConfig
    dataset: DatasetRecord
    seed: int
    latentlab_version: str
    created_at: str
