"""The forward derivative of LatentLab's synthesis networks, written out: images and how they move with the latents.

What `torch.func.jvp` computes of them, in less time and by several threads at once, which torch's forward mode does not
allow.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from latentlab.fused import add_noise, at_least_float32, blur, push_instance_norm_style, push_pixel_norm
from latentlab.latents import lerp
from latentlab.networks import Conv, Dense, NoiseMode, Synthesis, SynthesisInput, SynthesisLayer, instance_norm, upscale

Pushed = tuple[Tensor, Tensor]
"""A value and its tangent."""


def push_synthesis(
    synthesis: Synthesis,
    ws: Tensor,
    tangents: Tensor,
    *,
    noise_mode: NoiseMode = "random",
    noise: Sequence[Tensor] | None = None,
) -> Pushed:
    """Images [N, C, R, R] of ws [N, num_ws, w_dim], and their derivative along tangents of ws, float32 or float64.

    Args:
        synthesis: In eval mode; without differentiation.
        ws: Intermediate latents.
        tangents: Their direction, of the same shape.
        noise_mode: "random" needs `noise`; "const" takes the stored noise; "none" leaves it out.
        noise: Noise of every layer, [N or 1, 1, H, W] each.
    """
    level, fade = int(synthesis.lod), synthesis.lod - int(synthesis.lod)
    last = synthesis.config.num_stages - 1 - level
    styled = synthesis.config.use_styles
    here: Pushed = (ws[:, 0], tangents[:, 0])
    before = here
    for stage in range(last + 1):
        before = here
        for index, layer_noise in synthesis.stage_noise(stage, len(ws), noise_mode, noise):
            layer = synthesis.layers[index]
            assert isinstance(layer, SynthesisLayer)
            latent = (ws[:, index], tangents[:, index]) if styled else (ws[:, 0], tangents[:, 0])
            here = _layer(layer, here, latent, layer_noise)
    images, moved = _to_rgb(synthesis.to_rgb[last], here)
    if fade:
        coarse = [upscale(part) for part in _to_rgb(synthesis.to_rgb[last - 1], before)]
        images, moved = lerp(images, coarse[0], fade), lerp(moved, coarse[1], fade)
    return upscale(images, 2**level), upscale(moved, 2**level)


def _layer(layer: SynthesisLayer, x: Pushed, latent: Pushed, noise: Tensor | None) -> Pushed:
    value, tangent = _source(layer, x, latent)
    if noise is not None and layer.noise_strength is not None:
        value = add_noise(value, noise.to(value.dtype), layer.noise_strength.to(value.dtype))
    value = F.leaky_relu(value, 0.2, inplace=True)
    tangent = torch.ops.aten.leaky_relu_backward(tangent, value, 0.2, True)  # by the sign of the result
    if layer.pixel_norm:
        value, tangent = push_pixel_norm(value, tangent)
    if layer.style is None:
        return _instance_norm(value, tangent) if layer.instance_norm else (value, tangent)
    style, style_tangent = _dense(layer.style, latent)
    if layer.instance_norm:
        return push_instance_norm_style(value, tangent, style, style_tangent)
    (scale, shift), (scale_tangent, shift_tangent) = (
        part[:, :, None, None].chunk(2, dim=1) for part in (style, style_tangent)
    )
    moved = torch.addcmul(shift_tangent + value * scale_tangent, tangent, scale + 1)
    return torch.addcmul(shift, value, scale + 1), moved


def _source(layer: SynthesisLayer, x: Pushed, latent: Pushed) -> Pushed:
    """Constant, dense layer or convolution, and blur: linear up to the bias, which only the value gets."""
    source, early = layer.source, layer.blurs_bias or not layer.blur
    if isinstance(source, SynthesisInput):
        value = source(latent[0], add_bias=early)
        if hasattr(source, "const"):
            tangent = torch.zeros_like(value)
        else:
            tangent = F.linear(latent[1], source.weight * source.scale).reshape(value.shape)
    else:
        value, tangent = source(x[0], add_bias=early), source(x[1])
    if layer.blur:
        value, tangent = blur(value, None if early else source.bias.to(value.dtype)), blur(tangent)
    return value, tangent


def _instance_norm(value: Tensor, tangent: Tensor) -> Pushed:
    plain = value.new_zeros(len(value), 2 * value.shape[1])
    return instance_norm(value), push_instance_norm_style(value, tangent, plain, plain)[1]


def _dense(layer: Dense, x: Pushed) -> Pushed:
    return layer(x[0]), F.linear(x[1], layer.weight * layer.scale)


def _to_rgb(layer: torch.nn.Module, x: Pushed) -> Pushed:
    assert isinstance(layer, Conv)
    return at_least_float32(layer(x[0], add_bias=True)), at_least_float32(layer(x[1]))
