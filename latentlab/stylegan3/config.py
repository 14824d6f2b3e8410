"""The settings of an alias-free generator, under the official names: what an official file says is taken as it is."""

import math
from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from latentlab.errors import CheckpointError
from latentlab.stylegan2.config import MOST_LAYERS, Clamp, ConditionalConfig, Settings, checked

_FIXED = {
    "first_cutoff": 2,
    "first_stopband": 2**2.1,
    "last_stopband_rel": 2**0.3,
    "filter_size": 6,
    "lrelu_upsampling": 2,
}
"""Official settings that have one value here, their default."""
MOST_MARGIN = 1000
"""Pixels beyond the image that a file may ask for; official networks have 10. No tensor's shape tells."""


class MappingConfig(Settings):
    """The mapping network Z -> W: its layers, and of training how fast they learn and how slowly w_avg follows."""

    num_layers: int = Field(2, ge=1, le=MOST_LAYERS)
    lr_multiplier: float = Field(0.01, gt=0, allow_inf_nan=False)
    w_avg_beta: float | None = Field(0.998, ge=0, le=1)


class GeneratorConfig(ConditionalConfig):
    """Architecture of a generator; the defaults are those of configuration T.

    Configuration R has conv_kernel 1, use_radial_filters, and twice the channel_base and channel_max.
    """

    mapping_kwargs: MappingConfig = MappingConfig()
    channel_base: int = Field(32768, ge=1)  # feature maps are this over twice the cutoff, up to channel_max
    channel_max: int = Field(512, ge=1, le=65536)
    num_layers: int = Field(14, ge=1, le=MOST_LAYERS)  # before ToRGB
    num_critical: int = Field(2, ge=0)  # of them, at the end, with the highest cutoff that the resolution allows
    margin_size: int = Field(10, ge=0, le=MOST_MARGIN)  # what feature maps show beyond the image, in pixels of each
    output_scale: float = Field(0.25, allow_inf_nan=False)
    conv_kernel: int = Field(3, ge=1, le=15)
    use_radial_filters: bool = False  # for downsampling, where the cutoff leaves room
    conv_clamp: Clamp | None = 256  # activations are clamped to +- this
    num_fp16_res: int = Field(4, ge=0)  # without effect: everything is float32
    magnitude_ema_beta: float = Field(0.999, ge=0, le=1)  # of training

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.num_layers <= self.num_critical:
            raise ValueError(f"num_layers {self.num_layers} must be more than num_critical {self.num_critical}")
        if self.channel_base < self.img_resolution:
            raise ValueError(
                f"channel_base {self.channel_base} leaves no feature map at {self.img_resolution} pixels: it must be "
                f"at least {self.img_resolution}"
            )
        return self

    @property
    def num_ws(self) -> int:
        """How many intermediate latents the synthesis takes: for its input, each layer, and ToRGB."""
        return self.num_layers + 2


def official_generator_config(kwargs: Mapping[str, Any]) -> GeneratorConfig:
    """What the official class makes of keyword arguments, as a GeneratorConfig.

    Raises:
        CheckpointError: an argument is unknown, or has a value that it may not have.
    """
    fields = dict(kwargs)
    for name, default in _FIXED.items():
        value = fields.pop(name, default)
        if not isinstance(value, int | float) or not math.isclose(value, default):
            raise CheckpointError(f"setting {name} = {value!r}: only {default:g} is supported.")
    return checked(GeneratorConfig, fields, network="StyleGAN3")
