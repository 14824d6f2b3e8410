"""Resampling of images by finite filters, and convolutions that change the resolution, as StyleGAN2 and StyleGAN3 do.

Everything is a depthwise or an ordinary convolution of torch's, so that derivatives of any order exist, forwards
(torch.func.jvp) and backwards. What zeros are multiplied with is left out: filters after zero insertion are transposed
convolutions, filters before decimation have a stride. Images are [N, C, H, W], factors and paddings [x, y] and
[x0, x1, y0, y1].
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Factor = int | Sequence[int]
"""One number, or [x, y]."""
Padding = int | Sequence[int]
"""One number, [x, y], or [x0, x1, y0, y1]; negative numbers crop."""
_SEPARABLE_FROM = 8  # taps from which filters are kept as one line and applied along x and y in turn


def filter_kernel(taps: Sequence[float] | Sequence[Sequence[float]]) -> Tensor:
    """A filter with sum 1, float32: a line of up to 7 taps as its outer product [K, K], longer ones as a line [K]."""
    kernel = torch.as_tensor(taps, dtype=torch.float32)
    if kernel.ndim == 1 and len(kernel) < _SEPARABLE_FROM:
        kernel = torch.outer(kernel, kernel)
    return kernel / kernel.sum()


def upfirdn2d(
    x: Tensor,
    kernel: Tensor | None,
    *,
    up: Factor = 1,
    down: Factor = 1,
    padding: Padding = 0,
    flip_filter: bool = False,
    gain: float = 1,
) -> Tensor:
    """Insert up - 1 zeros after every pixel, pad, filter, and keep every down-th pixel: [N, C, H', W'].

    Height H' is ceil((H up + y0 + y1 - K + 1) / down) for a filter of height K.

    Args:
        x: Images [N, C, H, W].
        kernel: A filter [Ky, Kx], a line [K] that is applied along both axes, or None, which filters nothing.
        up: By what the images grow.
        down: By what they shrink.
        padding: Zeros around the grown images; what is negative crops.
        flip_filter: Correlate with the filter instead of convolving.
        gain: Factor of the result.

    Raises:
        ValueError: a factor or a padding has another number of entries, or the filter of more than two axes.
    """
    (up_x, up_y), (down_x, down_y), (x0, x1, y0, y1) = _pair(up), _pair(down), _four(padding)
    if kernel is None:
        kernel = x.new_ones(1, 1)
    kernel = kernel.to(x.dtype)
    if flip_filter:
        kernel = kernel.flip(tuple(range(kernel.ndim)))
    if kernel.ndim == 2:
        return _filtered(x, kernel * gain, (up_y, up_x), (down_y, down_x), (y0, y1), (x0, x1))
    if kernel.ndim != 1:
        raise ValueError(f"filter of shape {list(kernel.shape)}: must be [K] or [Ky, Kx]")
    line = kernel * math.sqrt(gain)
    x = _filtered(x, line[None, :], (1, up_x), (1, down_x), (0, 0), (x0, x1))
    return _filtered(x, line[:, None], (up_y, 1), (down_y, 1), (y0, y1), (0, 0))


def upsample2d(x: Tensor, kernel: Tensor | None, factor: int = 2) -> Tensor:
    """Grow images by a whole factor, their content in place: [N, C, factor H, factor W]."""
    (x0, x1), (y0, y1) = (_up_share(size, factor) for size in _size(kernel))
    return upfirdn2d(x, kernel, up=factor, padding=(x0, x1, y0, y1), gain=factor**2)


def downsample2d(x: Tensor, kernel: Tensor | None, factor: int = 2) -> Tensor:
    """Shrink images by a whole factor, their content in place: [N, C, H / factor, W / factor]."""
    (x0, x1), (y0, y1) = (_down_share(size, factor) for size in _size(kernel))
    return upfirdn2d(x, kernel, down=factor, padding=(x0, x1, y0, y1))


def filter2d(x: Tensor, kernel: Tensor | None) -> Tensor:
    """Filter images in place: [N, C, H, W]."""
    (x0, x1), (y0, y1) = (_down_share(size, 1) for size in _size(kernel))
    return upfirdn2d(x, kernel, padding=(x0, x1, y0, y1))


def resampled_convolution(
    x: Tensor,
    weight: Tensor,
    kernel: Tensor | None = None,
    *,
    up: int = 1,
    down: int = 1,
    padding: int = 0,
    rotate: bool = False,
) -> Tensor:
    """A convolution after growing the images, or before shrinking them, by a whole factor and a filter.

    A 1x1 convolution goes where there are fewer pixels. A larger one after growing is a transposed convolution, after
    which the filter does its work on four times its pixels; that is the same arithmetic in another order.

    Args:
        x: Images [N, C, H, W].
        weight: [O, C, k, k].
        kernel: The filter, as for upfirdn2d; without meaning where the resolution stays.
        up: By what the images grow, before the convolution.
        down: By what they shrink, after the filter and with the convolution.
        padding: Zeros around the grown images for the convolution; the filter's own are added.
        rotate: Turn the weights by 180 degrees (a convolution in the mathematician's sense).

    Raises:
        ValueError: images shall grow and shrink.
    """
    if up > 1 and down > 1:
        raise ValueError(f"up {up} and down {down}: one of them must be 1")
    width, height = _size(kernel)
    size = weight.shape[-1]
    if up > 1:
        (x0, x1), (y0, y1) = _up_share(width, up), _up_share(height, up)
        if size == 1:
            pads = [side + padding for side in (x0, x1, y0, y1)]
            return upfirdn2d(F.conv2d(x, weight), kernel, up=up, padding=pads, gain=up**2)
        turned = weight if rotate else weight.flip((2, 3))
        x = F.conv_transpose2d(x, turned.transpose(0, 1), stride=up)
        before, after = padding - (size - 1), padding + up - size
        return upfirdn2d(x, kernel, padding=(x0 + before, x1 + after, y0 + before, y1 + after), gain=up**2)
    weight = weight.flip((2, 3)) if rotate else weight
    if down == 1:
        return F.conv2d(x, weight, padding=padding)
    pads = [side + padding for share in (_down_share(width, down), _down_share(height, down)) for side in share]
    if size == 1:
        return F.conv2d(upfirdn2d(x, kernel, down=down, padding=pads), weight)
    return F.conv2d(upfirdn2d(x, kernel, padding=pads), weight, stride=down)


def _filtered(
    x: Tensor,
    kernel: Tensor,
    up: tuple[int, int],
    down: tuple[int, int],
    rows: tuple[int, int],
    columns: tuple[int, int],
) -> Tensor:
    """upfirdn2d with a filter [Ky, Kx]; everything else is y before x here."""
    if up == (1, 1):
        return _decimated(x, kernel, down, rows, columns)
    channels = x.shape[1]
    # How much of the whole convolution's two ends is not wanted; where it is negative, more zeros are.
    excess_y, excess_x = (
        (size - 1 - before, size - factor - after)
        for size, factor, (before, after) in zip(kernel.shape, up, (rows, columns), strict=True)
    )
    cut_y, cut_x = (max(min(excess), 0) for excess in (excess_y, excess_x))
    weight = kernel.expand(channels, 1, *kernel.shape)
    x = F.conv_transpose2d(x, weight, stride=up, padding=(cut_y, cut_x), groups=channels)
    x = _padded(x, [cut_x - side for side in excess_x] + [cut_y - side for side in excess_y])
    return x if down == (1, 1) else x[:, :, :: down[0], :: down[1]]


def _decimated(
    x: Tensor, kernel: Tensor, down: tuple[int, int], rows: tuple[int, int], columns: tuple[int, int]
) -> Tensor:
    channels = x.shape[1]
    common_y, common_x = max(min(rows), 0), max(min(columns), 0)
    x = _padded(x, [side - common_x for side in columns] + [side - common_y for side in rows])
    if kernel.shape == (1, 1):
        x = _padded(x, [common_x, common_x, common_y, common_y])[:, :, :: down[0], :: down[1]]
        return x * kernel
    weight = kernel.flip((0, 1)).expand(channels, 1, *kernel.shape)
    return F.conv2d(x, weight, stride=down, padding=(common_y, common_x), groups=channels)


def _padded(x: Tensor, sides: list[int]) -> Tensor:
    """Zeros around x, or less of it, [x0, x1, y0, y1]."""
    return F.pad(x, sides) if any(sides) else x


def _up_share(size: int, factor: int) -> tuple[int, int]:
    """Zeros before and after that keep the content in place when a filter of so many taps grows images."""
    return (size + factor - 1) // 2, (size - factor) // 2


def _down_share(size: int, factor: int) -> tuple[int, int]:
    """The same for shrinking; for a factor of 1, for filtering."""
    return (size - factor + 1) // 2, (size - factor) // 2


def _size(kernel: Tensor | None) -> tuple[int, int]:
    """Width and height of a filter."""
    return (1, 1) if kernel is None else (kernel.shape[-1], kernel.shape[0])


def _pair(factor: Factor) -> tuple[int, int]:
    x, y = (factor, factor) if isinstance(factor, int) else factor
    return x, y


def _four(padding: Padding) -> tuple[int, int, int, int]:
    if isinstance(padding, int):
        return padding, padding, padding, padding
    if len(padding) == 2:
        x, y = padding
        return x, x, y, y
    x0, x1, y0, y1 = padding
    return x0, x1, y0, y1
