"""Which weights an object of a user's computes with: its nn.Modules, wherever it holds them, and their hash."""

import functools
import hashlib
import inspect
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import nn

from latentlab.files import file_sha256

UNKNOWN = "unknown"
_DEPTH = 8
_INSTALLED = ("purelib", "platlib", "stdlib", "platstdlib")


def modules_in(*values: Any) -> list[nn.Module]:
    """The nn.Modules that objects are or hold: in attributes, containers, closures, and globals that functions use."""
    seen: set[int] = set()
    return [module for value in values for module in _walk(value, seen, _DEPTH)]


def content_sha256(*values: Any, source: Any = None) -> str:
    """SHA-256 of all parameters and buffers that objects hold, and of the files that define their modules' classes.

    Files of installed packages do not count. Without tensors, the file that defines `source` counts; "unknown" if there
    is no such file either. Moving modules to another device changes nothing.
    """
    digest, modules = hashlib.sha256(), modules_in(*values)
    tensors = [pair for module in modules for pair in _tensors(module)]
    classes = {type(inner) for module in modules for inner in module.modules()}
    own = sorted({source_sha256(made) for made in classes if not _installed(made)})
    digest.update(" ".join(own).encode())
    for name, tensor in tensors:
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    if tensors:
        return digest.hexdigest()
    return combined_sha256(source_sha256(source), *own) if own else source_sha256(source)


def device_of(*values: Any) -> torch.device:
    """Where the first tensor of the objects' modules is; the CPU if they have none."""
    tensors = (tensor for module in modules_in(*values) for _, tensor in _tensors(module))
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


def _tensors(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def _installed(made: type) -> bool:
    """Whether a class comes with Python or an installed package, whose versions results name."""
    try:
        path = Path(inspect.getfile(made)).resolve()
    except (TypeError, OSError):  # built in, or typed into an interpreter
        return True
    return any(path.is_relative_to(Path(folder).resolve()) for folder in map(sysconfig.get_path, _INSTALLED))


def _walk(value: Any, seen: set[int], depth: int) -> Iterator[nn.Module]:
    if id(value) in seen or depth == 0 or isinstance(value, torch.Tensor | ModuleType | type):
        return
    seen.add(id(value))
    if isinstance(value, nn.Module):
        yield value
        return
    for inner in _held(value):
        yield from _walk(inner, seen, depth - 1)


def _held(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, MethodType):
        return [value.__self__, value.__func__]
    if isinstance(value, FunctionType):
        return _used(value)
    return list(getattr(value, "__dict__", {}).values())


def _used(function: FunctionType) -> list[Any]:
    """What a function refers to from outside: its closure, its defaults, and globals."""
    try:
        found = inspect.getclosurevars(function)
    except ValueError:  # a name of the closure that is not set yet
        return []
    return [*found.nonlocals.values(), *found.globals.values(), *(function.__defaults__ or ())]


def combined_sha256(*parts: Any) -> str:
    """One hash of several things that decide what is computed."""
    return hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()


def source_sha256(value: Any) -> str:
    """SHA-256 of the file that defines an object, or "unknown"."""
    while isinstance(value, functools.partial):
        value = value.func
    routine = inspect.isroutine(value) or inspect.isclass(value) or inspect.ismodule(value)
    try:
        path = inspect.getsourcefile(value if routine else type(value))
    except TypeError:  # built in
        return UNKNOWN
    try:
        return UNKNOWN if path is None else file_sha256(path)
    except OSError:  # typed into an interpreter
        return UNKNOWN
