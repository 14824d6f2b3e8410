"""Builds network files in the form of the official ones: stand-ins are registered under the official modules' names
while pickling, tensors and arrays are pickled by PyTorch and NumPy themselves.

The forms follow recordings of official files: which globals, which keys, in which order.
"""  # fmt: skip

import pickle
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

SOURCE = '"""Stands for the source text that official files carry."""\nraise RuntimeError("executed")\n'
BUFFERS = {
    "resample_filter", "noise_const", "w_avg", "transform", "freqs", "phases", "magnitude_ema", "up_filter",
    "down_filter",
}  # fmt: skip
_CLASSES = {"synthesis": "SynthesisNetwork", "mapping": "MappingNetwork", "affine": "FullyConnectedLayer",
            "embed": "FullyConnectedLayer", "input": "SynthesisInput"}  # fmt: skip


class EasyDict(dict):
    """Stands for dnnlib.util.EasyDict."""


class Network:
    """Stands for dnnlib.tflib.network.Network: its state is what is pickled."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def __getstate__(self) -> dict[str, Any]:
        return self.state


def _reconstruct_persistent_obj(meta: dict[str, Any]) -> Any:
    raise AssertionError("the official function that executes source was called")


class PersistentModule(nn.Module):
    """Stands for a class decorated with torch_utils.persistence: pickled as its source, class name and `__dict__`."""

    def __init__(self, class_name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.training = False
        self._class_name, self._init_args, self._init_kwargs = class_name, args, kwargs

    def __reduce_ex__(self, protocol: int) -> Any:
        state = dict(self.__dict__)
        class_name = state.pop("_class_name")
        for key in ("_init_args", "_init_kwargs"):  # stand last in official files
            state[key] = state.pop(key)
        meta = {"type": "class", "version": 6, "module_src": SOURCE, "class_name": class_name, "state": state}
        return _reconstruct_persistent_obj, (meta,)


_HOMES = (
    (EasyDict, "dnnlib.util", "EasyDict"),
    (Network, "dnnlib.tflib.network", "Network"),
    (_reconstruct_persistent_obj, "torch_utils.persistence", "_reconstruct_persistent_obj"),
)


@contextmanager
def official_names(*more: tuple[Any, str, str]) -> Iterator[None]:
    """Give the stand-ins their official names while something is pickled."""
    before, homes = dict(sys.modules), (*_HOMES, *more)
    own = [(made, made.__module__, made.__qualname__) for made, _, _ in homes]
    try:
        for made, module, name in homes:
            for end in range(len(module.split("."))):
                part = ".".join(module.split(".")[: end + 1])
                sys.modules.setdefault(part, types.ModuleType(part))
            setattr(sys.modules[module], name, made)
            made.__module__, made.__qualname__, made.__name__ = module, name, name
        yield
    finally:
        for made, module, name in own:
            made.__module__, made.__qualname__ = module, name
        for name in set(sys.modules) - set(before):
            if name.split(".")[0] in {module.split(".")[0] for _, module, _ in homes}:
                del sys.modules[name]


def dumped(value: Any, protocol: int = 4, *, numpy_1: bool = False) -> bytes:
    """Pickle under the official names; with `numpy_1` NumPy's modules are called as before 2.0 (protocols 2, 3)."""
    with official_names():
        data = pickle.dumps(value, protocol)
    if numpy_1:
        assert protocol < 4
        data = data.replace(b"cnumpy._core.", b"cnumpy.core.")
    return data


def tensorflow_network(
    name: str,
    variables: Mapping[str, np.ndarray],
    static_kwargs: Mapping[str, Any],
    *,
    build_func_name: str = "G_style",
    version: int | None = 2,
    components: Mapping[str, str] | None = None,
) -> Network:
    """A network of `dnnlib.tflib.network` from its variables by full name.

    Args:
        name: Such as `Gs`.
        variables: Arrays under full names, such as `G_mapping/Dense0/weight`; arrays without dimensions become scalars.
        static_kwargs: What it was built with.
        build_func_name: The function that built it.
        version: Of the state.
        components: Names by role, such as {"mapping": "G_mapping"}; of G_style and G_main its two if left out.
    """
    if components is None:
        roles = {"mapping": "G_mapping", "synthesis": "G_synthesis"} if build_func_name in ("G_style", "G_main") else {}
        components = {
            role: part for role, part in roles.items() if any(key.startswith(f"{part}/") for key in variables)
        }
    parts = {
        role: tensorflow_network(
            part,
            {key.removeprefix(f"{part}/"): array for key, array in variables.items() if key.startswith(f"{part}/")},
            static_kwargs,
            build_func_name=part,
            version=version,
            components={},
        )
        for role, part in components.items()
    }
    own = [
        (key, np.asarray(array)[()] if np.ndim(array) == 0 else np.asarray(array))
        for key, array in variables.items()
        if not key.startswith(tuple(f"{part}/" for part in components.values()))
    ]
    return Network(
        {
            "version": version,
            "name": name,
            "static_kwargs": dict(static_kwargs),
            "components": EasyDict(parts),
            "build_module_src": SOURCE,
            "build_func_name": build_func_name,
            "variables": own,
        }
    )


def tensorflow_pickle(path: Path, *networks: Network, protocol: int = 3, numpy_1: bool = True) -> Path:
    """Write (G, D, Gs), or one network alone, as the TensorFlow repositories do."""
    numpy_1 = numpy_1 and protocol < 4
    path.write_bytes(dumped(networks[0] if len(networks) == 1 else networks, protocol, numpy_1=numpy_1))
    return path


def module_tree(
    class_name: str,
    tensors: Mapping[str, Any],
    *,
    init_args: Sequence[Any] = (),
    init_kwargs: Mapping[str, Any] | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> PersistentModule:
    """A tree of modules from tensors by dotted state name.

    Args:
        class_name: Of the root; others are called as official ones, as far as a reader may look.
        tensors: Arrays or tensors, None for absent buffers. Names that official buffers have make buffers.
        init_args, init_kwargs: Of the root; dicts in `init_kwargs` become EasyDicts.
        attributes: Further attributes of the root.
    """
    kwargs = {name: EasyDict(value) if type(value) is dict else value for name, value in (init_kwargs or {}).items()}
    root = PersistentModule(class_name, *init_args, **kwargs)
    for name, value in (attributes or {}).items():
        setattr(root, name, value)
    for name, value in tensors.items():
        *path, leaf = name.split(".")
        module = root
        for part in path:
            if part not in module._modules:
                module.add_module(part, PersistentModule(_CLASSES.get(part, "SynthesisLayer"), 4, part=part))
            module = module._modules[part]
        tensor = None if value is None else torch.as_tensor(value)
        if leaf in BUFFERS or tensor is None or not tensor.is_floating_point():
            module.register_buffer(leaf, tensor)
        else:
            module.register_parameter(leaf, nn.Parameter(tensor, requires_grad=False))
    return root


def pytorch_pickle(
    path: Path,
    modules: Mapping[str, PersistentModule | None],
    *,
    protocol: int = 4,
    numpy_1: bool = False,
    training_set_kwargs: Mapping[str, Any] | None = None,
) -> Path:
    """Write a dict of modules by name (`G`, `D`, `G_ema`, `augment_pipe`) as the PyTorch repositories do."""
    made = {**modules, "training_set_kwargs": dict(training_set_kwargs or {"class_name": "training.dataset.X"})}
    path.write_bytes(dumped(made, protocol, numpy_1=numpy_1))
    return path


def random_tensors(shapes: Mapping[str, Sequence[int]], seed: int = 0) -> "OrderedDict[str, torch.Tensor]":
    """Normal values by name."""
    generator = torch.Generator().manual_seed(seed)
    return OrderedDict((name, torch.randn(tuple(shape), generator=generator)) for name, shape in shapes.items())
