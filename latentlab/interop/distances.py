"""Distances between images of someone else's: functions, modules and factories, checked."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from latentlab.errors import UsageError
from latentlab.interop.factories import FAILURES, failure, find, make, moved
from latentlab.interop.generator_checks import training_problem
from latentlab.interop.identity import combined_sha256, content_sha256, device_of, modules_in, source_sha256

_NAMELESS = "distance"
PROBED_SIZE = 64
_SMALL, _NEAR = 0.01, 1e-3  # steps


class WrappedDistance:
    """Any function of two batches of images as a distance.

    Attributes:
        name, sha256: Who it is, for provenance.
        min_size: Smallest width it takes.
    """

    def __init__(self, function: Callable[[Tensor, Tensor], Any], *, name: str, sha256: str, min_size: int) -> None:
        self.function, self.name, self.sha256, self.min_size = function, name, sha256, min_size
        speed = getattr(function, "speed", None)
        if callable(speed):
            self.speed = speed
        self.thread_safe = bool(getattr(function, "thread_safe", False))
        self.speed_thread_safe = bool(getattr(function, "speed_thread_safe", False))

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances [N] of two batches of images [N, C, H, W].

        Raises:
            UsageError: The function fails, or gives something else than one number per image.
        """
        try:
            found = self.function(a, b)
        except FAILURES as error:
            raise UsageError(f"the distance {self.name} failed: {failure(error)}") from error
        if not isinstance(found, torch.Tensor) or found.numel() != len(a) or len(found) != len(a):
            form = f"a tensor {list(found.shape)}" if isinstance(found, torch.Tensor) else type(found).__name__
            raise UsageError(
                f"the distance {self.name} gave {form} for {len(a)} pairs of images; it must give one number per pair, "
                f"[{len(a)}] or [{len(a)}, 1, 1, 1]: no mean over the batch."
            )
        return found.reshape(len(a)).float()


def wrap_distance(
    function: Callable[[Tensor, Tensor], Any],
    *,
    name: str | None = None,
    sha256: str | None = None,
    min_size: int = 1,
    channels: int = 3,
    device: torch.device | str | None = None,
) -> WrappedDistance:
    """Make a distance of a function or an nn.Module in eval mode, and check it.

    Args:
        function: Two batches of images [N, C, H, W], nominally in [-1, 1] -> distances [N], quadratic for small
            differences (a square: d(x, x + e v) falls by 4 when e is halved). With a method `speed(images, directions,
            *, precision)` (`latentlab.perceptual.Distance`) it serves the tangent method, too.
        name: For protocols; the function's or class's name if left out.
        sha256: What tells it from others; a hash of all parameters and buffers that it holds, and of the file that
            defines it, if left out.
        min_size: Smallest width of images it takes.
        channels: Of the images it is tried on.
        device: Where it computes; where its first parameter is if left out.

    Raises:
        UsageError: It cannot be called, is in training mode, gives another form, is not 0 between equal images, or is
            not quadratic for small differences.
    """
    if not callable(function):
        raise UsageError(f"wrap_distance: {type(function).__name__} given; expected a function or module.")
    name = name or str(getattr(function, "__name__", type(function).__name__)).replace("<lambda>", _NAMELESS)
    sha256 = sha256 or combined_sha256(content_sha256(function, source=function), source_sha256(function))
    distance = WrappedDistance(function, name=name, sha256=sha256, min_size=min_size)
    _check(distance, channels=channels, device=torch.device(device or device_of(function)))
    return distance


def load_user_distance(spec: str, *, device: torch.device | str = "cpu", channels: int = 3) -> WrappedDistance:
    """The distance that the factory `package.module:factory` makes, on a device.

    Raises:
        UsageError: The factory fails, or what it returns is no distance (`wrap_distance`).
    """
    made = moved(make(spec), spec, torch.device(device))
    source = source_sha256(find(spec))  # weights do not tell what is done with them
    if isinstance(made, WrappedDistance):
        made.name = spec if made.name == _NAMELESS else made.name
        made.sha256 = combined_sha256(made.sha256, source)
        return made
    return wrap_distance(
        made,
        name=str(getattr(made, "name", None) or spec),
        sha256=getattr(made, "sha256", None) or combined_sha256(content_sha256(made, source=find(spec)), source),
        min_size=int(getattr(made, "min_size", 1)),
        channels=channels,
        device=device,
    )


def _check(distance: WrappedDistance, *, channels: int, device: torch.device) -> None:
    training = training_problem(modules_in(distance.function))
    if training:
        raise UsageError(f"the distance {distance.name}: {training}")
    generator, size = torch.Generator().manual_seed(0), max(PROBED_SIZE, distance.min_size)
    images, step = torch.rand(2, 2, channels, size, size, generator=generator).to(device) * 2 - 1
    with torch.no_grad():
        zero, half, whole = (distance(images, images + e * step) for e in (0.0, _SMALL / 2, _SMALL))
    if not bool((zero.abs() <= 1e-12).all()):
        raise UsageError(
            f"the distance {distance.name} between equal images is {float(zero.abs().max()):g}; it must be 0: is its "
            "network random, or in training mode?"
        )
    ratio = float((whole / half).mean())
    if not 3 < ratio < 5:
        raise UsageError(
            f"the distance {distance.name} grows by the factor {ratio:.3g} when a small difference is doubled; a path "
            "length needs a squared distance, which grows by 4: return its square."
        )
    if hasattr(distance, "speed"):
        _check_speed(distance, images, step)


def _check_speed(distance: WrappedDistance, images: Tensor, step: Tensor) -> None:
    """`speed` must be what small steps tend to, one number per image."""
    with torch.no_grad():
        found = distance.speed(images, step, precision="float32")
        near = distance(images, images + _NEAR * step) / _NEAR**2
    if not isinstance(found, torch.Tensor) or found.shape != near.shape:
        form = list(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
        raise UsageError(f"speed of the distance {distance.name} gave {form}; it must be one number per image, [N].")
    if not torch.allclose(found.float(), near, rtol=0.2):
        raise UsageError(
            f"speed of the distance {distance.name} gave {found.tolist()}, where a small step gives {near.tolist()}: "
            "it must be the limit of d(x, x + e v) / e^2."
        )
