"""Tensors by their official names, of records that may be shaped to make this long: steps and depth are counted."""

from collections.abc import Iterator

import numpy as np

from latentlab.interop.pickles.budget import Budget, RefusedError
from latentlab.interop.pickles.cursor import shown
from latentlab.interop.pickles.records import Module, TensorFlowNetwork

_LONGEST = 500


def module_tensors(root: Module, budget: Budget) -> Iterator[tuple[str, np.ndarray, bool]]:
    """Name, array, and whether it is a parameter, in the order of PyTorch's state dict: a module's own parameters, its
    buffers, then the modules in it.

    Raises:
        RefusedError: Modules are too deep or too many, or a name is too long or there twice.
    """  # fmt: skip
    seen: set[str] = set()
    waiting: list[tuple[str, Module, int]] = [("", root, 0)]
    while waiting:
        prefix, module, depth = waiting.pop()
        _check_depth(depth, budget)
        for name, array, is_parameter in _own(module):
            budget.step()
            if array is not None:
                yield _unique(prefix + name, seen), array, is_parameter
        inner = [(f"{_short(prefix + name)}.", made, depth + 1) for name, made in module.modules.items() if made]
        budget.step(len(inner) + 1)
        waiting += reversed(inner)


def variables_by_full_name(root: TensorFlowNetwork, budget: Budget) -> Iterator[tuple[str, np.ndarray]]:
    """A network's own variables, then those of its components with the component's name in front, such as
    `G_mapping/Dense0/weight`.

    Raises:
        RefusedError: Components are too deep or too many, or one has no state, or a name is too long or there twice.
    """  # fmt: skip
    seen: set[str] = set()
    waiting: list[tuple[str, TensorFlowNetwork, int]] = [("", root, 0)]
    while waiting:
        prefix, network, depth = waiting.pop()
        _check_depth(depth, budget)
        if not network.version:
            raise RefusedError("has a TensorFlow network without a state: it is damaged.")
        budget.step(len(network.variables) + len(network.components) + 1)
        for name, array in network.variables.items():
            yield _unique(prefix + name, seen), array
        inner = [
            (f"{_short(prefix + made.name)}/", made, depth + 1)
            for made in network.components.values()
            if made is not None
        ]
        waiting += reversed(inner)


def _own(module: Module) -> Iterator[tuple[str, np.ndarray | None, bool]]:
    for name, array in module.parameters.items():
        yield name, array, True
    for name, array in module.buffers.items():
        if name not in module.non_persistent:
            yield name, array, False


def _check_depth(depth: int, budget: Budget) -> None:
    if depth > budget.limits.depth:
        raise RefusedError(f"has networks in each other more than {budget.limits.depth} levels deep.")


def _unique(name: str, seen: set[str]) -> str:
    if _short(name) in seen:
        raise RefusedError(f"has the tensor {shown(name)} twice.")
    seen.add(name)
    return name


def _short(name: str) -> str:
    if len(name) > _LONGEST:
        raise RefusedError(f"has a tensor whose name has more than {_LONGEST} characters: {shown(name)}.")
    return name
