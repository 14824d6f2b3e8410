"""What classifiers are made of and how they are trained; the named settings stand here and nowhere else."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from attribute_classifiers.attributes import CELEBA_ATTRIBUTES
from latentlab.errors import UsageError
from latentlab.networks import DiscriminatorConfig

Trunk = Literal["shared", "separate"]
Precision = Literal["float32", "bfloat16"]


class TrainingConfig(BaseModel):
    """Adam on binary cross-entropy; the learning rate rises linearly, then stays or falls as a half cosine."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    num_images: int = Field(ge=1)  # images shown in all, repetitions counted
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)  # the highest
    warmup: float = Field(0.0, ge=0, lt=1)  # fraction of the steps during which the rate rises
    decay: bool = False  # whether it then falls to zero
    betas: tuple[float, float] = (0.9, 0.999)
    mirror: bool = True  # flip every other image, on average, left to right
    held_out: float = Field(0.1, gt=0, lt=1)  # fraction of the images kept for the card
    checkpoint_every: int = Field(200, ge=1)  # steps
    precision: Precision = "float32"  # of the convolutions; bfloat16 is autocast with float32 weights and moments

    @property
    def num_steps(self) -> int:
        """Optimiser steps: enough minibatches to show num_images."""
        return -(-self.num_images // self.batch_size)


class ClassifierShape(BaseModel):
    """What attribute classifiers are: one network per attribute, or one network with an output per attribute.

    `network.num_outputs` follows from the trunk and the attributes; minibatch standard deviation is off, because
    an image's logits must not depend on its neighbours.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    trunk: Trunk
    attributes: tuple[str, ...] = Field(CELEBA_ATTRIBUTES, min_length=1)
    network: DiscriminatorConfig

    @model_validator(mode="before")
    @classmethod
    def _fill_outputs(cls, fields: dict[str, object]) -> dict[str, object]:
        network = fields.get("network")
        names = fields.get("attributes", CELEBA_ATTRIBUTES)
        if isinstance(network, DiscriminatorConfig) and isinstance(names, tuple | list):
            outputs = len(names) if fields.get("trunk") == "shared" else 1
            network = network.model_copy(update={"num_outputs": outputs, "mbstd_group_size": 0})
            return {**fields, "network": network}
        return fields

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        outputs = len(self.attributes) if self.trunk == "shared" else 1
        if self.network.num_outputs != outputs:
            raise ValueError(f"a {self.trunk} trunk needs num_outputs {outputs}, not {self.network.num_outputs}")
        if self.network.mbstd_group_size > 1:
            raise ValueError("minibatch stddev must be off (mbstd_group_size 0)")
        if len(set(self.attributes)) != len(self.attributes):
            raise ValueError("every attribute may be named only once")
        return self

    @property
    def num_networks(self) -> int:
        """1 with a shared trunk, else one per attribute."""
        return 1 if self.trunk == "shared" else len(self.attributes)


class ClassifierConfig(ClassifierShape):
    """What attribute classifiers are, and how they are trained."""

    training: TrainingConfig


PRESETS: dict[str, ClassifierConfig] = {
    # Mean balanced accuracy 0.91 on held-out embedded faces; 65 s on two CPU cores.
    "quick": ClassifierConfig(
        trunk="shared",
        network=DiscriminatorConfig(resolution=32, fmap_base=256, fmap_max=32, blur=False),
        training=TrainingConfig(
            num_images=30_000, batch_size=16, learning_rate=0.05, warmup=0.1, decay=True, betas=(0.9, 0.99)
        ),
    ),
    # Mean balanced accuracy 0.99 on held-out embedded faces; 6 minutes on two busy CPU cores.
    "small": ClassifierConfig(
        trunk="shared",
        network=DiscriminatorConfig(resolution=32, fmap_base=256, fmap_max=64, blur=False),
        training=TrainingConfig(
            num_images=100_000, batch_size=16, learning_rate=0.05, warmup=0.1, decay=True, betas=(0.9, 0.99)
        ),
    ),
    # The paper's appendix C, for CelebA-HQ.
    "paper": ClassifierConfig(
        trunk="separate",
        network=DiscriminatorConfig(resolution=256),
        training=TrainingConfig(num_images=150_000, batch_size=8, learning_rate=0.001, checkpoint_every=1000),
    ),
}


SEPARATE_LEARNING_RATE = 0.01
"""Of presets made for a shared trunk, when networks are separate: at 0.05, some of them die."""


def preset(
    name: str,
    *,
    resolution: int | None = None,
    attributes: tuple[str, ...] = CELEBA_ATTRIBUTES,
    trunk: str | None = None,
    images_shown: int | None = None,
    precision: str | None = None,
) -> ClassifierConfig:
    """The settings called `name`, with those that are given in place of its own.

    With separate networks in place of a shared one, the learning rate is at most SEPARATE_LEARNING_RATE.

    Raises:
        UsageError: no preset of this name, or a value that is not allowed.
    """
    if name not in PRESETS:
        raise UsageError(f"no classifier preset is called '{name}': choose one of {', '.join(PRESETS)}.")
    base = PRESETS[name]
    network, training = base.network.model_dump(), base.training.model_dump()
    if resolution is not None:
        network["resolution"] = resolution
    if images_shown is not None:
        training["num_images"] = images_shown
    if base.trunk == "shared" and trunk == "separate":
        training["learning_rate"] = min(training["learning_rate"], SEPARATE_LEARNING_RATE)
    if precision is not None:
        training["precision"] = str(precision)
    try:
        return ClassifierConfig(
            trunk=base.trunk if trunk is None else str(trunk),
            attributes=attributes,
            network=DiscriminatorConfig.model_validate(network),
            training=TrainingConfig.model_validate(training),
        )
    except ValidationError as error:
        first = error.errors()[0]
        words = first["msg"].removeprefix("Value error, ")
        given = f" ({first['input']!r} given)" if isinstance(first["input"], str | int | float) else ""
        raise UsageError(f"classifier preset '{name}': {words}{given}.") from error
