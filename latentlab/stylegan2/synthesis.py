"""The synthesis network of StyleGAN2: blocks from 4x4 to the full resolution."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from latentlab.errors import UsageError
from latentlab.protocols import NoiseMode
from latentlab.resampling import filter_kernel, upsample2d
from latentlab.stylegan2.config import GeneratorConfig
from latentlab.stylegan2.layers import DEFAULT_TAPS, Convolution, ModulatedLayer, ToRGB

HALVED = math.sqrt(0.5)
"""Gain of the two things that are added in an architecture "resnet"."""


class SynthesisBlock(nn.Module):
    """One resolution: a convolution that grows the images and one that does not, and colours.

    The first block has a constant in place of the first convolution. "skip" adds colours at every resolution, "orig"
    and "resnet" make them in the last block alone; "resnet" adds a 1x1 convolution of what came in.
    """

    resample_filter: Tensor

    def __init__(self, config: GeneratorConfig, resolution: int) -> None:
        super().__init__()
        settings = config.synthesis_kwargs
        channels, taps = settings.channels(resolution), settings.resample_filter
        first, incoming = resolution == 4, settings.channels(resolution // 2)
        residual = settings.architecture == "resnet" and not first
        self.register_buffer("resample_filter", filter_kernel(taps))
        if first:
            self.const = nn.Parameter(torch.randn(channels, 4, 4))

        def layer(in_channels: int, *, up: int, gain: float) -> ModulatedLayer:
            return ModulatedLayer(
                in_channels,
                channels,
                w_dim=config.w_dim,
                resolution=resolution,
                resample_filter=taps if up > 1 else DEFAULT_TAPS,
                up=up,
                activation=settings.activation,
                gain=gain,
                clamp=settings.conv_clamp,
                use_noise=settings.use_noise,
            )

        self.conv0 = None if first else layer(incoming, up=2, gain=1.0)
        self.conv1 = layer(channels, up=1, gain=HALVED if residual else 1.0)
        self.torgb = None
        if resolution == config.img_resolution or settings.architecture == "skip":
            self.torgb = ToRGB(channels, config.img_channels, w_dim=config.w_dim, clamp=settings.conv_clamp)
        self.skip = None
        if residual:
            self.skip = Convolution(incoming, channels, kernel=1, up=2, resample_filter=taps, gain=HALVED, bias=False)

    @property
    def layers(self) -> list[ModulatedLayer]:
        """The convolutions with noise, in order of use."""
        return [self.conv1] if self.conv0 is None else [self.conv0, self.conv1]

    def forward(
        self, x: Tensor | None, image: Tensor | None, ws: Tensor, noise: Iterator[Tensor | None]
    ) -> tuple[Tensor, Tensor | None]:
        """Features [N, C, H, W] and image so far, and w of each layer and the colours -> those of twice the size."""
        w = iter(ws.unbind(dim=1))
        if x is None or self.conv0 is None:
            x = self.const.to(ws.dtype).expand(len(ws), -1, -1, -1)
            x = self.conv1(x, next(w), next(noise))
        else:
            skipped = None if self.skip is None else self.skip(x)
            x = self.conv0(x, next(w), next(noise))
            x = self.conv1(x, next(w), next(noise))
            x = x if skipped is None else skipped + x
        if image is not None:
            image = upsample2d(image, self.resample_filter)
        if self.torgb is not None:
            colours = self.torgb(x, next(w))
            image = colours if image is None else image + colours
        return cast(Tensor, x), image


class Synthesis(nn.Module):
    """The synthesis network g: W -> images, always in the precision of its weights (float32)."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        for resolution in config.resolutions:
            self.add_module(f"b{resolution}", SynthesisBlock(config, resolution))

    @property
    def blocks(self) -> list[SynthesisBlock]:
        """From 4x4 to the full resolution."""
        return [cast(SynthesisBlock, getattr(self, f"b{resolution}")) for resolution in self.config.resolutions]

    @property
    def noise_shapes(self) -> list[tuple[int, int]]:
        """Height and width of every layer's noise input; empty for networks without noise."""
        layers = itertools.chain.from_iterable(block.layers for block in self.blocks)
        return [(layer.resolution, layer.resolution) for layer in layers if layer.use_noise]

    def forward(self, ws: Tensor, noise_mode: NoiseMode = "random", noise: Sequence[Tensor] | None = None) -> Tensor:
        """ws [N, num_ws, w_dim] -> images [N, img_channels, R, R], nominally in [-1, 1], not clamped.

        Args:
            ws: Intermediate latents: one per convolution, and one for the last colours. Other colours take the one of
                the convolution that follows.
            noise_mode: "random" draws fresh noise per image from torch's default generator unless `noise` is given;
                "const" takes the stored noise, "none" leaves it out.
            noise: Unit normals of every layer, [N or 1, 1, H, W] each.

        Raises:
            UsageError: noise of another number of layers was given.
        """
        if noise is not None and len(noise) != len(self.noise_shapes):
            raise UsageError(
                f"noise of {len(noise)} layers was given; this network takes {len(self.noise_shapes)} (noise_shapes)."
            )
        ws = ws.to(self.blocks[0].const.dtype)
        sources = iter(self._noise(len(ws), noise_mode, noise))
        x, image, start = None, None, 0
        for block in self.blocks:
            count = len(block.layers)
            x, image = block(x, image, ws[:, start : start + count + 1], sources)
            start += count
        assert image is not None  # the last block has colours
        return image

    def _noise(self, count: int, mode: NoiseMode, noise: Sequence[Tensor] | None) -> Iterator[Tensor | None]:
        """What each layer adds, before its strength, drawn when it is asked for."""
        given = None if noise is None else iter(noise)
        for block in self.blocks:
            for layer in block.layers:
                if mode == "none" or not layer.use_noise:
                    yield None
                elif mode == "const":
                    yield layer.noise_const
                elif given is not None:
                    yield next(given)
                else:
                    yield layer.noise_const.new_empty(count, 1, *layer.noise_const.shape).normal_()
