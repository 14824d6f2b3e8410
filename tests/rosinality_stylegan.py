"""Rosinality's port of StyleGAN: states under its names, and images of them by its arithmetic, step by step.

Written from the form of its files and from what its operations are, independently of what reads them.
"""

import math

import torch
import torch.nn.functional as F

FILTER = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
WIDTH = 8


def port_state(maps, *, trained=None, fused_from=128, layers=3, seed=0):
    """A state with these feature maps by resolution; blocks from the `trained`-th on are as they began."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape, mean=0.0, spread=1.0):
        return torch.randn(*shape, generator=draw) * spread + mean

    state = {}
    for number in range(layers):
        state[f"style.{2 * number + 1}.linear.bias"] = normal(WIDTH, spread=0.3)
        state[f"style.{2 * number + 1}.linear.weight_orig"] = normal(WIDTH, WIDTH)
    before = maps[0]
    for stage, count in enumerate(maps):
        fresh = trained is not None and stage >= trained
        spread = 0.0 if fresh else 0.5
        block = f"generator.progression.{stage}"
        if stage == 0:
            state[f"{block}.conv1.input"] = normal(1, count, 4, 4)
        elif 4 << stage >= fused_from:
            state[f"{block}.conv1.0.weight"] = normal(before, count, 3, 3)
            state[f"{block}.conv1.0.bias"] = normal(count, spread=spread)
            state[f"{block}.conv1.1.weight"] = FILTER.repeat(count, 1, 1, 1)
            state[f"{block}.conv1.1.weight_flip"] = FILTER.repeat(count, 1, 1, 1)
        else:
            state[f"{block}.conv1.1.conv.weight_orig"] = normal(count, before, 3, 3)
            state[f"{block}.conv1.1.conv.bias"] = normal(count, spread=spread)
            state[f"{block}.conv1.2.weight"] = FILTER.repeat(count, 1, 1, 1)
            state[f"{block}.conv1.2.weight_flip"] = FILTER.repeat(count, 1, 1, 1)
        state[f"{block}.conv2.conv.weight_orig"] = normal(count, count, 3, 3)
        state[f"{block}.conv2.conv.bias"] = normal(count, spread=spread)
        for part in (1, 2):
            one = torch.cat([torch.ones(count), torch.zeros(count)])
            state[f"{block}.noise{part}.weight_orig"] = normal(1, count, 1, 1, spread=spread)
            state[f"{block}.adain{part}.style.linear.weight_orig"] = normal(2 * count, WIDTH)
            state[f"{block}.adain{part}.style.linear.bias"] = one + normal(2 * count, spread=spread)
        state[f"generator.to_rgb.{stage}.conv.weight_orig"] = normal(3, count, 1, 1)
        state[f"generator.to_rgb.{stage}.conv.bias"] = normal(3, spread=spread)
        before = count
    return state


def port_images(state, z, noise, *, epsilon=1e-5):
    """Images [N, 3, R, R] of z [N, WIDTH] in double precision, one noise image [N or 1, 1, H, H] per resolution."""
    state = {name: tensor.double() for name, tensor in state.items()}
    w = port_styles(state, z)
    x = state["generator.progression.0.conv1.input"].repeat(len(z), 1, 1, 1)
    for stage, image in enumerate(noise):
        block = f"generator.progression.{stage}"
        if stage:
            x = _grown(state, f"{block}.conv1", x)
        x = _finished(state, block, 1, x, w, image.double(), epsilon)
        x = _scaled(state, f"{block}.conv2.conv", x, padding=1)
        x = _finished(state, block, 2, x, w, image.double(), epsilon)
    return _scaled(state, f"generator.to_rgb.{len(noise) - 1}.conv", x)


def port_styles(state, z):
    """Intermediate latents [N, WIDTH] of z [N, WIDTH]."""
    w = z.double()
    w = w / torch.sqrt((w**2).mean(1, keepdim=True) + 1e-8)
    for number in range(len([name for name in state if name.startswith("style.") and name.endswith("bias")])):
        weight, bias = (state[f"style.{2 * number + 1}.linear.{part}"].double() for part in ("weight_orig", "bias"))
        w = F.leaky_relu(w @ (weight * math.sqrt(2 / weight.shape[1])).T + bias, 0.2)
    return w


def _scaled(state, name, x, padding=0):
    weight = state[f"{name}.weight_orig"]
    return F.conv2d(x, weight * math.sqrt(2 / weight[0].numel()), state[f"{name}.bias"], padding=padding)


def _grown(state, name, x):
    if f"{name}.0.weight" in state:
        weight = state[f"{name}.0.weight"]
        weight = weight * math.sqrt(2 / (weight.shape[0] * 9))
        four = torch.zeros(*weight.shape[:2], 4, 4, dtype=weight.dtype)
        for row in (0, 1):
            for column in (0, 1):
                four[:, :, row : row + 3, column : column + 3] += weight / 4
        x = F.conv_transpose2d(x, four, state[f"{name}.0.bias"], stride=2, padding=1)
        kernel = state[f"{name}.1.weight"]
    else:
        x = _scaled(state, f"{name}.1.conv", x.repeat_interleave(2, 2).repeat_interleave(2, 3), padding=1)
        kernel = state[f"{name}.2.weight"]
    return F.conv2d(x, kernel, padding=1, groups=len(kernel))


def _finished(state, block, part, x, w, noise, epsilon):
    strength = state[f"{block}.noise{part}.weight_orig"]
    x = F.leaky_relu(x + strength * math.sqrt(2 / strength.shape[1]) * noise, 0.2)
    x = F.instance_norm(x, eps=epsilon)
    weight, bias = (state[f"{block}.adain{part}.style.linear.{name}"] for name in ("weight_orig", "bias"))
    gamma, beta = (w @ (weight * math.sqrt(2 / weight.shape[1])).T + bias)[:, :, None, None].chunk(2, 1)
    return gamma * x + beta
