"""Official network files opened: which networks they hold, of which kind, and the tensors by their official names."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from latentlab.errors import CheckpointError
from latentlab.interop.pickles.architectures import architecture_of, is_parameter
from latentlab.interop.pickles.budget import Budget, Limits, RefusedError
from latentlab.interop.pickles.cursor import Cursor, shown
from latentlab.interop.pickles.machine import Machine
from latentlab.interop.pickles.names import module_tensors, variables_by_full_name
from latentlab.interop.pickles.records import Module, TensorFlowNetwork, plain
from latentlab.interop.pickles.sniffing import check_is_pickle
from latentlab.interop.pickles.vocabulary import OFFICIAL

if TYPE_CHECKING:
    import torch

TORCH, TORCH_SINGLE = "StyleGAN2-ADA / StyleGAN3, PyTorch", "one module, PyTorch"
TENSORFLOW, TENSORFLOW_SINGLE = "(G, D, Gs), TensorFlow", "one network, TensorFlow"


@dataclass(frozen=True, eq=False)
class OfficialNetwork:
    """One network of an official file.

    Attributes:
        name: `G`, `D`, `Gs` or `G_ema`, `augment_pipe`; of a file with one network, its own name.
        class_name: The class of a PyTorch module, or the function that built a TensorFlow network.
        architecture: Such as `StyleGAN3 generator`; `unknown` where nothing tells.
        config: `_init_kwargs`, or `static_kwargs`, as plain values.
        arguments: `_init_args` as plain values; none in TensorFlow.
        tensors: Read-only arrays by official name: dotted state names, or variables with their component's name in
            front (`G_mapping/Dense0/weight`); in their order in the file. They are views of the file's bytes.
        parameters: The names of those that training changes by gradients.
        record: All that the file says.
    """

    name: str
    class_name: str
    architecture: str
    config: dict[str, Any]
    arguments: list[Any]
    tensors: Mapping[str, np.ndarray]
    parameters: frozenset[str]
    record: Module | TensorFlowNetwork = field(repr=False)

    @property
    def num_parameters(self) -> int:
        """Numbers that training changes by gradients."""
        return sum(self.tensors[name].size for name in self.parameters)

    @property
    def num_values(self) -> int:
        """Numbers in all tensors."""
        return sum(array.size for array in self.tensors.values())

    @cached_property
    def sha256(self) -> str:
        """SHA-256 over names, dtypes, shapes and elements in C order: equal for equal contents in any file."""
        digest = hashlib.sha256()
        for name, array in self.tensors.items():
            digest.update(json.dumps([name, array.dtype.str, list(array.shape)]).encode() + b"\n")
            if array.size:
                digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        return digest.hexdigest()

    def torch(self, name: str) -> "torch.Tensor":
        """A copy of a tensor for PyTorch, contiguous and on the CPU."""
        import torch

        return torch.from_numpy(np.array(self.tensors[name], order="C"))


@dataclass(frozen=True, eq=False)
class OfficialFile:
    """An official network file.

    Attributes:
        path: Where it is.
        kind: Which of the forms it has.
        protocol: Of the pickle.
        networks: By name, in the file's order.
        extras: What else it holds, as plain values, such as `training_set_kwargs`.
    """

    path: Path
    kind: str
    protocol: int
    networks: Mapping[str, OfficialNetwork]
    extras: Mapping[str, Any]
    data: bytes = field(repr=False)

    @property
    def num_bytes(self) -> int:
        """Size of the file."""
        return len(self.data)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file."""
        return hashlib.sha256(self.data).hexdigest()


def open_official(path: Path | str, *, limits: Limits | None = None) -> OfficialFile:
    """Read an official network file as data: nothing in it is imported, looked up or executed.

    The file is held in memory once; tensors are views of it.

    Args:
        path: A pickle of StyleGAN, StyleGAN2, StyleGAN2-ADA or StyleGAN3.
        limits: What it may cost; generous for official files if left out.

    Raises:
        CheckpointError: It is something else, damaged, too large, or contains what official files do not.
    """
    path, limits = Path(path), limits or Limits()
    try:
        return _read(path, limits)
    except RefusedError as error:
        raise CheckpointError(f"{path} {error}") from error
    except MemoryError as error:
        raise CheckpointError(f"{path} does not fit into the memory.") from error


def _read(path: Path, limits: Limits) -> OfficialFile:
    data = _bytes_of(path, limits.file_bytes)
    check_is_pickle(path, data[:4096])
    budget, cursor = Budget(limits), Cursor(memoryview(data))
    made = Machine(cursor, OFFICIAL, budget).run()
    if cursor.left:
        raise RefusedError(f"has {cursor.left:,} bytes behind the end of its pickle, as no official network file has.")
    kind, records, others = _recognised(made)
    return OfficialFile(
        path=path,
        kind=kind,
        protocol=data[1],
        networks={name: _network(name, record, budget, len(data)) for name, record in records.items()},
        extras={key: plain(value, budget) for key, value in others.items()},
        data=data,
    )


def _bytes_of(path: Path, most: int) -> bytes:
    if not path.is_file():
        raise RefusedError(
            "is a folder: name a file." if path.is_dir() else "is no file that can be read: name a .pkl file."
        )
    with path.open("rb") as file:
        size = path.stat().st_size
        if size > most:
            raise RefusedError(f"has {size:,} bytes; files of up to {most:,} are read, and official ones have 0.4 GB.")
        return file.read(size)


Records = dict[str, Module | TensorFlowNetwork]


def _recognised(made: Any) -> tuple[str, Records, dict[str, Any]]:
    """The kind of a file, its networks, and what else is in it."""
    if isinstance(made, Module):
        return TORCH_SINGLE, {shown(made.class_name): made}, {}
    if isinstance(made, TensorFlowNetwork):
        return TENSORFLOW_SINGLE, {shown(made.name) or "network": made}, {}
    if isinstance(made, tuple | list) and len(made) == 3 and all(isinstance(one, TensorFlowNetwork) for one in made):
        return TENSORFLOW, dict(zip(("G", "D", "Gs"), made, strict=True)), {}
    if isinstance(made, dict) and all(isinstance(key, str) for key in made):
        modules: Records = {name: value for name, value in made.items() if isinstance(value, Module)}
        if modules:
            return TORCH, modules, {name: value for name, value in made.items() if name not in modules}
    raise RefusedError(
        f"is a pickle of {_described(made)}, not of official networks: those are a tuple (G, D, Gs) or one network of "
        "TensorFlow, or a dict with G, D and G_ema of PyTorch."
    )


def _described(made: Any) -> str:
    if isinstance(made, dict):
        keys = ", ".join(shown(str(key), 30) for key in list(made)[:6])
        return f"a dict with the keys {keys}" if made else "an empty dict"
    if isinstance(made, tuple | list):
        return f"a {type(made).__name__} of {len(made)}"
    return f"type {type(made).__name__}"


def _network(name: str, record: Module | TensorFlowNetwork, budget: Budget, file_bytes: int) -> OfficialNetwork:
    if isinstance(record, Module):
        config, arguments, class_name = record.init_kwargs, record.init_args, record.class_name
        found = {full: (array, gradient) for full, array, gradient in module_tensors(record, budget)}
        tensors = {full: array for full, (array, _) in found.items()}
        parameters = frozenset(full for full, (_, gradient) in found.items() if gradient)
    else:
        config, arguments, class_name = record.static_kwargs, [], record.build_func_name
        tensors = dict(variables_by_full_name(record, budget))
        parameters = frozenset(full for full in tensors if is_parameter(full))
    if sum(array.nbytes for array in tensors.values()) > file_bytes:
        raise RefusedError(
            f"has tensors in {shown(name)} that are larger than itself: they show the same bytes repeatedly."
        )
    return OfficialNetwork(name, class_name, architecture_of(record), config, arguments, tensors, parameters, record)
