"""The plan of an alias-free synthesis network: every layer's bandwidth, rates, sizes, channels and filters.

Frequencies are in cycles and rates in samples per image width. A description (cutoff, half-width, rate, size, channels)
belongs to a set of feature maps; a layer leads from one to the next (Karras et al. 2021, section 3.2 and appendix D).
"""

import math
from dataclasses import dataclass

import numpy as np

from latentlab.stylegan3.config import GeneratorConfig
from latentlab.stylegan3.filters import radial_filter, separable_filter

FIRST_CUTOFF = 2.0
FIRST_STOPBAND = 2**2.1
LAST_STOPBAND = 2**0.3  # over half the resolution
FILTER_SIZE = 6  # taps for each sample of the lower rate
OVERSAMPLING = 2  # of the nonlinearity


@dataclass(frozen=True)
class Maps:
    """A set of feature maps: what is in them up to `cutoff`, and nothing beyond cutoff + half_width."""

    cutoff: float
    half_width: float
    rate: int
    size: int
    channels: int


@dataclass(frozen=True)
class LayerPlan:
    """One layer: convolution at the first rate, upsampling to `rate`, nonlinearity, downsampling to the second."""

    index: int
    source: Maps
    target: Maps
    kernel: int
    rate: int
    is_torgb: bool
    is_critical: bool
    radial: bool

    @property
    def name(self) -> str:
        """The layer's name in official networks."""
        return f"L{self.index}_{self.target.size}_{self.target.channels}"

    @property
    def up(self) -> int:
        """By which factor the nonlinearity's rate is above the source's."""
        return self.rate // self.source.rate

    @property
    def down(self) -> int:
        """By which factor the nonlinearity's rate is above the target's."""
        return self.rate // self.target.rate

    @property
    def up_taps(self) -> int:
        """Length of the upsampling filter; 1 where there is none."""
        return 1 if self.is_torgb or self.up == 1 else FILTER_SIZE * self.up

    @property
    def down_taps(self) -> int:
        """Length of the downsampling filter; 1 where there is none."""
        return 1 if self.is_torgb or self.down == 1 else FILTER_SIZE * self.down

    @property
    def padding(self) -> tuple[int, int]:
        """Samples before and after along both axes, at `rate`, that give the target's size; negative ones crop.

        The convolution before adds kernel - 1 samples, as it sees zeros on all sides.
        """
        convolved = self.source.size + self.kernel - 1
        wanted = (self.target.size - 1) * self.down + 1
        total = wanted - convolved * self.up + self.up_taps + self.down_taps - 2
        before = (total + self.up) // 2
        return before, total - before

    def up_filter(self) -> np.ndarray | None:
        """The upsampling filter [up_taps] in float64."""
        if self.up_taps == 1:
            return None
        source = self.source
        return separable_filter(self.up_taps, cutoff=source.cutoff, width=2 * source.half_width, rate=self.rate)

    def down_filter(self) -> np.ndarray | None:
        """The downsampling filter in float64, [down_taps], or both ways [down_taps, down_taps] where it is radial."""
        if self.down_taps == 1:
            return None
        design, target = radial_filter if self.radial else separable_filter, self.target
        return design(self.down_taps, cutoff=target.cutoff, width=2 * target.half_width, rate=self.rate)


def feature_maps(config: GeneratorConfig) -> list[Maps]:
    """The feature maps after layer 0, 1, ..., num_layers, of which the last is the image."""
    limit, last = config.img_resolution / 2, config.num_layers
    made = []
    for index in range(last + 1):
        way = min(index / (last - config.num_critical), 1)
        cutoff = FIRST_CUTOFF * (limit / FIRST_CUTOFF) ** way
        stopband = FIRST_STOPBAND * (limit * LAST_STOPBAND / FIRST_STOPBAND) ** way
        rate = 2 ** math.ceil(math.log2(min(2 * stopband, config.img_resolution)))
        channels = round(min(config.channel_base / 2 / cutoff, config.channel_max))
        made.append(
            Maps(
                cutoff=cutoff,
                half_width=max(stopband, rate / 2) - cutoff,
                rate=rate,
                size=config.img_resolution if index >= last - 1 else rate + 2 * config.margin_size,
                channels=config.img_channels if index == last else channels,
            )
        )
    return made


def layer_plans(config: GeneratorConfig) -> list[LayerPlan]:
    """All layers in order, ToRGB last; layer 0 keeps the form of its input."""
    maps = feature_maps(config)
    plans = []
    for index, target in enumerate(maps):
        source = maps[max(index - 1, 0)]
        is_torgb = index == config.num_layers
        is_critical = index >= config.num_layers - config.num_critical
        plans.append(
            LayerPlan(
                index=index,
                source=source,
                target=target,
                kernel=1 if is_torgb else config.conv_kernel,
                rate=(1 if is_torgb else OVERSAMPLING) * max(source.rate, target.rate),
                is_torgb=is_torgb,
                is_critical=is_critical,
                radial=config.use_radial_filters and not is_critical,
            )
        )
    return plans
