"""Generators and the discriminator of "A Style-Based Generator Architecture for GANs" (Karras, Laine, Aila 2019).

One file, in order of use: settings, small operations, layers, Mapping, Synthesis, Generator, Discriminator. The
numbers agree with the official networks to float32 rounding (tests/reference/networks.md). Feature maps at stage s are
min(fmap_base / 2^s, fmap_max); a level of detail `lod` counts from 0 (full resolution) downwards, its fraction fades.

Shapes: N images, C feature maps, H x W pixels, L = num_ws layers.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Annotated, Literal, Self, TypeVar

import torch
import torch.nn.functional as F
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from latentlab.fused import add_noise, at_least_float32, blur, centre, instance_norm_style, pixel_norm
from latentlab.latents import lerp, truncate

Built = TypeVar("Built", bound=nn.Module)
NoiseMode = Literal["random", "const", "none"]
FUSED_FROM = 128  # fused_scale "auto" takes the fused operations from this resolution on (official default)
SQRT2 = math.sqrt(2)


# ---------------------------------------------------------------------------------------------------- settings


def _power_of_two(value: int) -> int:
    if value & (value - 1):
        raise ValueError("must be a power of two: 4, 8, 16, 32, ..., 1024")
    return value


Resolution = Annotated[int, Field(ge=4, le=4096), AfterValidator(_power_of_two)]


class NetworkConfig(BaseModel):
    """What generators and discriminators have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    resolution: Resolution = 1024
    num_channels: int = Field(3, ge=1)
    fmap_base: int = Field(8192, ge=1)
    fmap_max: int = Field(512, ge=1, le=65536)
    blur: bool = True  # filter [1, 2, 1] after upscaling and before downscaling; off in the progressive GAN
    fused_scale: bool | Literal["auto"] = "auto"

    @model_validator(mode="after")
    def _has_feature_maps(self) -> Self:
        if self.fmap_base < 2**self.num_stages:
            raise ValueError(
                f"fmap_base {self.fmap_base} leaves no feature map at {self.resolution} pixels: it must be at least "
                f"{2**self.num_stages}"
            )
        return self

    @property
    def num_stages(self) -> int:
        """Resolutions from 4x4 to the full one: log2(resolution) - 1."""
        return self.resolution.bit_length() - 2

    def fmaps(self, stage: int) -> int:
        """Feature maps at a stage; the layers of resolution 4 * 2^k are at stage k + 1."""
        return min(self.fmap_base // 2**stage, self.fmap_max)


class GeneratorConfig(NetworkConfig):
    """Architecture of a generator; the defaults are the paper's configuration F at 1024x1024.

    Configurations (paper, table 1): D is `use_noise=False`; C also has `const_input=False`; B, the traditional
    generator, is `GeneratorConfig.traditional()`.
    """

    z_dim: int = Field(512, ge=1, le=65536)
    w_dim: int = Field(512, ge=1, le=65536)
    mapping_layers: int = Field(8, ge=0, le=1000)
    mapping_fmaps: int = Field(512, ge=1, le=65536)
    mapping_lrmul: float = Field(0.01, gt=0)
    use_styles: bool = True
    const_input: bool = True
    use_noise: bool = True
    pixel_norm: bool = False
    instance_norm: bool = True
    blurred_bias: bool = False  # biases of growing layers join before the blur, which lessens them at the borders
    shared_noise: bool = False  # both layers of a resolution add the same noise image

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.mapping_layers == 0 and self.z_dim != self.w_dim:
            raise ValueError(f"without mapping layers W is Z, so z_dim {self.z_dim} and w_dim {self.w_dim} must agree")
        if self.const_input and not self.use_styles:
            raise ValueError("a constant input without styles would give the same image for every latent")
        return self

    @classmethod
    def traditional(cls, **fields: int | float | bool | str) -> Self:
        """A traditional generator: dense layer to 4x4, pixel norm, no styles, no noise (configuration B)."""
        fixed = {"use_styles": False, "const_input": False, "use_noise": False}
        return cls.model_validate({**fixed, "pixel_norm": True, "instance_norm": False, **fields})

    @property
    def arch(self) -> Literal["style", "traditional"]:
        """Whether the latent enters through styles or only through the first layer."""
        return "style" if self.use_styles else "traditional"

    @property
    def num_layers(self) -> int:
        """Layers of the synthesis network, two per resolution."""
        return 2 * self.num_stages

    @property
    def num_ws(self) -> int:
        """How many intermediate latents the synthesis takes: one per layer with styles, else one."""
        return self.num_layers if self.use_styles else 1


class DiscriminatorConfig(NetworkConfig):
    """Architecture of a discriminator, or of an attribute classifier (mbstd_group_size=0, one output an attribute)."""

    mbstd_group_size: int = Field(4, ge=0)  # 0 or 1 switches minibatch standard deviation off
    num_outputs: int = Field(1, ge=1)


# -------------------------------------------------------------------------------------------- small operations


def activated(x: Tensor) -> Tensor:
    """Leaky ReLU with slope 0.2, in place: x is a result that nothing else needs."""
    return F.leaky_relu(x, 0.2, inplace=True)


def instance_norm(x: Tensor) -> Tensor:
    """Zero mean and unit variance per image and feature map; biased variance, epsilon 1e-8 under the root."""
    centred, _, r = centre(x)
    return (centred * r).to(x.dtype)


def upscale(x: Tensor, factor: int = 2) -> Tensor:
    """Repeat every pixel factor x factor times."""
    return x if factor == 1 else F.interpolate(x, scale_factor=factor, mode="nearest")


def downscale(x: Tensor, factor: int = 2) -> Tensor:
    """Average over factor x factor boxes."""
    return x if factor == 1 else F.avg_pool2d(x, factor)


def spread(weight: Tensor) -> Tensor:
    """The 4x4 kernel equal to a 3x3 kernel followed (or preceded) by a 2x2 box of ones: four shifted copies added."""
    padded = F.pad(weight, (1, 1, 1, 1))
    return padded[:, :, 1:, 1:] + padded[:, :, :-1, 1:] + padded[:, :, 1:, :-1] + padded[:, :, :-1, :-1]


def minibatch_stddev(x: Tensor, group_size: int) -> Tensor:
    """Append a feature map with the mean standard deviation over strided groups of images (ProGAN, section 3).

    [N, C, H, W] -> [N, C + 1, H, W]. Image n belongs to group n mod (N / G) where G = min(group_size, N).

    Raises:
        ValueError: N is not divisible by G.
    """
    count, channels, height, width = x.shape
    size = min(group_size, count)
    if count % size:
        raise ValueError(f"minibatch of {count} images: minibatch stddev needs a multiple of its group size {size}")
    groups = at_least_float32(x.reshape(size, count // size, channels, height, width))
    deviation = (groups.var(dim=0, correction=0) + 1e-8).sqrt().mean(dim=(1, 2, 3))  # [N / G]
    extra = deviation.repeat(size).reshape(count, 1, 1, 1).expand(-1, -1, height, width)
    return torch.cat([x, extra.to(x.dtype)], dim=1)


# ------------------------------------------------------------------------------------------------------ layers


class Dense(nn.Module):
    """Fully connected layer with equalised learning rate: y = x (gain / sqrt(fan_in) lrmul weight)^T + lrmul bias."""

    def __init__(self, in_features: int, out_features: int, *, gain: float = SQRT2, lrmul: float = 1.0) -> None:
        super().__init__()
        weight = torch.randn(out_features, in_features)
        # On the meta device a division makes PyTorch import its compiler, which takes a second.
        self.weight = nn.Parameter(weight if lrmul == 1 else weight / lrmul)
        self.bias = nn.Parameter(torch.zeros(out_features))
        self.scale, self.lrmul = gain / math.sqrt(in_features) * lrmul, lrmul

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_features] -> [N, out_features]."""
        return F.linear(x, self.weight * self.scale, self.bias * self.lrmul)


class Conv(nn.Module):
    """Convolution with equalised learning rate; the bias is a parameter here but added by whoever needs it later.

    `resample` "up" is [upscale, 3x3 convolution], "down" is [3x3 convolution, downscale], both computed as one 4x4
    convolution of stride 2, which is the same arithmetic with fewer products. `rotate` turns the kernel by 180 degrees
    before "up": the official fused operation (from 128x128) uses the kernel as it is stored, the unfused one below
    128x128 in effect the rotated kernel of that operation.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel: int = 3,
        gain: float = SQRT2,
        resample: Literal["up", "down"] | None = None,
        rotate: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.scale = gain / math.sqrt(kernel * kernel * in_channels)
        self.resample, self.rotate = resample, rotate

    def forward(self, x: Tensor, *, add_bias: bool = False) -> Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, H', W'], H' being H, 2 H or H / 2."""
        bias = self.bias.to(x.dtype) if add_bias else None
        weight = self.weight * self.scale
        if self.resample == "up":
            weight = spread(weight.flip(2, 3) if self.rotate else weight)
            return F.conv_transpose2d(x, weight.transpose(0, 1), bias, stride=2, padding=1)
        if self.resample == "down":
            return F.conv2d(x, spread(weight) * 0.25, bias, stride=2, padding=1)
        return F.conv2d(x, weight, bias, padding=self.weight.shape[-1] // 2)


class SynthesisInput(nn.Module):
    """Where the synthesis starts, [N, C, 4, 4]: a learned constant, or a dense layer fed by the first latent."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        channels = config.fmaps(1)
        self.bias = nn.Parameter(torch.zeros(channels))
        if config.const_input:
            self.const = nn.Parameter(torch.ones(1, channels, 4, 4))
        else:
            self.weight = nn.Parameter(torch.randn(channels * 16, config.w_dim))
            self.scale = SQRT2 / 4 / math.sqrt(config.w_dim)

    def forward(self, w: Tensor, *, add_bias: bool = False) -> Tensor:
        """[N, w_dim] -> [N, C, 4, 4]."""
        if hasattr(self, "const"):
            x = self.const.to(w.dtype).expand(len(w), -1, -1, -1)
        else:
            x = F.linear(w, self.weight * self.scale).reshape(len(w), -1, 4, 4)
        return x + self.bias.to(x.dtype).reshape(1, -1, 1, 1) if add_bias else x


class SynthesisLayer(nn.Module):
    """One layer: [input or convolution, blur if it upscales] -> noise -> bias -> leaky ReLU -> norm -> style."""

    def __init__(self, config: GeneratorConfig, index: int) -> None:
        super().__init__()
        stage = index // 2 + 1
        channels, self.resolution = config.fmaps(stage), 2 ** (stage + 1)
        self.upscales = index > 0 and index % 2 == 0
        self.blur = self.upscales and config.blur
        self.blurs_bias = config.blurred_bias
        self.pixel_norm, self.instance_norm = config.pixel_norm, config.instance_norm
        self.source: SynthesisInput | Conv
        if index == 0:
            self.source = SynthesisInput(config)
        else:
            fused = config.fused_scale if config.fused_scale != "auto" else self.resolution >= FUSED_FROM
            incoming = config.fmaps(stage - 1) if self.upscales else channels
            self.source = Conv(incoming, channels, resample="up" if self.upscales else None, rotate=not fused)
        self.noise_strength = nn.Parameter(torch.zeros(channels)) if config.use_noise else None
        self.style = Dense(config.w_dim, 2 * channels, gain=1.0) if config.use_styles else None

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        """x [N, C, H, W] (or w for the first layer), w [N, w_dim], noise [N or 1, 1, H, W] -> [N, C', H', W']."""
        x = activated(self._before_activation(x, noise))
        if self.pixel_norm:
            x = pixel_norm(x)
        if self.style is None:
            return instance_norm(x) if self.instance_norm else x
        style = self.style(w)
        if self.instance_norm:
            return instance_norm_style(x, style)
        scale, shift = style[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(shift, x, scale + 1)

    def _before_activation(self, x: Tensor, noise: Tensor | None) -> Tensor:
        """Convolution, blur, noise and bias; the bias comes after the blur, or before it with `blurred_bias`."""
        early = self.blurs_bias or not self.blur
        x = self.source(x, add_bias=early)
        if self.blur:
            x = blur(x, None if early else self.source.bias.to(x.dtype))
        if self.noise_strength is None or noise is None:
            return x
        return add_noise(x, noise.to(x.dtype), self.noise_strength.to(x.dtype))


# ----------------------------------------------------------------------------------------------------- mapping


class Mapping(nn.Module):
    """The mapping network f: Z -> W (paper, figure 1b): normalise z, then `mapping_layers` dense layers.

    With no layers W is the normalised Z. Weights are stored 1 / lrmul times larger, so that they learn lrmul times as
    fast as the others (appendix C).
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.num_ws = config.num_ws
        hidden = [config.mapping_fmaps] * (config.mapping_layers - 1) + [config.w_dim]
        widths = [config.z_dim, *(hidden if config.mapping_layers else [])]
        self.layers = nn.ModuleList(
            Dense(fan_in, fan_out, lrmul=config.mapping_lrmul) for fan_in, fan_out in itertools.pairwise(widths)
        )

    def forward(self, z: Tensor) -> Tensor:
        """z [N, z_dim] -> ws [N, num_ws, w_dim], the same w for every layer."""
        x = pixel_norm(z)
        for layer in self.layers:
            x = activated(layer(x))
        return x.unsqueeze(1).expand(-1, self.num_ws, -1)


# --------------------------------------------------------------------------------------------------- synthesis


class Synthesis(nn.Module):
    """The synthesis network g: W -> images, style-based or traditional, grown to the level of detail `lod`.

    Attributes:
        lod: 0 for the full resolution; L gives images of resolution / 2^L, repeated to full size; a fraction fades
            between the two neighbouring levels (ProGAN, figure 2).
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.lod = 0.0
        self.layers = nn.ModuleList(SynthesisLayer(config, index) for index in range(config.num_layers))
        self.to_rgb = nn.ModuleList(
            Conv(config.fmaps(stage), config.num_channels, kernel=1, gain=1.0)
            for stage in range(1, config.num_stages + 1)
        )
        for index, (height, width) in enumerate(self.noise_shapes):
            self.register_buffer(f"noise_const{index}", torch.randn(1, 1, height, width))

    @property
    def noise_shapes(self) -> list[tuple[int, int]]:
        """Height and width of every layer's noise input; empty for networks without noise."""
        sizes = [2 ** (index // 2 + 2) for index in range(self.config.num_layers)]
        return [(size, size) for size in sizes] if self.config.use_noise else []

    @property
    def level_resolution(self) -> int:
        """Resolution of the images before they are repeated to full size: resolution / 2^floor(lod)."""
        return self.config.resolution >> int(self.lod)

    def draw_noise(self, count: int, generator: torch.Generator, device: torch.device) -> list[Tensor]:
        """Fresh noise [count, 1, H, W] for every layer in use at the present lod."""
        used = [(height, width) for height, width in self.noise_shapes if height <= self.level_resolution]
        return [torch.randn(count, 1, *shape, generator=generator, device=device) for shape in used]

    def forward(
        self,
        ws: Tensor,
        noise_mode: NoiseMode = "random",
        noise: Sequence[Tensor] | None = None,
        *,
        full_resolution: bool = True,
    ) -> Tensor:
        """ws [N, num_ws, w_dim] -> images float32 [N, num_channels, R, R], nominally in [-1, 1], not clamped.

        Args:
            ws: Intermediate latents, one per layer (one in all for a traditional generator).
            noise_mode: "random" draws fresh noise per image from torch's default generator unless `noise` is given;
                "const" takes the stored noise; "none" leaves it out.
            noise: Noise of every layer, [N or 1, 1, H, W] each; for results that are a function of the arguments.
            full_resolution: False returns images of the present level without repeating pixels.
        """
        level, fade = int(self.lod), self.lod - int(self.lod)
        last = self.config.num_stages - 1 - level
        if last < 0 or (fade and last < 1):
            raise ValueError(f"lod {self.lod}: must be between 0 and {self.config.num_stages - 1}")
        x, previous = ws[:, 0], None
        for stage in range(last + 1):
            previous = x
            for index, layer_noise in self.stage_noise(stage, len(ws), noise_mode, noise):
                x = self.layers[index](x, ws[:, index if self.config.use_styles else 0], layer_noise)
        images = at_least_float32(self.to_rgb[last](x, add_bias=True))
        if fade and previous is not None:
            images = lerp(images, upscale(at_least_float32(self.to_rgb[last - 1](previous, add_bias=True))), fade)
        return upscale(images, 2**level) if full_resolution else images

    def stage_noise(
        self, stage: int, count: int, mode: NoiseMode, noise: Sequence[Tensor] | None
    ) -> list[tuple[int, Tensor | None]]:
        """The two layers of a resolution, by index, each with the noise that it adds: [N or 1, 1, H, W], or None.

        With `shared_noise` both have the first one's.
        """
        first = 2 * stage
        drawn = self._layer_noise(first, count, mode, noise)
        shared = self.config.shared_noise
        return [(first, drawn), (first + 1, drawn if shared else self._layer_noise(first + 1, count, mode, noise))]

    def _layer_noise(self, index: int, count: int, mode: NoiseMode, noise: Sequence[Tensor] | None) -> Tensor | None:
        if mode == "none" or not self.config.use_noise:
            return None
        stored: Tensor = getattr(self, f"noise_const{index}")
        if mode == "const":
            return stored
        return noise[index] if noise is not None else stored.new_empty(count, *stored.shape[1:]).normal_()


# --------------------------------------------------------------------------------------------------- generator


class Generator(nn.Module):
    """Mapping and synthesis, with the running average of w.

    Attributes: `z_dim, w_dim, num_ws, img_resolution, img_channels`, `mapping`, `synthesis`, `w_avg` [w_dim].
    """

    w_avg: Tensor
    thread_safe = True  # several threads may call it at once

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.z_dim, self.w_dim, self.num_ws = config.z_dim, config.w_dim, config.num_ws
        self.img_resolution, self.img_channels = config.resolution, config.num_channels
        self.mapping, self.synthesis = Mapping(config), Synthesis(config)
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    @property
    def has_mapping(self) -> bool:
        """Whether W differs from the normalised Z."""
        return self.config.mapping_layers > 0

    def forward(
        self,
        z: Tensor,
        *,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        noise_mode: NoiseMode = "random",
        noise: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """z [N, z_dim] -> images float32 [N, C, R, R]; psi 1 (the default) means no truncation."""
        ws = truncate(self.mapping(z), self.w_avg, truncation_psi, truncation_cutoff)
        images: Tensor = self.synthesis(ws, noise_mode, noise)
        return images

    @torch.no_grad()
    def track_w(self, ws: Tensor, beta: float = 0.995) -> None:
        """Move w_avg towards the batch mean of the first layer's w: w_avg = mean + (w_avg - mean) * beta."""
        self.track_mean_w(ws[:, 0].detach().mean(dim=0), beta)

    @torch.no_grad()
    def track_mean_w(self, w_mean: Tensor, beta: float = 0.995) -> None:
        """As track_w, from the mean [w_dim] itself."""
        self.w_avg.copy_(lerp(w_mean.to(self.w_avg.dtype), self.w_avg, beta))


# ----------------------------------------------------------------------------------------------- discriminator


class DiscriminatorBlock(nn.Module):
    """One resolution: 3x3 convolution, blur, 3x3 convolution with downscaling, leaky ReLU after each."""

    def __init__(self, config: DiscriminatorConfig, stage: int) -> None:
        super().__init__()
        self.blur = config.blur
        self.conv0 = Conv(config.fmaps(stage), config.fmaps(stage))
        self.conv1 = Conv(config.fmaps(stage), config.fmaps(stage - 1), resample="down")

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C', H / 2, W / 2]."""
        x = activated(self.conv0(x, add_bias=True))
        x = self.conv1(blur(x) if self.blur else x, add_bias=True)
        return activated(x)


class Discriminator(nn.Module):
    """The discriminator (ProGAN's with a blur before each downscale), and the attribute classifiers' architecture.

    Attributes:
        lod: As in Synthesis; at lod L images enter at resolution / 2^floor(L), and a fraction mixes the activations
            with those of the next level.
    """

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        self.lod = 0.0
        stages = range(config.num_stages, 0, -1)  # from full resolution down to 4x4
        self.from_rgb = nn.ModuleList(Conv(config.num_channels, config.fmaps(stage), kernel=1) for stage in stages)
        self.blocks = nn.ModuleList(DiscriminatorBlock(config, stage) for stage in stages[:-1])
        channels, extra = config.fmaps(1), int(config.mbstd_group_size > 1)
        self.conv = Conv(channels + extra, channels)
        self.dense0 = Dense(channels * 16, config.fmaps(0))
        self.dense1 = Dense(config.fmaps(0), config.num_outputs, gain=1.0)

    def forward(self, images: Tensor) -> Tensor:
        """Images [N, C, R, R] at full resolution, or at the present level's, -> scores [N, num_outputs]."""
        x = self._trunk(self._enter(images))[-1]
        if self.config.mbstd_group_size > 1:
            x = minibatch_stddev(x, self.config.mbstd_group_size)
        x = activated(self.conv(x, add_bias=True))
        x = activated(self.dense0(x.flatten(1)))
        return at_least_float32(self.dense1(x))

    def features(self, images: Tensor) -> list[Tensor]:
        """Activations after FromRGB and after every block at lod 0: [N, C_k, H / 2^k, W / 2^k], for any H and W.

        H and W must be at least resolution / 4, so that the last activation has a pixel.
        """
        return self._trunk((0, activated(self.from_rgb[0](images, add_bias=True))))

    def _enter(self, images: Tensor) -> tuple[int, Tensor]:
        level, fade = int(self.lod), self.lod - int(self.lod)
        if level > len(self.blocks) or (fade and level >= len(self.blocks)):
            raise ValueError(f"lod {self.lod}: must be between 0 and {len(self.blocks)}")
        expected = self.config.resolution >> level
        if images.shape[-1] not in (self.config.resolution, expected):
            raise ValueError(f"images of {images.shape[-1]} pixels: expected {self.config.resolution} or {expected}")
        images = downscale(images, images.shape[-1] // expected)
        x = activated(self.from_rgb[level](images, add_bias=True))
        if not fade:
            return level, x
        coarse = activated(self.from_rgb[level + 1](downscale(images), add_bias=True))
        return level + 1, lerp(self.blocks[level](x), coarse, fade)

    def _trunk(self, entered: tuple[int, Tensor]) -> list[Tensor]:
        first, x = entered
        activations = [x]
        for block in self.blocks[first:]:
            activations.append(block(activations[-1]))
        return activations


def initialised(build: Callable[[], Built], seed: int) -> Built:
    """Build a network whose initial weights are a function of `seed` alone; torch's own generator stays untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def count_parameters(network: nn.Module) -> int:
    """Trainable parameters, as the paper counts them (noise constants and averages excluded)."""
    return sum(parameter.numel() for parameter in network.parameters())
