"""PyTorch's tensors in a pickle: storages are nested streams in torch.save's old form, tensors views into them.

A nested stream is five pickles, one after another (magic number, version, sizes of types, the storage as a persistent
id, its key), then a count of 8 bytes and the raw elements. `torch.load` reserves memory for as many elements as such a
stream claims, before it looks whether they are there; here they are views of the bytes that are.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from latentlab.interop.pickles.budget import Budget, RefusedError
from latentlab.interop.pickles.cursor import Cursor, shown
from latentlab.interop.pickles.machine import Machine
from latentlab.interop.pickles.numpy_objects import check_shape
from latentlab.interop.pickles.words import Global, Vocabulary

MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_DTYPES = {
    "FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "LongStorage": "<i8", "IntStorage": "<i4",
    "ShortStorage": "<i2", "CharStorage": "<i1", "ByteStorage": "<u1", "BoolStorage": "|b1",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Storage:
    """The elements that tensors are views of.

    Attributes:
        dtype: Of an element.
        count: Of elements.
        data: Their bytes, a view of the file.
    """

    dtype: np.dtype
    count: int
    data: memoryview


@dataclass(frozen=True, eq=False)
class _Claim:
    """What a storage's persistent id says about it."""

    dtype: np.dtype
    key: str
    count: int


def load_storage(arguments: tuple[Any, ...], budget: Budget) -> Storage:
    """The storage of `torch.storage._load_from_bytes(bytes)`.

    Raises:
        RefusedError: The bytes are in another form than torch.save's old one, or hold something else than one storage.
    """
    match arguments:
        case (memoryview() as data,):
            return _read(Cursor(data), budget)
        case (bytes() as encoded,):
            return _read(Cursor(memoryview(encoded)), budget)
    raise RefusedError("has a tensor without bytes.")


def _read(cursor: Cursor, budget: Budget) -> Storage:
    if cursor.data[:4] == b"PK\x03\x04":
        raise RefusedError(
            "has a tensor in torch.save's newer zip form; storages in official files are in its old form."
        )

    def next_object() -> Any:
        return Machine(cursor, _NESTED, budget).run()

    if next_object() != MAGIC or next_object() != _VERSION:
        raise RefusedError("has a tensor that is not in torch.save's old form.")
    about, claim, keys = next_object(), next_object(), next_object()
    if not isinstance(about, dict) or about.get("little_endian") is not True:
        raise RefusedError("has a tensor that was not written on a little-endian machine; it is not read.")
    if not isinstance(claim, _Claim) or not isinstance(keys, list) or keys != [claim.key]:
        raise RefusedError("has a nested tensor stream that holds something else than one storage.")
    count = cursor.number(8)
    if count != claim.count:
        raise RefusedError(f"has a storage that claims {claim.count:,} elements and comes with {count:,}.")
    data = cursor.take(count * claim.dtype.itemsize)
    if cursor.left:
        raise RefusedError(f"has {cursor.left:,} bytes behind the end of a storage.")
    return Storage(claim.dtype, count, data)


def _claim(identifier: Any) -> _Claim:
    match identifier:
        case (str(kind), Global(name=name), str(key), str(), int(count)) | (
            str(kind),
            Global(name=name),
            str(key),
            str(),
            int(count),
            None,
        ) if kind == "storage" and count >= 0:
            return _Claim(np.dtype(_DTYPES[name]), key, count)
    raise RefusedError("has a nested tensor stream whose storage has another form than official files'.")


_NESTED = Vocabulary(
    names=frozenset(("torch", name) for name in _DTYPES), calls={}, makers={}, builders={}, persistent=_claim
)


def make_tensor(arguments: tuple[Any, ...], _budget: Budget) -> np.ndarray:
    """A read-only view of `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)` as an array.

    Raises:
        RefusedError: It has another form, reaches beyond its storage, or shows elements more than once (stride 0).
    """
    match arguments:
        case (Storage() as storage, int(offset), tuple() as shape, tuple() as strides, bool(), dict(), *rest) if len(
            rest
        ) <= 1 and all(more is None or isinstance(more, dict) for more in rest):
            return _view(storage, offset, shape, strides)
    raise RefusedError("has a tensor that has not the form (storage, offset, size, stride, requires_grad, hooks).")


def make_parameter(arguments: tuple[Any, ...], _budget: Budget) -> np.ndarray:
    """The tensor of `_rebuild_parameter(tensor, requires_grad, hooks)`.

    Raises:
        RefusedError: It has another form.
    """
    match arguments:
        case (np.ndarray() as tensor, bool(), dict()):
            return tensor
    raise RefusedError("has a parameter that has not the form (tensor, requires_grad, hooks).")


def _view(storage: Storage, offset: int, shape: tuple[Any, ...], strides: tuple[Any, ...]) -> np.ndarray:
    count = check_shape(shape)
    if len(strides) != len(shape) or not all(type(s) is int and s >= 0 for s in strides) or offset < 0:
        raise RefusedError("has a tensor with strides or an offset that cannot be.")
    if not count:
        return np.empty(shape, storage.dtype)
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if last >= storage.count or count > storage.count:
        raise RefusedError(
            f"has a tensor {shown(str(list(shape)))} that reaches for element {shown(str(max(last + 1, count)))} of a "
            f"storage of {storage.count:,}."
        )
    dense = 1
    for stride, extent in sorted((s, e) for s, e in zip(strides, shape, strict=True) if e > 1):
        if stride < dense:
            raise RefusedError(f"has a tensor {shown(str(list(shape)))} whose elements lie on each other.")
        dense = stride * extent
    size = storage.dtype.itemsize
    steps = tuple(stride * size if extent > 1 else size for extent, stride in zip(shape, strides, strict=True))
    return np.ndarray(shape, storage.dtype, buffer=storage.data, offset=offset * size, strides=steps)
