"""StyleGAN2's discriminator."""

import math
from typing import cast

import torch
from torch import Tensor, nn

from latentlab.errors import UsageError
from latentlab.resampling import downsample2d, filter_kernel
from latentlab.stylegan2.config import DiscriminatorConfig
from latentlab.stylegan2.layers import Convolution, Dense
from latentlab.stylegan2.mapping import Mapping
from latentlab.stylegan2.synthesis import HALVED


class DiscriminatorBlock(nn.Module):
    """One resolution: 3x3 convolution, 3x3 convolution that shrinks; images enter the first, in "skip" every block."""

    resample_filter: Tensor

    def __init__(self, config: DiscriminatorConfig, resolution: int) -> None:
        super().__init__()
        block, clamp = config.block_kwargs, config.conv_clamp
        channels, outgoing = config.channels(resolution), config.channels(resolution // 2)
        taps, activation = block.resample_filter, block.activation
        residual = config.architecture == "resnet"
        self.register_buffer("resample_filter", filter_kernel(taps))
        self.fromrgb = None
        if resolution == config.img_resolution or config.architecture == "skip":
            self.fromrgb = Convolution(config.img_channels, channels, kernel=1, activation=activation, clamp=clamp)
        self.conv0 = Convolution(channels, channels, kernel=3, activation=activation, clamp=clamp)
        self.conv1 = Convolution(
            channels,
            outgoing,
            kernel=3,
            down=2,
            resample_filter=taps,
            activation=activation,
            gain=HALVED if residual else 1.0,
            clamp=clamp,
        )
        self.skip = None
        if residual:
            self.skip = Convolution(channels, outgoing, kernel=1, down=2, resample_filter=taps, gain=HALVED, bias=False)
        self.shrinks_image = config.architecture == "skip"

    def forward(self, x: Tensor | None, image: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Features and image [N, C, H, W] -> features of half the size, and the image, if the next block takes it."""
        if self.fromrgb is not None:
            entered = self.fromrgb(image)
            x = entered if x is None else x + entered
        assert x is not None
        skipped = None if self.skip is None else self.skip(x)
        x = self.conv1(self.conv0(x))
        if skipped is not None:
            x = skipped + x
        shrunk = None
        if self.shrinks_image and image is not None:
            shrunk = downsample2d(image, self.resample_filter)
        return cast(Tensor, x), shrunk


class Epilogue(nn.Module):
    """The last layers, at 4x4 pixels: minibatch standard deviation, convolution, two dense layers, labels."""

    def __init__(self, config: DiscriminatorConfig, cmap_dim: int) -> None:
        super().__init__()
        settings, channels = config.epilogue_kwargs, config.channels(4)
        activation = settings.activation
        self.cmap_dim = cmap_dim
        self.group_size, self.slices = settings.mbstd_group_size, settings.mbstd_num_channels
        self.fromrgb = None
        if config.architecture == "skip":
            self.fromrgb = Convolution(config.img_channels, channels, kernel=1, activation=activation)
        self.conv = Convolution(
            channels + self.slices,
            channels,
            kernel=3,
            activation=activation,
            clamp=config.conv_clamp,
        )
        self.fc = Dense(channels * 16, channels, activation=activation)
        self.out = Dense(channels, cmap_dim or 1)

    def forward(self, x: Tensor | None, image: Tensor | None, cmap: Tensor | None) -> Tensor:
        """Features and image at 4x4, mapped labels [N, cmap_dim] -> scores [N, 1]."""
        if self.fromrgb is not None:
            entered = self.fromrgb(image)
            x = entered if x is None else x + entered
        assert x is not None
        if self.slices:
            x = minibatch_stddev(x, self.group_size, self.slices)
        scores: Tensor = self.out(self.fc(self.conv(x).flatten(1)))
        if cmap is None:
            return scores
        return (scores * cmap).sum(dim=1, keepdim=True) / math.sqrt(self.cmap_dim)


class Discriminator(nn.Module):
    """Scores of images, under the official names, so that an official state dictionary loads as it is."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        cmap_dim = (config.cmap_dim or config.channels(4)) if config.c_dim else 0
        for resolution in config.resolutions[:-1]:
            self.add_module(f"b{resolution}", DiscriminatorBlock(config, resolution))
        self.mapping = None
        if config.c_dim:
            self.mapping = Mapping(
                config.mapping_kwargs, z_dim=0, c_dim=config.c_dim, w_dim=cmap_dim, num_ws=None, track_w=False
            )
        self.b4 = Epilogue(config, cmap_dim)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images [N, img_channels, R, R], labels [N, c_dim] of a conditional one -> scores [N, 1].

        Raises:
            UsageError: labels are missing, or the minibatch cannot be cut into groups.
        """
        x, image = None, images.to(self.b4.fc.weight.dtype)
        for resolution in self.config.resolutions[:-1]:
            x, image = getattr(self, f"b{resolution}")(x, image)
        scores: Tensor = self.b4(x, image, None if self.mapping is None else self.mapping(None, labels))
        return scores


def minibatch_stddev(x: Tensor, group_size: int | None, slices: int) -> Tensor:
    """Append feature maps with the mean standard deviation over groups of images, one for each slice of feature maps.

    [N, C, H, W] -> [N, C + slices, H, W]. Image n belongs to group n mod (N / G), G = min(group_size, N), or N if the
    group size is None.

    Raises:
        UsageError: N is not divisible by G.
    """
    count, channels, height, width = x.shape
    size = count if group_size is None else min(group_size, count)
    if count % size:
        raise UsageError(f"a minibatch of {count} images: minibatch stddev needs a multiple of its group size {size}.")
    groups = x.reshape(size, count // size, slices, channels // slices, height, width)
    deviation = (groups.var(dim=0, correction=0) + 1e-8).sqrt().mean(dim=(2, 3, 4))  # [N / G, slices]
    extra = deviation.repeat(size, 1)[:, :, None, None].expand(-1, -1, height, width)
    return torch.cat([x, extra], dim=1)
