"""Forward derivatives of networks: what becomes of images x and of a direction v at x, in one pass.

Where `torch.func.jvp` runs every operation twice, one after the other, the operations of VGG16 and its like are written
out here for value and tangent together, over memory that is still in the cache. Whatever else a network consists of is
left to `torch.func.jvp`.
"""

import contextlib
import functools
import importlib
import threading
import warnings
from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Precision = Literal["float32", "tf32", "bfloat16"]
Pushed = tuple[Tensor, Tensor]
"""A value and its tangent."""
_ONE_AT_A_TIME = threading.RLock()


def push(module: nn.Module, value: Tensor, tangent: Tensor) -> Pushed:
    """A module's value at `value`, and its derivative along `tangent`."""
    if isinstance(module, nn.Sequential):
        for part in module:
            value, tangent = push(part, value, tangent)
        return value, tangent
    rule = _RULES.get(type(module))
    if rule is None or module._forward_hooks or module._forward_pre_hooks:
        return jvp(module, value, tangent)
    return rule(module, value, tangent)


def has_rule(module: nn.Module) -> bool:
    """Whether all of a module is written out here; torch's forward mode, else taken, lets one thread work at a time."""
    if isinstance(module, nn.Sequential):
        return all(map(has_rule, module))
    return type(module) in _RULES


def jvp(function: Callable[[Tensor], Any], value: Tensor, tangent: Tensor) -> tuple[Any, Any]:
    """The same of any function, by torch's forward-mode differentiation; tuples of tensors become tuples."""
    _load_forward_mode()
    with _ONE_AT_A_TIME:  # torch's forward mode has one state for all threads
        made = torch.func.jvp(function, (value,), (tangent,))
    return made[0], made[1]


@functools.cache
def _load_forward_mode() -> None:
    """Load torch's formulas for forward mode, whose first use warns of a function that torch itself deprecates."""
    with warnings.catch_warnings(), contextlib.suppress(ImportError):
        warnings.simplefilter("ignore", FutureWarning)
        importlib.import_module("torch._decomp.decompositions_for_jvp")


def squared_speed(value: Tensor, tangent: Tensor, weights: Tensor | None) -> Tensor:
    """How fast unit vectors turn, squared, averaged over positions: float32 [N].

    With u = p / |p| at a position with features p and tangents q, du = (q - u (u.q)) / |p|, of which the squares are
    weighted and added over features. p, q [N, C, H, W], weights [C] or None for ones. Positions without any feature
    stand still.
    """
    found = []
    for one, other in zip(value, tangent, strict=True):  # one image at a time stays in the cache
        p, q = (x.permute(1, 2, 0).reshape(-1, x.shape[0]).float() for x in (one, other))
        length = torch.linalg.vecdot(p, p)
        along = torch.linalg.vecdot(p, q) / length.clamp_min(_SMALLEST)
        turned = torch.addcmul(q, p, along[:, None], value=-1).square_()
        each = turned.sum(1) if weights is None else turned @ weights
        found.append((each / (length.sqrt() + _EPSILON).square()).mean())
    return torch.stack(found)


_EPSILON = 1e-10  # LPIPS adds it to lengths
_SMALLEST = torch.finfo(torch.float32).tiny


def _convolution(module: nn.Module, value: Tensor, tangent: Tensor) -> Pushed:
    assert isinstance(module, nn.Conv2d)
    return module(value), module._conv_forward(tangent, module.weight, None)


def _relu(module: nn.Module, value: Tensor, tangent: Tensor) -> Pushed:
    """In one pass each; torch.where takes twenty times as long."""
    value = F.relu(value)
    passed: Tensor = torch.ops.aten.threshold_backward(tangent, value, 0)
    return value, passed


def _max_pool(module: nn.Module, value: Tensor, tangent: Tensor) -> Pushed:
    """The tangent of each window's largest value, fetched as rows of channels: [N, H W, C] as channels_last lies."""
    assert isinstance(module, nn.MaxPool2d)
    how = (module.kernel_size, module.stride, module.padding, module.dilation, module.ceil_mode)
    largest, places = F.max_pool2d(value, *how, return_indices=True)
    rows, wanted = (x.permute(0, 2, 3, 1).reshape(len(x), -1, x.shape[1]) for x in (tangent, places))
    found = rows.gather(1, wanted)
    return largest, found.reshape(len(found), *largest.shape[2:], -1).permute(0, 3, 1, 2)


_RULES: dict[type[nn.Module], Callable[[nn.Module, Tensor, Tensor], Pushed]] = {
    nn.Conv2d: _convolution,
    nn.ReLU: _relu,
    nn.MaxPool2d: _max_pool,
}
