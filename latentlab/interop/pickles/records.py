"""Inert records of networks: what an official file says about a module, or a TensorFlow network, and no more."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from latentlab.interop.pickles.budget import Budget, RefusedError
from latentlab.interop.pickles.cursor import shown
from latentlab.interop.pickles.numpy_objects import PendingArray

_LISTED = 64
"""Elements of an array among settings that are kept; of larger ones, shape and type are."""


@dataclass(frozen=True, eq=False, repr=False)
class Module:
    """A module of `torch_utils.persistence`.

    Attributes:
        class_name: Of the class in the source that came with it.
        init_args, init_kwargs: What it was made with, as plain values (numbers, text, lists, dicts).
        parameters, buffers: Read-only arrays by name, None for those that are absent.
        non_persistent: Names of the buffers that are no part of its state.
        modules: The modules in it by name, None for those that are absent.
        attributes: Its other attributes as plain values.
        source_sha256, source_length: SHA-256 of the source's UTF-8, and its characters; the text itself is not kept.
    """

    class_name: str
    init_args: list[Any]
    init_kwargs: dict[str, Any]
    parameters: dict[str, np.ndarray | None]
    buffers: dict[str, np.ndarray | None]
    non_persistent: frozenset[str]
    modules: dict[str, "Module | None"]
    attributes: dict[str, Any]
    source_sha256: str
    source_length: int


@dataclass(eq=False, repr=False)
class TensorFlowNetwork:
    """A network of `dnnlib.tflib.network`; it is empty until the pickle gives it its state.

    Attributes:
        version: Of the state: 2 and 3 in StyleGAN, 4 in StyleGAN2, 5 in its ADA; 0 as long as there is no state.
        name: Such as `Gs`; of components, what stands in front of their variables' names.
        static_kwargs: What it was built with, as plain values.
        build_func_name: Such as `G_style`.
        components: The networks in it by role, such as `mapping`.
        variables: Its own read-only arrays by local name.
        source_sha256, source_length: As in Module.
    """

    version: int = 0
    name: str = ""
    static_kwargs: dict[str, Any] = field(default_factory=dict)
    build_func_name: str = ""
    components: dict[str, "TensorFlowNetwork"] = field(default_factory=dict)
    variables: dict[str, np.ndarray] = field(default_factory=dict)
    source_sha256: str = ""
    source_length: int = 0


def make_module(arguments: tuple[Any, ...], budget: Budget) -> Module:
    """The record of `_reconstruct_persistent_obj(meta)`.

    Raises:
        RefusedError: It has another form than official files'.
    """
    match arguments:
        case ({"type": str(kind), "module_src": str(source), "class_name": str(name), "state": dict(state)},) if (
            kind == "class"
        ):
            pass
        case _:
            raise RefusedError("has a module without type, source, class name and state.")
    budget.step(len(state))
    attributes = {key: value for key, value in state.items() if isinstance(key, str) and not key.startswith("_")}
    return Module(
        class_name=name,
        init_args=_plain_list(state.get("_init_args", ()), budget),
        init_kwargs=plain_dict(state.get("_init_kwargs", {}), budget),
        parameters=_members(state, "_parameters", np.ndarray, budget),
        buffers=_members(state, "_buffers", np.ndarray, budget),
        non_persistent=_names(state.get("_non_persistent_buffers_set", set()), budget),
        modules=_members(state, "_modules", Module, budget),
        attributes=plain_dict(attributes, budget),
        source_sha256=budget.text_sha256(source),
        source_length=len(source),
    )


def fill_network(target: TensorFlowNetwork, state: Any, budget: Budget) -> None:
    """Give a TensorFlow network its state.

    Raises:
        RefusedError: It has a state already, or the state has another form than official files'.
    """
    match state:
        case {
            "version": int(version),
            "name": str(name),
            "static_kwargs": dict(kwargs),
            "build_module_src": str(source),
            "build_func_name": str(function),
            "variables": list(variables),
        } if version > 0 and not target.version:
            pass
        case _:
            raise RefusedError("has a TensorFlow network whose state has another form than official files'.")
    target.version, target.name, target.build_func_name = version, name, function
    target.static_kwargs = plain_dict(kwargs, budget)
    target.components = _members(state, "components", TensorFlowNetwork, budget)
    target.variables = _variables(variables, budget)
    target.source_sha256, target.source_length = budget.text_sha256(source), len(source)


def plain_dict(value: Any, budget: Budget) -> dict[str, Any]:
    """Settings as a dict of plain values.

    Raises:
        RefusedError: They are no dict, or too many, or too deep.
    """
    if not isinstance(value, dict):
        raise RefusedError(f"has a {type(value).__name__} where the settings of a network belong.")
    return {str(key): plain(item, budget) for key, item in value.items()}


def plain(value: Any, budget: Budget, depth: int = 0) -> Any:
    """A value as numbers, text, lists and dicts with text as keys.

    Numbers that are not finite become text, as do arrays of more than 64 elements (their form), and other things.

    Raises:
        RefusedError: It holds too much, or is too deep (or holds itself).
    """
    budget.plain(len(value) if isinstance(value, str) else 0)
    if depth > budget.limits.depth:
        raise RefusedError(f"has settings in more than {budget.limits.depth} levels, or settings that hold themselves.")
    value = _resolved(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, list | tuple):
        return [plain(item, budget, depth + 1) for item in value]
    if isinstance(value, set):
        return [plain(item, budget, depth + 1) for item in sorted(value, key=str)]
    if isinstance(value, dict):
        return {_key(key, budget): plain(item, budget, depth + 1) for key, item in value.items()}
    return _form(value)


def _key(key: str | int, budget: Budget) -> str:
    text = str(key)
    budget.plain(len(text))
    return text


def _resolved(value: Any) -> Any:
    """NumPy's numbers and small arrays as Python's."""
    if isinstance(value, PendingArray):
        value = value.value
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and _is_small(value)):
        return value.tolist()
    return value


def _is_small(array: np.ndarray) -> bool:
    """Whether an array makes few lists; one of [2^40, 0] has no elements and makes 2^40 empty ones."""
    return math.prod(max(size, 1) for size in array.shape) <= _LISTED


def _form(value: Any) -> str:
    """What something is that is no plain value."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype.name} {list(value.shape)}"
    if isinstance(value, memoryview | bytes):
        return f"{len(value)} bytes"
    return shown(value.class_name) if isinstance(value, Module) else type(value).__name__


def _plain_list(value: Any, budget: Budget) -> list[Any]:
    if not isinstance(value, tuple | list):
        raise RefusedError(f"has a {type(value).__name__} where the arguments of a module belong.")
    return [plain(item, budget) for item in value]


def _members(state: dict[Any, Any], field_name: str, kind: type, budget: Budget) -> dict[str, Any]:
    """A dict of some kind of object, or None, out of a state; empty where it is missing."""
    members = state.get(field_name, {})
    if not isinstance(members, dict):
        raise RefusedError(f"has a {type(members).__name__} as {field_name} of a network.")
    budget.step(len(members))
    for name, member in members.items():
        if not isinstance(name, str) or not (member is None or isinstance(member, kind)):
            raise RefusedError(f"has a {type(member).__name__} in {field_name} of a network: {shown(str(name))}.")
    return dict(members)


def _names(value: Any, budget: Budget) -> frozenset[str]:
    if not isinstance(value, set):
        raise RefusedError(f"has a {type(value).__name__} where names of buffers belong.")
    budget.step(len(value))
    return frozenset(str(name) for name in value)


def _variables(pairs: list[Any], budget: Budget) -> dict[str, np.ndarray]:
    budget.step(len(pairs))
    found: dict[str, np.ndarray] = {}
    for pair in pairs:
        match pair:
            case (str(name), PendingArray(value=np.ndarray() as array)) if name not in found:
                found[name] = array
            case (str(name), np.generic() as scalar) if name not in found:
                found[name] = np.asarray(scalar)
            case _:
                raise RefusedError("has variables that are not pairs of a name and an array, each name once.")
    return found
