"""The filtered nonlinearity of the alias-free generator: a leaky ReLU between upsampling and downsampling.

Its images between the two filters are many times as large as what comes in and goes out, so that a layer is worked on
in parts of some feature maps each. On a CPU numbers of all feature maps lie beside each other (channels_last), in which
filters take a third of the time.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from latentlab.resampling import upfirdn2d

_MOST = {"cpu": 2**23, "cuda": 2**28}
"""Numbers between the two filters in one part (32 MiB, 1 GiB)."""
_MAPS = 16  # a part's feature maps are a multiple of this: what a CPU works on at once


def filtered_lrelu(
    x: Tensor,
    up_filter: Tensor | None,
    down_filter: Tensor | None,
    bias: Tensor | None = None,
    *,
    up: int = 1,
    down: int = 1,
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    gain: float = 1.0,
    slope: float = 0.2,
    clamp: float | None = None,
) -> Tensor:
    """Bias, upsampling, leaky ReLU times `gain`, clamping to [-clamp, clamp], downsampling (paper, figure 4b).

    Args:
        x: Feature maps [N, C, H, W].
        up_filter: [K], for both directions, or [K, K], or None for zeros between the samples; its gain is up^2.
        down_filter: Likewise, of gain 1.
        bias: [C].
        up: Factor of the upsampling.
        down: Factor of the downsampling.
        padding: Zeros around the samples that upsampling has spread, [x0, x1, y0, y1]; negative numbers crop.
        gain: Positive.
        slope: Of the leaky ReLU below 0; positive.
        clamp: None for no limit.

    Returns:
        [N, C, H', W'].
    """
    if bias is not None:
        x = x + bias[:, None, None]
    if x.device.type == "cpu":
        x = x.contiguous(memory_format=torch.channels_last)

    def filtered(part: Tensor) -> Tensor:
        # A positive gain passes through the leaky ReLU, and a limit can go before it.
        part = upfirdn2d(part, up_filter, up=up, padding=padding, gain=up**2 * gain)
        if clamp is not None:
            part = part.clamp_(-clamp / slope, clamp)
        if slope != 1:
            part = F.leaky_relu_(part, slope)
        return upfirdn2d(part, down_filter, down=down)

    maps = _maps_at_once(x, up**2)
    if maps >= x.shape[0] * x.shape[1]:
        return filtered(x)
    return torch.cat([torch.cat([filtered(part) for part in one.split(maps, 1)], 1) for one in x.split(1)])


def _maps_at_once(x: Tensor, growth: int) -> int:
    """How many feature maps, of one image if not of all, fit into a part."""
    most = _MOST.get(x.device.type, _MOST["cuda"]) // (growth * x.shape[2] * x.shape[3])
    return most if most >= x.shape[0] * x.shape[1] else max(most // _MAPS, 1) * _MAPS
