"""Does an object fit the generator protocol? It is called on a few latents, and what is wrong is said in words."""

import operator
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from latentlab.errors import LatentLabWarning, UsageError
from latentlab.interop.factories import FAILURES, failure
from latentlab.interop.identity import modules_in
from latentlab.latents import normalize, sample_z
from latentlab.protocols import TO_FLOAT, GeneratorLike, full_precision, has_mapping, synthesize

NUM_LATENTS = 4
WHOLE_NUMBERS = {
    "z_dim": "values in a latent z",
    "w_dim": "values in an intermediate latent w",
    "num_ws": "how many w an image takes; 1 if all layers share one",
    "img_resolution": "height and width of images in pixels",
    "img_channels": "3 for colour, 1 for grey",
}
EQUAL = 1e-5
"""How far two images that should be the same may differ, relative to the largest value: rounding of the last bits."""
ALIKE = 1e-2
"""The same where the batch has another size, for which other kernels may be chosen."""
TOO_LARGE, LARGE = 20.0, 5.0
"""Absolute values that no image in a nominal range of [-1, 1] has, and that few have."""

_CHANGES_IN_TRAINING = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)


@dataclass
class Examination:
    """What was found: `problems` make measurements wrong or impossible, `suspicions` may; `facts` are what it is."""

    problems: list[str] = field(default_factory=list)
    suspicions: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


def check_generator(
    generator: GeneratorLike, *, device: torch.device | str = "cpu", name: str = "the generator"
) -> None:
    """Call a generator on a few latents and see whether it does what the generator protocol says.

    Attributes, shapes, types and ranges; that images are a function of ws under noise_mode="const", that equal ws of
    a batch give equal images (so that their distance is 0), that no row depends on the others, that noise follows
    torch's generator, and that nothing is in training mode (if something is, it is not called, since that may change
    it). What is only suspicious becomes a warning.

    Args:
        generator: In eval mode, on `device`.
        device: Where it computes.
        name: What messages call it.

    Raises:
        UsageError: It does not fit; the message lists everything that is wrong.
    """
    found = examine_generator(generator, device=device)
    if found.problems:
        listed = "\n".join(f"- {problem}" for problem in found.problems)
        raise UsageError(f"{name} cannot be measured as it is:\n{listed}")
    for suspicion in found.suspicions:
        warnings.warn(f"{name}: {suspicion}", LatentLabWarning, stacklevel=2)


def examine_generator(generator: GeneratorLike, *, device: torch.device | str = "cpu") -> Examination:
    """What `check_generator` looks at, as lists; raises nothing."""
    found, device = Examination(), torch.device(device)
    usable = _has_attributes(found, generator)
    if _checked_modes(found, modules_in(generator)) and usable:
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), torch.inference_mode(), full_precision():
            _look(found, generator, device)
    return found


def _look(found: Examination, generator: GeneratorLike, device: torch.device) -> None:
    ws = _check_mapping(found, generator, device)
    if ws is None:
        return
    images = _check_images(found, generator, ws)
    if images is None:
        return
    _check_repeatable(found, generator, ws, images)
    if images.is_floating_point() and images.shape[1:] == (
        generator.img_channels,
        generator.img_resolution,
        generator.img_resolution,
    ):
        _check_noise(found, generator, ws)


# --------------------------------------------------------------------------------------------------- attributes


def _has_attributes(found: Examination, generator: GeneratorLike) -> bool:
    """Note what is missing or of another type; whether enough is there to call mapping and synthesis."""
    for name, meaning in WHOLE_NUMBERS.items():
        _check_whole_number(found, generator, name, meaning)
    for name, form in (
        ("mapping", "z [N, z_dim] -> ws [N, num_ws, w_dim]"),
        ("synthesis", "ws [N, num_ws, w_dim], noise_mode -> images [N, C, H, H]"),
    ):
        if not callable(getattr(generator, name, None)):
            found.problems.append(f"it has no function {name}({form})")
    if found.problems and isinstance(generator, nn.Module):
        found.problems.append("a plain nn.Module becomes a generator by latentlab.wrap_generator(synthesis=..., ...)")
    usable = not found.problems
    if usable:
        found.facts |= {name: int(getattr(generator, name)) for name in WHOLE_NUMBERS}
        found.facts["has_mapping"] = has_mapping(generator)
        if generator.img_channels not in (1, 3):
            found.problems.append(f"img_channels is {generator.img_channels}: images have 1 channel or 3")
        _check_w_avg(found, generator)
    return usable


def _check_whole_number(found: Examination, generator: GeneratorLike, name: str, meaning: str) -> None:
    if not hasattr(generator, name):
        found.problems.append(f"it has no attribute {name} ({meaning})")
        return
    value = getattr(generator, name)
    try:
        valid = not isinstance(value, bool) and operator.index(value) > 0
    except TypeError:
        valid = False
    if not valid:
        found.problems.append(f"{name} is {value!r}: expected a whole number above 0 ({meaning})")


def _check_w_avg(found: Examination, generator: GeneratorLike) -> None:
    mean = "the mean of w over many z, for truncation"
    if not hasattr(generator, "w_avg"):
        found.problems.append(f"it has no attribute w_avg, a tensor [{generator.w_dim}]: {mean}")
        return
    try:
        values = torch.as_tensor(generator.w_avg)
    except FAILURES:
        found.problems.append(f"w_avg is a {type(generator.w_avg).__name__}: expected a tensor, {mean}")
        return
    if values.shape != (generator.w_dim,):
        found.problems.append(f"w_avg has the shape {list(values.shape)}: expected [{generator.w_dim}], {mean}")
    elif not values.isfinite().all():
        found.problems.append("w_avg has values that are not finite")


# ------------------------------------------------------------------------------------------------------ mapping


def _check_mapping(found: Examination, generator: GeneratorLike, device: torch.device) -> Tensor | None:
    """ws of a few latents, or None if synthesis could do nothing with them."""
    z = sample_z(0, slice(0, NUM_LATENTS), generator.z_dim, stream="check").to(device)
    ws = _called(found, f"mapping(z {list(z.shape)})", lambda: generator.mapping(z))
    if ws is None:
        return None
    expected = [NUM_LATENTS, generator.num_ws, generator.w_dim]
    if list(ws.shape) != expected or not ws.is_floating_point():
        found.problems.append(
            f"mapping gives {_kind(ws)}: expected float32 {expected}, [N, num_ws, w_dim]"
            + (". Repeat w with w[:, None].repeat(1, num_ws, 1), or use wrap_generator, which does" * (ws.ndim == 2))
        )
        return None
    if not ws.isfinite().all():
        found.problems.append("mapping gives values that are not finite (NaN or infinity)")
        return None
    again = _called(found, "mapping, called again,", lambda: generator.mapping(z))
    if again is not None and not _close(ws, again, EQUAL):
        found.problems.append("mapping gives other ws for the same z when it is called again (dropout?)")
    alone = _called(found, "mapping of a single z", lambda: generator.mapping(z[:1]))
    if alone is not None and not _close(ws[:1], alone, ALIKE):
        found.problems.append("mapping gives a z another w in another batch (batch norm in training mode?)")
    _suspect_mapping(found, generator, z, ws)
    return ws


def _suspect_mapping(found: Examination, generator: GeneratorLike, z: Tensor, ws: Tensor) -> None:
    longer = _called(found, "mapping of longer z", lambda: generator.mapping(z * 2))
    if not hasattr(generator, "normalizes_z") and longer is not None and not _close(ws, longer, ALIKE):
        found.suspicions.append(
            "its mapping does not normalise z, and paths in Z run over z of length 1 unless it has the attribute "
            "normalizes_z = False: set it (wrap_generator does)"
        )
    copies = {"z": z, "normalised z": normalize(z) * generator.z_dim**0.5}
    if has_mapping(generator) and generator.z_dim == generator.w_dim:
        for name, copy in copies.items():
            if _close(ws, copy[:, None].expand_as(ws), EQUAL):
                found.suspicions.append(f"its w is {name}: set has_mapping = False, so that results say so")
                return


# ------------------------------------------------------------------------------------------------------- images


def _check_images(found: Examination, generator: GeneratorLike, ws: Tensor) -> Tensor | None:
    """Images of a few ws, or None if there are none that can be looked at further."""
    shown = f"synthesis(ws {list(ws.shape)}, noise_mode='const')"
    images = _called(found, shown, lambda: generator.synthesis(ws, noise_mode="const"))
    if images is None:
        return None
    size, channels = generator.img_resolution, generator.img_channels
    expected = [len(ws), channels, size, size]
    if list(images.shape) != expected:
        found.problems.append(f"synthesis gives {_kind(images)}: expected {expected}, [N, C, H, H]{_layout(images)}")
    if not images.is_floating_point():
        found.problems.append(f"images are {_type(images)}: {TO_FLOAT}")
    elif images.dtype in (torch.float16, torch.bfloat16):
        found.suspicions.append(
            f"images are {_type(images)}: path lengths divide tiny differences of images by epsilon squared: compute "
            "in float32"
        )
    if images.requires_grad:
        found.problems.append("synthesis turns gradients on by itself: memory would run out; leave that to the caller")
    if images.device != ws.device:
        found.problems.append(f"images are on {images.device}, ws on {ws.device}: give images on the device of ws")
    if images.ndim < 2 or len(images) != len(ws) or images.is_complex():
        return None
    _check_values(found, images.float(), integers=not images.is_floating_point())
    return images


def _check_values(found: Examination, images: Tensor, *, integers: bool) -> None:
    if not images.isfinite().all():
        share = 1 - images.isfinite().float().mean().item()
        found.problems.append(f"images have values that are not finite (NaN or infinity): {share:.1%} of them")
        return
    low, high = images.min().item(), images.max().item()
    found.facts["image_range"] = [low, high]
    if integers:
        return
    values = f"values of images lie between {low:.3g} and {high:.3g}"
    if max(-low, high) > TOO_LARGE:
        found.problems.append(f"{values}, and nominally in [-1, 1]: {TO_FLOAT}")
    elif low >= 0 and high <= 1:
        found.suspicions.append(f"all {values}; if 0 is black, return images * 2 - 1, so that black is -1")
    elif max(-low, high) > LARGE:
        found.suspicions.append(f"{values}, and nominally in [-1, 1]")
    if _close(images, images[:1].expand_as(images), EQUAL):
        found.suspicions.append("all images are the same: synthesis does not depend on ws")


def _layout(images: Tensor) -> str:
    if images.ndim == 4 and images.shape[1] == images.shape[2] and images.shape[3] in (1, 3):
        return ". Put channels first: images.permute(0, 3, 1, 2)"
    if images.ndim == 4 and images.shape[2] != images.shape[3]:
        return ". Images must be square: crop or pad them"
    return ", as img_channels and img_resolution say" if images.ndim == 4 else ""


# ------------------------------------------------------------------------------------ a function of ws and noise


def _check_repeatable(found: Examination, generator: GeneratorLike, ws: Tensor, images: Tensor) -> None:
    def const(some: Tensor) -> Callable[[], Tensor]:
        return lambda: generator.synthesis(some, noise_mode="const")

    again = _called(found, "synthesis, called again,", const(ws))
    if again is not None and not _close(images, again, EQUAL):
        found.problems.append(
            'under noise_mode="const" the same ws give other images when synthesis is called again: dropout or noise '
            "that noise_mode does not turn off"
        )
        return
    twice = _called(found, "synthesis of a batch twice as large", const(torch.cat([ws, ws])))
    if twice is not None and not _close(twice[: len(ws)], twice[len(ws) :], EQUAL):
        found.problems.append(
            'under noise_mode="const" equal ws in one batch give different images, so the distance of an image to '
            "itself would not be 0: use the same noise for all images of a batch"
        )
        return
    alone = _called(found, "synthesis of a single ws", const(ws[:1]))
    if alone is not None and not _close(images[:1], alone, ALIKE):
        found.problems.append(
            "an image depends on the other images of its batch: batch norm in training mode (call .eval()) or "
            "statistics over the batch"
        )


def _check_noise(found: Examination, generator: GeneratorLike, ws: Tensor) -> None:
    """Noise as measurements draw it: shared by the views of a row, the same again under the same seed."""

    def drawn(seed: int, mode: Literal["random", "none"] = "random") -> list[Tensor]:
        return synthesize(generator, [ws, ws], rows=slice(0, len(ws)), seed=seed, noise_mode=mode)

    try:
        first, second = drawn(0)
        again, other = drawn(0)[0], drawn(1)[0]
    except FAILURES as error:
        found.problems.append(f'synthesis fails under noise_mode="random": {failure(error)}')
        return
    if not _close(first, again, EQUAL):
        found.problems.append(
            "images under the same seed differ: noise must come from torch's global generator (torch.randn, "
            "torch.randn_like), not from NumPy or a generator of its own, so that samples can be repeated"
        )
    elif not _close(first, second, EQUAL):
        found.problems.append("two equal ws under the same noise give different images")
    found.facts["noise"] = not _close(first, other, EQUAL)
    try:
        drawn(0, "none")
        found.facts["noise_modes"] = ["random", "const", "none"]
    except FAILURES:
        found.facts["noise_modes"] = ["random", "const"]


# ------------------------------------------------------------------------------------------------------- modules


def _checked_modes(found: Examination, modules: list[nn.Module]) -> bool:
    """Note modules in training mode: wrong where dropout or batch norm is among them, which a call might change."""
    found.facts["parameters"] = sum(parameter.numel() for module in modules for parameter in module.parameters())
    wrong = training_problem(modules)
    if wrong:
        found.problems.append(wrong)
    elif any(module.training for module in modules):
        found.suspicions.append("its network is in training mode: call .eval() on it")
    return not wrong


def training_problem(modules: list[nn.Module]) -> str:
    """Dropout and batch norm layers in training mode, named, and what to do; empty if there are none."""
    layers = [name for module in modules for name in _training_layers(module)]
    more = f" and {len(layers) - 5} more" if len(layers) > 5 else ""
    return f"{', '.join(layers[:5])}{more}: in training mode; call .eval() on the network" if layers else ""


def _training_layers(module: nn.Module) -> Iterator[str]:
    for name, layer in module.named_modules():
        if layer.training and isinstance(layer, _CHANGES_IN_TRAINING):
            yield f"{name or 'the module'} ({type(layer).__name__})"


# ------------------------------------------------------------------------------------------------------- helpers


def _called(found: Examination, what: str, function: Callable[[], Any]) -> Tensor | None:
    """The tensor that a call gives; otherwise None, and the reason among the problems."""
    try:
        result = function()
    except FAILURES as error:
        found.problems.append(f"{what} failed: {failure(error)}{_advice(error)}")
        return None
    if isinstance(result, Tensor):
        return result
    first = " Return its image tensor alone." if isinstance(result, tuple | list | dict) else ""
    found.problems.append(f"{what} gives a {type(result).__name__}, not a tensor.{first}")
    return None


def _advice(error: BaseException) -> str:
    if isinstance(error, TypeError) and "noise_mode" in str(error):
        return ". Add a parameter noise_mode, or use wrap_generator, which needs none"
    return ""


def _close(a: Tensor, b: Tensor, tolerance: float) -> bool:
    """Whether two tensors of one shape differ by no more than a share of the largest value; NaN equals NaN."""
    if a.shape != b.shape:
        return False
    a, b = a.float(), b.float()
    largest = max(a.nan_to_num().abs().max().item(), b.nan_to_num().abs().max().item(), 1e-6)
    return torch.allclose(a, b, rtol=0, atol=tolerance * largest, equal_nan=True)


def _kind(tensor: Tensor) -> str:
    return f"{_type(tensor)} {list(tensor.shape)}"


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
