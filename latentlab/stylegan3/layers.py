"""Layers of the alias-free synthesis network: Fourier features that move with w, and modulated, filtered convolutions.

Parameters and buffers have the official names. The arithmetic is that of Karras et al. 2021, sections 2 and 3, with the
constants of the official code (tests/reference/stylegan2-3/stylegan3.md).
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentlab.stylegan2.layers import EPSILON, SQRT2, Dense
from latentlab.stylegan3.filtering import filtered_lrelu
from latentlab.stylegan3.plan import LayerPlan, Maps


class SynthesisInput(nn.Module):
    """Waves of fixed frequencies in a plane that w turns and shifts, and a mix of them as feature maps.

    Args:
        maps: What comes out; frequencies go up to its cutoff.
        w_dim: Numbers in an intermediate latent.

    Attributes:
        transform: [3, 3], applied to places before w's own transform: the inverse of what happens to the image, in
            image widths. Part of the state.
    """

    freqs: Tensor
    phases: Tensor
    transform: Tensor

    def __init__(self, maps: Maps, *, w_dim: int) -> None:
        super().__init__()
        self.maps = maps
        self.weight = nn.Parameter(torch.randn(maps.channels, maps.channels))
        self.affine = Dense(w_dim, 4)
        with torch.no_grad():
            self.affine.weight.zero_()
            self.affine.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))
        radius, angle = maps.cutoff * torch.rand(maps.channels).sqrt(), 2 * math.pi * torch.rand(maps.channels)
        self.register_buffer("transform", torch.eye(3))
        self.register_buffer("freqs", torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1))
        self.register_buffer("phases", torch.rand(maps.channels) - 0.5)

    def forward(self, w: Tensor) -> Tensor:
        """[N, w_dim] -> [N, C, S, S], which lies in memory as channels_last."""
        matrix = self._placing(w) @ self.transform  # [N, 3, 3]
        freqs = self.freqs @ matrix[:, :2, :2]  # [N, C, 2]
        phases = self.phases + (self.freqs @ matrix[:, :2, 2:]).squeeze(2)  # [N, C]
        room = self.maps.rate / 2 - self.maps.cutoff  # frequencies fade on the way to half the rate
        amplitudes = (1 - (freqs.norm(dim=2) - self.maps.cutoff) / room).clamp(0, 1)
        places = torch.arange(self.maps.size, device=w.device, dtype=w.dtype) + 0.5 - self.maps.size / 2
        along_x, along_y = (places[:, None] / self.maps.rate * freqs[:, None, :, axis] for axis in (0, 1))  # [N, S, C]
        turns = along_x[:, None] + (along_y + phases[:, None])[:, :, None]  # [N, y, x, C]
        waves = (2 * math.pi * turns).sin() * amplitudes[:, None, None]
        return F.linear(waves, self.weight / math.sqrt(self.maps.channels)).permute(0, 3, 1, 2)

    def _placing(self, w: Tensor) -> Tensor:
        """The rotation and the shift that w asks for, [N, 3, 3]: places are shifted, then turned."""
        asked = self.affine(w)
        cos, sin, x, y = (asked / asked[:, :2].norm(dim=1, keepdim=True)).unbind(dim=1)
        zero, one = torch.zeros_like(x), torch.ones_like(x)
        rows = [[cos, -sin, sin * y - cos * x], [sin, cos, -sin * x - cos * y], [zero, zero, one]]
        return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


class SynthesisLayer(nn.Module):
    """Modulated convolution, bias, and a leaky ReLU between an upsampling and a downsampling filter.

    ToRGB, the last layer, has neither filters nor leaky ReLU, and does not demodulate.

    Attributes:
        magnitude_ema: The expected mean square of what comes in, by whose root the result is divided; training moves
            it, nothing here does.
    """

    magnitude_ema: Tensor
    up_filter: Tensor | None
    down_filter: Tensor | None

    def __init__(self, plan: LayerPlan, *, w_dim: int, clamp: float | None) -> None:
        super().__init__()
        self.plan, self.clamp = plan, clamp
        incoming, outgoing = plan.source.channels, plan.target.channels
        self.affine = Dense(w_dim, incoming, bias_init=1)
        self.weight = nn.Parameter(torch.randn(outgoing, incoming, plan.kernel, plan.kernel))
        self.bias = nn.Parameter(torch.zeros(outgoing))
        self.register_buffer("magnitude_ema", torch.ones([]))
        self.register_buffer("up_filter", _stored(plan.up_filter()))
        self.register_buffer("down_filter", _stored(plan.down_filter()))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x [N, C, S, S], w [N, w_dim] -> [N, C', S', S']."""
        plan, bias = self.plan, self.bias[:, None, None]
        incoming, outgoing = self._scales(self.affine(w))
        x = _convolved(x * incoming[:, :, None, None], self.weight)
        x = x + bias if outgoing is None else torch.addcmul(bias, x, outgoing[:, :, None, None])
        return filtered_lrelu(
            x,
            self.up_filter,
            self.down_filter,
            up=plan.up,
            down=plan.down,
            padding=(*plan.padding, *plan.padding),
            gain=1.0 if plan.is_torgb else SQRT2,
            slope=1.0 if plan.is_torgb else 0.2,
            clamp=self.clamp,
        )

    def _scales(self, styles: Tensor) -> tuple[Tensor, Tensor | None]:
        """What a convolution with the plain weights takes in place of modulated ones: factors before and after it.

        Weights are of unit mean square for each outgoing feature map, styles over the whole batch; the modulated
        weights are then of unit length but for an epsilon, and that is where other images of the batch matter.

        Args:
            styles: [N, C].

        Returns:
            Factors of incoming and of outgoing feature maps, [N, C] and [N, C'].
        """
        gain = self.magnitude_ema.rsqrt()
        if self.plan.is_torgb:
            return styles * (gain / math.sqrt(self.weight[0].numel())), None
        styles = styles * styles.square().mean().rsqrt()
        squares = self.weight.square()
        norms = squares.mean(dim=(1, 2, 3)).rsqrt()  # [C']
        lengths = F.linear(styles.square(), squares.sum(dim=(2, 3)) * norms.square()[:, None])
        return styles, (lengths + EPSILON).rsqrt() * (norms * gain)


def _convolved(x: Tensor, weight: Tensor) -> Tensor:
    """Correlation that sees zeros on all sides: [N, C, S, S], [O, C, k, k] -> [N, O, S + k - 1, S + k - 1]."""
    if weight.shape[-1] == 1 and x.device.type == "cpu":  # torch has a slow way for single images in one thread
        return F.linear(x.permute(0, 2, 3, 1), weight[:, :, 0, 0]).permute(0, 3, 1, 2)
    return F.conv2d(x, weight, padding=weight.shape[-1] - 1)


def _stored(kernel: np.ndarray | None) -> Tensor | None:
    return None if kernel is None else torch.from_numpy(kernel).float()
