"""Settings of StyleGAN2 networks, under the official names: what an official file says of itself is taken as it is.

Settings that change nothing of what is computed here are accepted: half precision (`num_fp16_res`,
`fp16_channels_last`; everything is float32), which of two equal ways to modulate (`fused_modconv_default`), and what
concerns training alone (`w_avg_beta`, `freeze_layers`).
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from latentlab.errors import CheckpointError
from latentlab.stylegan2.layers import Activation

Architecture = Literal["orig", "skip", "resnet"]
Repository = Literal["stylegan2-ada-pytorch", "stylegan3"]
"""Two official codes with the same networks; StyleGAN3's passes the synthesis settings flat, with other defaults."""

MOST_LAYERS = 1000
"""Of a mapping or synthesis network; a file may ask for more."""

Config = TypeVar("Config", bound=BaseModel)


def _power_of_two(value: int) -> int:
    if value & (value - 1):
        raise ValueError("must be a power of two: 4, 8, 16, 32, ..., 1024")
    return value


def _filter(taps: tuple[float, ...]) -> tuple[float, ...]:
    if not sum(taps):
        raise ValueError("the filter's taps must not add up to 0")
    return taps


Resolution = Annotated[int, Field(ge=4, le=4096), AfterValidator(_power_of_two)]
Taps = Annotated[tuple[float, ...], Field(min_length=1, max_length=64), AfterValidator(_filter)]
Clamp = Annotated[float, Field(gt=0)]


class Settings(BaseModel):
    """What all records have in common: they do not change, and know their fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MappingConfig(Settings):
    """The mapping network Z -> W."""

    num_layers: int = Field(8, ge=1, le=MOST_LAYERS)
    embed_features: int | None = Field(None, ge=1, le=65536)  # of labels; None for w_dim
    layer_features: int | None = Field(None, ge=1, le=65536)  # between layers; None for w_dim
    activation: Activation = "lrelu"
    lr_multiplier: float = Field(0.01, gt=0, allow_inf_nan=False)
    w_avg_beta: float | None = Field(0.995, ge=0, le=1)


class ChannelConfig(Settings):
    """How many feature maps there are at each resolution: min(channel_base / resolution, channel_max)."""

    channel_base: int = Field(32768, ge=1)
    channel_max: int = Field(512, ge=1, le=65536)
    num_fp16_res: int = Field(0, ge=0)
    conv_clamp: Clamp | None = None  # activations are clamped to +- this

    def channels(self, resolution: int) -> int:
        """Feature maps at a resolution."""
        return min(self.channel_base // resolution, self.channel_max)

    def check_channels(self, resolution: int) -> None:
        """Refuse settings that leave no feature map.

        Raises:
            ValueError: saying how large channel_base must be.
        """
        if self.channel_base < resolution:
            raise ValueError(
                f"channel_base {self.channel_base} leaves no feature map at {resolution} pixels: it must be at least "
                f"{resolution}"
            )


class SynthesisConfig(ChannelConfig):
    """The synthesis network W -> images."""

    architecture: Architecture = "skip"
    resample_filter: Taps = (1, 3, 3, 1)
    use_noise: bool = True
    activation: Activation = "lrelu"
    fused_modconv_default: bool | Literal["inference_only"] = "inference_only"
    fp16_channels_last: bool = False


class ConditionalConfig(Settings):
    """Sizes of what goes into a generator with labels, and comes out.

    `label` is not among the official settings: it is what a conditional generator shows where no labels are given,
    c_dim numbers.
    """

    z_dim: int = Field(512, ge=1, le=65536)
    c_dim: int = Field(0, ge=0, le=65536)
    w_dim: int = Field(512, ge=1, le=65536)
    img_resolution: Resolution
    img_channels: int = Field(3, ge=1, le=65536)
    label: tuple[float, ...] | None = None

    @model_validator(mode="after")
    def _label_fits(self) -> Self:
        if self.label is not None and len(self.label) != self.c_dim:
            raise ValueError(f"label has {len(self.label)} numbers; this generator's labels have c_dim = {self.c_dim}")
        return self


class GeneratorConfig(ConditionalConfig):
    """Architecture of a generator."""

    mapping_kwargs: MappingConfig = MappingConfig()
    synthesis_kwargs: SynthesisConfig = SynthesisConfig()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self.synthesis_kwargs.check_channels(self.img_resolution)
        return self

    @property
    def resolutions(self) -> list[int]:
        """Of the blocks: 4, 8, ..., img_resolution."""
        return [2**power for power in range(2, self.img_resolution.bit_length())]

    @property
    def num_ws(self) -> int:
        """Intermediate latents: one per convolution, and one for the last colours."""
        return 2 * len(self.resolutions)


class BlockConfig(Settings):
    """Layers of the discriminator's blocks."""

    activation: Activation = "lrelu"
    resample_filter: Taps = (1, 3, 3, 1)
    fp16_channels_last: bool = False
    freeze_layers: int = Field(0, ge=0)


class EpilogueConfig(Settings):
    """The discriminator's last layers, at 4x4 pixels."""

    mbstd_group_size: int | None = Field(4, ge=1)  # None for the whole minibatch
    mbstd_num_channels: int = Field(1, ge=0)  # 0 leaves minibatch standard deviation out
    activation: Activation = "lrelu"


class DiscriminatorConfig(ChannelConfig):
    """Architecture of a discriminator."""

    c_dim: int = Field(0, ge=0, le=65536)
    img_resolution: Annotated[Resolution, Field(ge=8)]
    img_channels: int = Field(3, ge=1, le=65536)
    architecture: Architecture = "resnet"
    cmap_dim: int | None = Field(None, ge=1)  # None for the feature maps at 4x4
    block_kwargs: BlockConfig = BlockConfig()
    mapping_kwargs: MappingConfig = MappingConfig()
    epilogue_kwargs: EpilogueConfig = EpilogueConfig()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self.check_channels(self.img_resolution)
        slices = self.epilogue_kwargs.mbstd_num_channels
        if slices and self.channels(4) % slices:
            raise ValueError(f"mbstd_num_channels {slices} must divide the {self.channels(4)} feature maps at 4x4")
        return self

    @property
    def resolutions(self) -> list[int]:
        """Of the blocks: img_resolution, ..., 8, 4."""
        return [2**power for power in range(self.img_resolution.bit_length() - 1, 1, -1)]


# -------------------------------------------------------------------------------------------------- as official


def official_generator_config(kwargs: Mapping[str, Any], repository: Repository) -> GeneratorConfig:
    """What the official class makes of keyword arguments, as a GeneratorConfig.

    Args:
        kwargs: Keyword arguments of the official class; what is missing has its default.
        repository: Whose class it is.

    Raises:
        CheckpointError: an argument is unknown, or has a value that it may not have.
    """
    fields = dict(kwargs)
    if repository == "stylegan3":
        flat = {name: fields.pop(name) for name in list(fields) if name in SynthesisConfig.model_fields}
        fields["synthesis_kwargs"] = {"conv_clamp": 256, "num_fp16_res": 4, "fused_modconv_default": True, **flat}
        mapping = fields.get("mapping_kwargs", {})
        fields["mapping_kwargs"] = {"w_avg_beta": 0.998, **mapping} if isinstance(mapping, Mapping) else mapping
    return checked(GeneratorConfig, fields)


def official_discriminator_config(kwargs: Mapping[str, Any], repository: Repository) -> DiscriminatorConfig:
    """The same of a discriminator.

    Raises:
        CheckpointError: as `official_generator_config`.
    """
    defaults = {"conv_clamp": 256, "num_fp16_res": 4} if repository == "stylegan3" else {}
    return checked(DiscriminatorConfig, {**defaults, **kwargs})


def checked(config: type[Config], fields: dict[str, Any], *, network: str = "StyleGAN2") -> Config:
    """Settings out of a file as a record.

    Raises:
        CheckpointError: one is unknown in such a network, or has a value that it may not have.
    """
    try:
        return config.model_validate(fields)
    except ValidationError as error:
        problem = error.errors()[0]
        name = ".".join(map(str, problem["loc"])) or "settings"
        if problem["type"] == "extra_forbidden":
            raise CheckpointError(f"setting {name} = {problem['input']!r}: unknown in a {network} network.") from error
        raise CheckpointError(f"settings of the network: {name}: {problem['msg']}.") from error
