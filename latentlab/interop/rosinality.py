"""StyleGAN2 checkpoints of the widely used PyTorch port by Rosinality (`.pt`), as a StyleGAN2 generator.

Its layers are StyleGAN2's under other names; what differs is where a scale stands: convolutions that are demodulated
are scaled by 1 / sqrt(fan-in) before that, which matters only through the demodulation's epsilon.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from latentlab.errors import CheckpointError
from latentlab.interop.generators import average_w
from latentlab.interop.state_dicts import assigned, check_plain
from latentlab.stylegan2 import Generator, GeneratorConfig, official_generator_config

AVERAGED, AVERAGE_LATENT = "g_ema", "latent_avg"
_TAPS = (1, 3, 3, 1)
_TELLING = ("style.1.weight", "input.input", "conv1.conv.weight", "to_rgb1.conv.modulation.weight", "to_rgb1.bias")


def is_rosinality(checkpoint: Any) -> bool:
    """Whether an object from a `.pt` file has the names of this port's StyleGAN2, under `g_ema`, `g`, or at the top."""
    return any(_looks_so(state) for state in _candidates(checkpoint))


def generator_from_checkpoint(checkpoint: Mapping[str, Any]) -> Generator:
    """The averaged generator (`g_ema`; `g` where there is none) in eval mode.

    Noise images that a file lacks are drawn. `latent_avg` becomes w_avg; where it is missing, as in checkpoints of a
    training, w_avg is the mean of w over 10,000 z.

    Raises:
        CheckpointError: The names are others, or tensors are missing, superfluous, of another shape or NaN.
    """
    state = next((candidate for candidate in _candidates(checkpoint) if _looks_so(candidate)), None)
    if state is None:
        raise CheckpointError(
            f"no StyleGAN2 generator of this port: {', '.join(_TELLING)} are not all in {AVERAGED}, g or at the top."
        )
    average = checkpoint.get(AVERAGE_LATENT)
    _check_tensors({**state, AVERAGE_LATENT: average} if isinstance(average, Tensor) else state)
    config = _config(state)
    names = dict(_names(config))
    known = {theirs for theirs, _ in names.values()}
    superfluous = sorted(name for name in state if name not in known and not _is_filter(name))
    if superfluous:
        raise CheckpointError(f"tensors that this port's StyleGAN2 does not have: {', '.join(superfluous[:5])}.")
    _check_filters(state)
    made = {own: _converted(state[theirs], how) for own, (theirs, how) in names.items() if theirs in state}
    if not any(name.startswith("noises.") for name in state):  # early files have none: the port drew them when it began
        drawn = torch.Generator().manual_seed(0)
        sizes = (2 ** ((number + 5) // 2) for number in range(2 * len(config.resolutions) - 1))
        noises = [torch.randn(size, size, generator=drawn) for size in sizes]
        made |= dict(zip((own for own in names if own.endswith("noise_const")), noises, strict=True))
    made["mapping.w_avg"] = average.reshape(-1).float() if isinstance(average, Tensor) else torch.zeros(config.w_dim)
    generator = assigned(lambda: Generator(config), made, {own: theirs for own, (theirs, _) in names.items()})
    if not isinstance(average, Tensor):
        with torch.inference_mode():
            generator.w_avg = average_w(generator, torch.device("cpu"))
    return generator


def _candidates(checkpoint: Any) -> Iterator[Mapping[str, Tensor]]:
    if isinstance(checkpoint, Mapping):
        for key in (AVERAGED, "g"):
            if isinstance(checkpoint.get(key), Mapping):
                yield checkpoint[key]
        yield checkpoint


def _looks_so(state: Mapping[str, Any]) -> bool:
    return all(isinstance(state.get(name), Tensor) for name in _TELLING)


def _check_tensors(state: Mapping[Any, Any]) -> None:
    """Refuse what is no plain tensor under a name, or has another number of axes than settings are read from.

    Raises:
        CheckpointError: naming the first.
    """
    check_plain(state)
    axes = {"style.1.weight": 2, "input.input": 4, "conv1.conv.weight": 5, "to_rgb1.bias": 4}
    for name, tensor in state.items():
        wanted = axes.get(name, 5 if name.startswith("convs.") and name.endswith(".conv.weight") else tensor.ndim)
        if tensor.ndim != wanted:
            raise CheckpointError(f"{name} has the shape {list(tensor.shape)}, where {wanted} axes are expected.")


def _config(state: Mapping[str, Tensor]) -> GeneratorConfig:
    """Settings read from the shapes.

    Raises:
        CheckpointError: The numbers of feature maps are none that StyleGAN2's settings can say.
    """
    layers = len([name for name in state if re.fullmatch(r"style\.\d+\.weight", name)])
    blocks = len([name for name in state if re.fullmatch(r"to_rgbs\.\d+\.bias", name)])
    maps = {4: state["conv1.conv.weight"].shape[1]}
    for block in range(blocks):
        weight = state.get(f"convs.{2 * block + 1}.conv.weight")
        if weight is None:
            raise CheckpointError(f"the tensor convs.{2 * block + 1}.conv.weight is missing.")
        maps[8 * 2**block] = weight.shape[1]
    most = max(maps.values())
    below = [resolution * count for resolution, count in maps.items() if count < most]
    base = below[-1] if below else most * max(maps)
    if any(count != min(base // resolution, most) for resolution, count in maps.items()):
        listed = ", ".join(f"{count} at {resolution}" for resolution, count in maps.items())
        raise CheckpointError(f"feature maps ({listed} pixels) that StyleGAN2's settings cannot say.")
    weight = state["style.1.weight"]
    fields = {
        "z_dim": weight.shape[1],
        "w_dim": weight.shape[0],
        "img_resolution": max(maps),
        "img_channels": state["to_rgb1.bias"].shape[1],
        "mapping_kwargs": {"num_layers": layers},
        "synthesis_kwargs": {"channel_base": base, "channel_max": most, "resample_filter": _TAPS},
    }
    return official_generator_config(fields, "stylegan2-ada-pytorch")


def _names(config: GeneratorConfig) -> Iterator[tuple[str, tuple[str, str]]]:
    """Our state's names, each with this port's and how the tensor is brought into our form."""
    for number in range(config.mapping_kwargs.num_layers):
        yield f"mapping.fc{number}.weight", (f"style.{number + 1}.weight", "")
        yield f"mapping.fc{number}.bias", (f"style.{number + 1}.bias", "")
    yield "synthesis.b4.const", ("input.input", "first")
    yield from _layer("synthesis.b4.conv1", "conv1", noise=0)
    yield from _colours("synthesis.b4.torgb", "to_rgb1")
    for number, resolution in enumerate(config.resolutions[1:]):
        own = f"synthesis.b{resolution}"
        yield from _layer(f"{own}.conv0", f"convs.{2 * number}", noise=2 * number + 1)
        yield from _layer(f"{own}.conv1", f"convs.{2 * number + 1}", noise=2 * number + 2)
        yield from _colours(f"{own}.torgb", f"to_rgbs.{number}")


def _layer(own: str, theirs: str, *, noise: int) -> Iterator[tuple[str, tuple[str, str]]]:
    yield f"{own}.weight", (f"{theirs}.conv.weight", "scaled")
    yield f"{own}.affine.weight", (f"{theirs}.conv.modulation.weight", "")
    yield f"{own}.affine.bias", (f"{theirs}.conv.modulation.bias", "")
    yield f"{own}.noise_strength", (f"{theirs}.noise.weight", "scalar")
    yield f"{own}.noise_const", (f"noises.noise_{noise}", "plane")
    yield f"{own}.bias", (f"{theirs}.activate.bias", "")


def _colours(own: str, theirs: str) -> Iterator[tuple[str, tuple[str, str]]]:
    yield f"{own}.weight", (f"{theirs}.conv.weight", "first")
    yield f"{own}.affine.weight", (f"{theirs}.conv.modulation.weight", "")
    yield f"{own}.affine.bias", (f"{theirs}.conv.modulation.bias", "")
    yield f"{own}.bias", (f"{theirs}.bias", "flat")


def _is_filter(name: str) -> bool:
    return name.endswith((".blur.kernel", ".upsample.kernel"))


def _check_filters(state: Mapping[str, Tensor]) -> None:
    """Refuse filters other than (1, 3, 3, 1), which this port allows and its names do not tell."""
    line = torch.tensor(_TAPS, dtype=torch.float32)
    plane = line[:, None] * line
    for name in filter(_is_filter, state):
        kernel = state[name].float()
        if kernel.shape != plane.shape or not torch.allclose(kernel / kernel.sum(), plane / plane.sum(), atol=1e-5):
            raise CheckpointError(f"{name} is another filter than (1, 3, 3, 1), which is not supported here.")


def _converted(tensor: Tensor, how: str) -> Tensor:
    """A tensor in our form; as it is where its number of axes does not allow that, which `assigned` names."""
    tensor = tensor.detach().float()
    if how == "first" and tensor.ndim:
        return tensor[0]
    if how == "scaled" and tensor.ndim == 5:
        return tensor[0] / math.sqrt(tensor[0, 0].numel())
    if how == "plane" and tensor.ndim == 4:
        return tensor[0, 0]
    if how == "scalar" and tensor.numel() == 1:
        return tensor.reshape(())
    return tensor.reshape(-1) if how == "flat" else tensor
