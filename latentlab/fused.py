"""Operations of the synthesis network and the discriminator that bring their own derivatives.

Left to autograd, a leaky ReLU and instance norm with a style keep two copies of their images, and the way back is many
passes over them; written out, they keep one, and the way back takes a fifth of the time on two CPU cores. Derivatives
of any order exist, forwards (torch.func.jvp) and backwards, under torch.func.vmap too. Images are [N, C, H, W].
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

EPSILON = 1e-8  # of instance norm and pixel norm, under the root (official code)


def at_least_float32(x: Tensor) -> Tensor:
    """Raise half precision to float32; float32 and float64 stay as they are."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


# -------------------------------------------------------------------------------------------------------- blur


def blur(x: Tensor, bias: Tensor | None = None) -> Tensor:
    """Filter with [1, 2, 1] x [1, 2, 1] / 16, zeros outside, and add a bias [C]."""
    filtered: Tensor = _Blur.apply(x, bias)
    return filtered


class _Blur(torch.autograd.Function):
    """The filter as one depthwise convolution. It is its own transpose, so its derivatives of any order are itself.

    Left to autograd, the second derivative of a depthwise convolution takes one call for each feature map.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, bias: Tensor | None) -> Tensor:
        line = torch.tensor([0.25, 0.5, 0.25], dtype=x.dtype, device=x.device)
        kernel = torch.outer(line, line).expand(x.shape[1], 1, 3, 3)
        return F.conv2d(x, kernel, bias, padding=1, groups=x.shape[1])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor | None], output: Tensor) -> None:
        """Nothing needs to be kept."""

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
        bias = gradient.sum(dim=(0, 2, 3)) if ctx.needs_input_grad[1] else None
        return blur(gradient), bias

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, bias: Tensor | None) -> Tensor:
        return blur(tangent, bias)


# ------------------------------------------------------------------------------------------------------- noise


def add_noise(x: Tensor, noise: Tensor, strength: Tensor) -> Tensor:
    """x + strength noise, with one strength [C] for each feature map; noise [N or 1, 1, H, W] of x's type."""
    noisy: Tensor = _Noise.apply(x, noise, strength)
    return noisy


class _Noise(torch.autograd.Function):
    """The gradient of the strengths as a product of matrices: one pass, where autograd multiplies, writes and adds."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, noise: Tensor, strength: Tensor) -> Tensor:
        return torch.addcmul(x, noise, _maps(strength))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        _, noise, strength = inputs
        ctx.save_for_backward(noise, strength)
        ctx.save_for_forward(noise, strength)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        noise, strength = ctx.saved_tensors
        rows = gradient.permute(0, 2, 3, 1).flatten(0, 2)  # [N H W, C]
        along = noise.expand(len(gradient), -1, -1, -1).flatten() @ rows
        to_noise = None
        if ctx.needs_input_grad[1]:
            to_noise = (gradient * _maps(strength)).sum(dim=1, keepdim=True).sum_to_size(noise.shape)
        return gradient, to_noise, along

    @staticmethod
    def jvp(ctx: Any, x: Tensor | None, noise: Tensor | None, strength: Tensor | None) -> Tensor:
        saved_noise, saved_strength = ctx.saved_tensors
        tangent = 0 if x is None else x
        if noise is not None:
            tangent = tangent + noise * _maps(saved_strength)
        if strength is not None:
            tangent = tangent + saved_noise * _maps(strength)
        return tangent  # type: ignore[return-value]


def _maps(values: Tensor) -> Tensor:
    """[C] -> [1, C, 1, 1]."""
    return values.reshape(1, -1, 1, 1)


# -------------------------------------------------------------------------------------------------- pixel norm


def pixel_norm(x: Tensor) -> Tensor:
    """Scale every position's feature vector to unit mean square: x / sqrt(mean_C(x^2) + 1e-8) (ProGAN, section 4.2).

    x [N, C] or [N, C, H, W].
    """
    normal: Tensor = _PixelNorm.apply(x)[0]
    return normal


class _PixelNorm(torch.autograd.Function):
    """n(x) = x r with r = 1 / sqrt(<x^2> + epsilon) and <.> the mean over C: dn = r (dx - n <n dx>), symmetric."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        r = _inverse_length(x)
        return x * r.to(x.dtype), r

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        r = output[1]
        ctx.mark_non_differentiable(r)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs, r)
        ctx.save_for_forward(*inputs, r)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None, _: None) -> Tensor | None:
        if gradient is None:
            return None
        x, r = ctx.saved_tensors
        return _pixel_norm_derivative(x, _inverse_length(x) if torch.is_grad_enabled() else r, gradient)

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> tuple[Tensor, None]:
        x, r = ctx.saved_tensors
        return _pixel_norm_derivative(x, r, tangent), None


def push_pixel_norm(x: Tensor, tangent: Tensor) -> tuple[Tensor, Tensor]:
    """`pixel_norm` and its derivative along a tangent, without automatic differentiation."""
    r = _inverse_length(x)
    return x * r.to(x.dtype), _pixel_norm_derivative(x, r, tangent)


def _inverse_length(x: Tensor) -> Tensor:
    """[N, 1, ...], in float32 at least."""
    return (at_least_float32(x).square().mean(dim=1, keepdim=True) + EPSILON).rsqrt()


def _pixel_norm_derivative(x: Tensor, r: Tensor, along: Tensor) -> Tensor:
    share = at_least_float32(x * along).mean(dim=1, keepdim=True) * r**3
    return (x * -share.to(x.dtype)).addcmul_(along, r.to(x.dtype))


# ---------------------------------------------------------------------------------------- instance norm, style


def centre(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x less the mean of every feature map, that mean, and one over the standard deviation, in float32 at least.

    The variance is the biased one, with epsilon 1e-8 under the root. [N, C, H, W] and twice [N, C, 1, 1].
    torch.var_mean takes several times longer.
    """
    x = at_least_float32(x)
    mean = x.mean(dim=(2, 3), keepdim=True)
    centred = x - mean
    return centred, mean, (centred.square().mean(dim=(2, 3), keepdim=True) + EPSILON).rsqrt()


def instance_norm_style(x: Tensor, style: Tensor) -> Tensor:
    """Zero mean and unit variance for every image and feature map, then times style[:, :C] + 1, plus style[:, C:].

    Adaptive instance normalisation (paper, equation 1). x [N, C, H, W], style [N, 2 C] -> x's shape and type.
    """
    styled: Tensor = _InstanceNormStyle.apply(x, style)[0]
    return styled


class _InstanceNormStyle(torch.autograd.Function):
    """y = n(x) (s + 1) + t with n(x) = (x - mean) r and r = 1 / sqrt(variance + epsilon).

    With <.> the mean over a feature map, dn = r (dx - <dx> - n <n dx>), and the way back is the same operator times
    (s + 1), since it is symmetric. Mean and r are kept; they are derived again where second derivatives are asked for.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, style: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        centred, mean, r = centre(x)
        scale, shift = _halves(style)
        return torch.addcmul(shift.to(x.dtype), centred.to(x.dtype), ((scale + 1) * r).to(x.dtype)), mean, r

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor, Tensor]) -> None:
        _, mean, r = output
        ctx.mark_non_differentiable(mean, r)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs, mean, r)
        ctx.save_for_forward(*inputs, mean, r)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None, *_: None) -> tuple[Tensor | None, Tensor | None]:
        if gradient is None:
            return None, None
        x, style, mean, r = ctx.saved_tensors
        centred = x - mean
        if torch.is_grad_enabled():
            centred, mean, r = centre(x)
        scale, _shift = _halves(style)
        centred = centred.to(x.dtype)
        shift_share, scale_share = _sums(gradient), _sums(gradient * centred) * r
        gain, pixels = (scale + 1) * r, x.shape[2] * x.shape[3]
        offset, slope = -gain * shift_share / pixels, -gain * r * scale_share / pixels
        to_x = torch.addcmul(offset.to(x.dtype), centred, slope.to(x.dtype)).addcmul_(gradient, gain.to(x.dtype))
        return to_x, torch.cat([scale_share, shift_share], dim=1).flatten(1).to(style.dtype)

    @staticmethod
    def jvp(ctx: Any, x_tangent: Tensor | None, style_tangent: Tensor | None) -> tuple[Tensor, None, None]:
        x, style, mean, r = ctx.saved_tensors
        x_tangent = torch.zeros_like(x) if x_tangent is None else x_tangent
        style_tangent = torch.zeros_like(style) if style_tangent is None else style_tangent
        return _styled_tangent(x - mean, r, style, x_tangent, style_tangent), None, None


def push_instance_norm_style(
    x: Tensor, x_tangent: Tensor, style: Tensor, style_tangent: Tensor
) -> tuple[Tensor, Tensor]:
    """`instance_norm_style` and its derivative along tangents of both arguments, without automatic differentiation."""
    centred, _, r = centre(x)
    scale, shift = _halves(style)
    centred = centred.to(x.dtype)
    value = torch.addcmul(shift.to(x.dtype), centred, ((scale + 1) * r).to(x.dtype))
    return value, _styled_tangent(centred, r, style, x_tangent, style_tangent)


def _styled_tangent(centred: Tensor, r: Tensor, style: Tensor, x_tangent: Tensor, style_tangent: Tensor) -> Tensor:
    """dy = g dx + c k + dt - g <dx> with g = (s + 1) r, c = x - mean, k = r ds - g r^2 <c dx>: two passes over maps."""
    (scale, _), (scale_tangent, shift_tangent) = _halves(style), _halves(style_tangent)
    pixels, gain = centred.shape[2] * centred.shape[3], (scale + 1) * r
    slope = r * scale_tangent - gain * r**2 * (_sums(centred * x_tangent) / pixels)
    offset = shift_tangent - gain * (_sums(x_tangent) / pixels)
    kind = x_tangent.dtype
    return torch.addcmul(offset.to(kind), centred.to(kind), slope.to(kind)).addcmul(x_tangent, gain.to(kind))


def _halves(style: Tensor) -> tuple[Tensor, Tensor]:
    """[N, 2 C] -> scale and shift, [N, C, 1, 1] each."""
    scale, shift = style[:, :, None, None].chunk(2, dim=1)
    return scale, shift


def _sums(x: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, C, 1, 1], in float32 at least."""
    kind = torch.float32 if x.dtype in (torch.float16, torch.bfloat16) else x.dtype
    return x.sum(dim=(2, 3), keepdim=True, dtype=kind)
