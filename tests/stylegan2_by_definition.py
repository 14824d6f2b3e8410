"""StyleGAN2's networks written out as they are defined, image by image and zero by zero, to be compared with.

Everything is a function of a state dictionary and a record of settings, in the precision of the tensors.
"""

import math

import torch
import torch.nn.functional as F

ACTIVATIONS = {
    "linear": (lambda x: x, 1),
    "relu": (torch.relu, math.sqrt(2)),
    "lrelu": (lambda x: torch.where(x > 0, x, 0.2 * x), math.sqrt(2)),
    "swish": (lambda x: x * torch.sigmoid(x), math.sqrt(2)),
    "tanh": (torch.tanh, 1),
}


def fir(x, taps, *, up=1, down=1, before, after):
    """Zeros after every pixel, zeros around, a true convolution, every down-th pixel; grown images keep their mean."""
    line = torch.tensor(taps, dtype=x.dtype)
    kernel = torch.outer(line, line) / line.sum() ** 2
    count, channels, height, width = x.shape
    grown = x.new_zeros(count, channels, height * up, width * up)
    grown[:, :, ::up, ::up] = x
    grown = F.pad(grown, (before, after, before, after))
    pixels = grown.reshape(-1, 1, *grown.shape[2:])
    filtered = F.conv2d(pixels, kernel.flip((0, 1))[None, None]) * up**2
    return filtered.reshape(count, channels, *filtered.shape[2:])[:, :, ::down, ::down]


def dense(x, state, name, lr=1.0):
    weight = state[f"{name}.weight"]
    return x @ weight.T * (lr / math.sqrt(weight.shape[1])) + state[f"{name}.bias"] * lr


def activated(x, kind, *, gain=1.0, clamp=None):
    function, own = ACTIVATIONS[kind]
    x = function(x) * own * gain
    return x if clamp is None else x.clamp(-clamp * gain, clamp * gain)


def mapped(state, settings, z, labels=None, *, prefix="mapping."):
    """z [N, z_dim] or None, and labels -> w [N, w_dim]."""
    parts = [] if z is None else [z]
    if labels is not None:
        parts.append(dense(labels, state, f"{prefix}embed"))
    x = torch.cat([part / (part.square().mean(dim=1, keepdim=True) + 1e-8).sqrt() for part in parts], dim=1)
    for index in range(settings.num_layers):
        x = activated(dense(x, state, f"{prefix}fc{index}", settings.lr_multiplier), settings.activation)
    return x


def layer(state, name, x, w, noise, settings, *, up=1, gain=1.0):
    """A modulated convolution with weights of each image's own, noise, bias and activation."""
    styles, made = dense(w, state, f"{name}.affine"), []
    for image, style in zip(x, styles, strict=True):
        weight = state[f"{name}.weight"] * style[None, :, None, None]
        weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if up == 2:
            reach = len(settings.resample_filter)
            before, after = (reach + 1) // 2 + 1, (reach - 2) // 2 + 1
            grown = fir(image[None], settings.resample_filter, up=2, before=before, after=after)
            made.append(F.conv2d(grown, weight.flip((2, 3))))
        else:
            made.append(F.conv2d(image[None], weight, padding=1))
    x = torch.cat(made)
    if noise is not None:
        x = x + noise * state[f"{name}.noise_strength"]
    x = x + state[f"{name}.bias"][:, None, None]
    return activated(x, settings.activation, gain=gain, clamp=settings.conv_clamp)


def colours(state, name, x, w, clamp):
    weight = state[f"{name}.weight"]
    styles = dense(w, state, f"{name}.affine") / math.sqrt(weight.shape[1])
    x = F.conv2d(x * styles[:, :, None, None], weight, state[f"{name}.bias"])
    return x if clamp is None else x.clamp(-clamp, clamp)


def images(state, config, ws, noise=None):
    """ws [N, num_ws, w_dim], noise of each layer [N or 1, 1, H, W] -> images."""
    settings, taps = config.synthesis_kwargs, config.synthesis_kwargs.resample_filter
    noise = iter(noise or [None] * config.num_ws)
    before, after = (len(taps) + 1) // 2, (len(taps) - 2) // 2
    x = state["synthesis.b4.const"].expand(len(ws), -1, -1, -1)
    image, row = None, 0
    for size in config.resolutions:
        name = f"synthesis.b{size}"
        came_in, residual = x, settings.architecture == "resnet" and size > 4
        if size > 4:
            x = layer(state, f"{name}.conv0", x, ws[:, row], next(noise), settings, up=2)
            row += 1
        gain = math.sqrt(0.5) if residual else 1.0
        x = layer(state, f"{name}.conv1", x, ws[:, row], next(noise), settings, gain=gain)
        row += 1
        if residual:
            weight = state[f"{name}.skip.weight"]
            skipped = F.conv2d(came_in, weight / math.sqrt(weight.shape[1]))
            x = x + fir(skipped, taps, up=2, before=before, after=after) * gain
        if image is not None:
            image = fir(image, taps, up=2, before=before, after=after)
        if settings.architecture == "skip" or size == config.img_resolution:
            new = colours(state, f"{name}.torgb", x, ws[:, row], settings.conv_clamp)
            image = new if image is None else image + new
    return image


def convolved(state, name, x, kind, *, gain=1.0, clamp=None, stride=1):
    weight = state[f"{name}.weight"]
    size = weight.shape[-1]
    padding = size // 2 if stride == 1 else 0
    x = F.conv2d(x, weight / math.sqrt(weight.shape[1] * size**2), stride=stride, padding=padding)
    if f"{name}.bias" in state:
        x = x + state[f"{name}.bias"][:, None, None]
    return activated(x, kind, gain=gain, clamp=clamp)


def scores(state, config, image, labels=None):
    """Images [N, C, R, R] -> [N, 1]."""
    kind, clamp, taps = config.block_kwargs.activation, config.conv_clamp, config.block_kwargs.resample_filter
    before, after = (len(taps) - 1) // 2, (len(taps) - 2) // 2
    x = None
    for size in config.resolutions[:-1]:
        name = f"b{size}"
        if f"{name}.fromrgb.weight" in state:
            entered = convolved(state, f"{name}.fromrgb", image, kind, clamp=clamp)
            x = entered if x is None else x + entered
        inside = convolved(state, f"{name}.conv0", x, kind, clamp=clamp)
        inside = fir(inside, taps, before=before + 1, after=after + 1)
        gain = math.sqrt(0.5) if config.architecture == "resnet" else 1.0
        inside = convolved(state, f"{name}.conv1", inside, kind, gain=gain, clamp=clamp, stride=2)
        if config.architecture == "resnet":
            shrunk = fir(x, taps, down=2, before=before, after=after)
            inside = inside + convolved(state, f"{name}.skip", shrunk, "linear", gain=gain)
        x = inside
        image = fir(image, taps, down=2, before=before, after=after)
    return _ended(state, config, x, image, labels)


def _ended(state, config, x, image, labels):
    settings = config.epilogue_kwargs
    kind, slices = settings.activation, settings.mbstd_num_channels
    if config.architecture == "skip":
        x = x + convolved(state, "b4.fromrgb", image, kind)
    count, channels = x.shape[:2]
    if slices:
        size = count if settings.mbstd_group_size is None else min(settings.mbstd_group_size, count)
        extra = x.new_zeros(count, slices, 4, 4)
        for group in range(count // size):
            members = list(range(group, count, count // size))
            deviation = (x[members].var(dim=0, correction=0) + 1e-8).sqrt()
            extra[members] = deviation.reshape(slices, channels // slices, 16).mean(dim=(1, 2))[:, None, None]
        x = torch.cat([x, extra], dim=1)
    x = convolved(state, "b4.conv", x, kind, clamp=config.conv_clamp)
    x = activated(dense(x.flatten(1), state, "b4.fc"), kind)
    x = dense(x, state, "b4.out")
    if labels is None:
        return x
    cmap = mapped(state, config.mapping_kwargs, None, labels)
    return (x * cmap).sum(dim=1, keepdim=True) / math.sqrt(cmap.shape[1])
