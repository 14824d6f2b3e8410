"""A safetensors file written tensor by tensor, where all of them together would not fit into memory twice."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

_BYTES = 4  # of a float32


def write_in_turn(path: Path, shapes: Mapping[str, Sequence[int]], tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Write float32 tensors as they come; the library's own writer wants all of them, and copies each.

    The form is safetensors': the header's length (8 bytes, little-endian), the header (JSON, filled up with spaces to
    a multiple of 8), the elements.

    Args:
        path: Is overwritten.
        shapes: Of every tensor by name, in the order in which they come.
        tensors: Names and values.

    Raises:
        ValueError: The tensors are others than `shapes` says, or come in another order.
    """
    entries, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + _BYTES * int(np.prod(shape))
        entries[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    expected = list(shapes.items())
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for name, tensor in tensors:
            if not expected or (name, tuple(tensor.shape)) != (expected[0][0], tuple(expected[0][1])):
                raise ValueError(f"{name} {list(tensor.shape)} where {expected[:1]} was announced")
            expected.pop(0)
            file.write(np.ascontiguousarray(tensor.detach().numpy(), "<f4").data)
    if expected:
        raise ValueError(f"{len(expected)} tensors did not come, {expected[0][0]} the first of them")
