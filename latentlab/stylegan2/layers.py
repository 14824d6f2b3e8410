"""Layers of StyleGAN2's networks: activations with their gains, dense layers, convolutions plain and modulated.

Parameters and buffers have the official names. The arithmetic is that of "Analyzing and Improving the Image Quality of
StyleGAN" (Karras et al. 2020), section 2 and appendix B, with the constants of the official PyTorch code
(tests/reference/stylegan2-3/README.md).
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentlab.resampling import filter_kernel, resampled_convolution

Activation = Literal["linear", "relu", "lrelu", "tanh", "sigmoid", "elu", "selu", "softplus", "swish"]
SQRT2 = math.sqrt(2)
DEFAULT_TAPS = (1.0, 3.0, 3.0, 1.0)  # also what layers hold, unused, that neither grow nor shrink images
EPSILON = 1e-8  # of demodulation, under the root

_FUNCTIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x,
    "relu": torch.relu,
    "lrelu": lambda x: F.leaky_relu(x, 0.2, inplace=True),  # x is a result that nothing else needs
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "elu": F.elu,
    "selu": F.selu,
    "softplus": F.softplus,
    "swish": F.silu,
}
_GAINS: dict[Activation, float] = {"relu": SQRT2, "lrelu": SQRT2, "swish": SQRT2}
_HOMOGENEOUS = ("linear", "relu", "lrelu")  # f(g x) = g f(x) for g > 0: the gain can go into what comes before


class Activated:
    """f(x scale + noise + bias) times a gain, clamped.

    Args:
        kind: f, which brings a gain of its own: sqrt(2) for relu, lrelu and swish, else 1.
        gain: Times that one.
        clamp: Largest magnitude of what comes out, before `gain`.
    """

    def __init__(self, kind: Activation, *, gain: float = 1.0, clamp: float | None = None) -> None:
        total = _GAINS.get(kind, 1.0) * gain
        self.kind = kind
        self.before, self.after = (total, 1.0) if kind in _HOMOGENEOUS else (1.0, total)
        self.clamp = None if clamp is None else clamp * gain

    def __call__(
        self, x: Tensor, bias: Tensor | None, *, scale: Tensor | None = None, noise: Tensor | None = None
    ) -> Tensor:
        """x [N, C, H, W], which is overwritten, bias [C], scale [N, C], noise that fits x -> x's shape."""
        if scale is not None:
            x = x.mul_((scale * self.before)[:, :, None, None])
        elif self.before != 1:
            x = x.mul_(self.before)
        if bias is not None:
            x = x.add_((bias * self.before).reshape(1, -1, 1, 1))
        if noise is not None:
            x = x.add_(noise if self.before == 1 else noise * self.before)
        return self.finished(x)

    def finished(self, x: Tensor) -> Tensor:
        """What is left to do where `before` is done."""
        x = _FUNCTIONS[self.kind](x)
        if self.after != 1:
            x = x * self.after
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


class Dense(nn.Module):
    """Fully connected layer with equalised learning rate: f(x (lr / sqrt(fan_in) weight)^T + lr bias)."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        activation: Activation = "linear",
        lr_multiplier: float = 1.0,
        bias_init: float = 0.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full([out_features], float(bias_init)))
        self.activated = Activated(activation)
        self.scale = lr_multiplier / math.sqrt(in_features) * self.activated.before
        self.bias_scale = lr_multiplier * self.activated.before

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_features] -> [N, out_features]."""
        return self.activated.finished(F.linear(x, self.weight * self.scale, self.bias * self.bias_scale))


class Convolution(nn.Module):
    """Convolution with equalised learning rate, that may grow or shrink the images by 2; then the activation.

    Args:
        in_channels: Feature maps that come in.
        out_channels: That go out.
        kernel: Width and height of the weights, odd.
        resample_filter: For growing and shrinking.
        up: 2 to grow the images.
        down: 2 to shrink them.
        activation: With its gain.
        gain: Times that one.
        clamp: As in Activated.
        bias: Whether there is one.
    """

    resample_filter: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel: int,
        resample_filter: Sequence[float] = DEFAULT_TAPS,
        up: int = 1,
        down: int = 1,
        activation: Activation = "linear",
        gain: float = 1.0,
        clamp: float | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.register_buffer("resample_filter", filter_kernel(resample_filter))
        self.up, self.down, self.padding = up, down, kernel // 2
        self.scale = 1 / math.sqrt(in_channels * kernel**2)
        self.activated = Activated(activation, gain=gain, clamp=clamp)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, H', W']."""
        how = {"up": self.up, "down": self.down, "padding": self.padding}
        x = resampled_convolution(x, self.weight * self.scale, self.resample_filter, rotate=self.up > 1, **how)
        return self.activated(x, self.bias)


class ModulatedLayer(nn.Module):
    """Modulated and demodulated 3x3 convolution, that may grow the images by 2 -> noise -> bias -> activation.

    Styles scale what comes in and demodulation what comes out, which is the same arithmetic as weights of each image's
    own, in one convolution for all.
    """

    resample_filter: Tensor
    noise_const: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        w_dim: int,
        resolution: int,
        resample_filter: Sequence[float] = DEFAULT_TAPS,
        up: int = 1,
        activation: Activation = "lrelu",
        gain: float = 1.0,
        clamp: float | None = None,
        use_noise: bool = True,
    ) -> None:
        super().__init__()
        self.resolution, self.up, self.use_noise = resolution, up, use_noise
        self.affine = Dense(w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.register_buffer("resample_filter", filter_kernel(resample_filter))
        if use_noise:
            self.register_buffer("noise_const", torch.randn(resolution, resolution))
            self.noise_strength = nn.Parameter(torch.zeros([]))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.activated = Activated(activation, gain=gain, clamp=clamp)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        """x [N, in_channels, H, W], w [N, w_dim], unit normals [N or 1, 1, H', W'] -> [N, out_channels, H', W']."""
        styles = self.affine(w)
        x = x * styles[:, :, None, None]
        x = resampled_convolution(x, self.weight, self.resample_filter, up=self.up, padding=1, rotate=self.up > 1)
        if noise is not None:
            noise = noise.to(x.dtype) * self.noise_strength
        return self.activated(x, self.bias, scale=self._demodulation(styles), noise=noise)

    def _demodulation(self, styles: Tensor) -> Tensor:
        """One over the length of each image's modulated weights, [N, out_channels]."""
        squares = self.weight.square().sum(dim=(2, 3))  # [out_channels, in_channels]
        return (F.linear(styles.square(), squares) + EPSILON).rsqrt()


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to colours, not demodulated, and bias, clamped."""

    def __init__(self, in_channels: int, out_channels: int, *, w_dim: int, clamp: float | None) -> None:
        super().__init__()
        self.affine = Dense(w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.scale, self.clamp = 1 / math.sqrt(in_channels), clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x [N, in_channels, H, W], w [N, w_dim] -> [N, out_channels, H, W]."""
        weights = self.affine(w)[:, None] * (self.weight.flatten(1) * self.scale)  # [N, out_channels, in_channels]
        rows = x.permute(0, 2, 3, 1).flatten(1, 2)  # [N, H W, in_channels], as channels_last lies in memory
        colours = torch.baddbmm(self.bias, rows, weights.transpose(1, 2))
        image = colours.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)
        return image if self.clamp is None else image.clamp(-self.clamp, self.clamp)
