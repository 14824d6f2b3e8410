"""NumPy's objects in a pickle: numeric dtypes, arrays as views of the file's bytes, scalars.

Forms: `numpy.dtype.__reduce__`, `numpy.ndarray.__reduce__` (its state is (1, shape, dtype, is_fortran, bytes)), and
`__reduce_ex__(5)`, which gives `_frombuffer(buffer, dtype, shape, order)`.
"""

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from latentlab.interop.pickles.budget import Budget, RefusedError
from latentlab.interop.pickles.cursor import shown
from latentlab.interop.pickles.words import Global

_NUMERIC = {f"{kind}{size}" for kind, sizes in {"i": "1248", "u": "1248", "f": "248"}.items() for size in sizes} | {
    "b1"
}
_MOST_DIMENSIONS = 8
_LARGEST = 1 << 40
_ORDERS = ("<", "|", "=")


@dataclass(eq=False)
class PendingArray:
    """An array as a pickle makes it: empty at first, then given its state."""

    value: np.ndarray | None = None


Encoded = memoryview | bytes


def make_dtype(arguments: tuple[Any, ...], _budget: Budget) -> np.dtype:
    """A numeric dtype of `numpy.dtype(code, align, copy)`, little-endian.

    Raises:
        RefusedError: It is not numeric, such as `O` for Python objects, or a structure.
    """
    match arguments:
        case (str(code), *rest) if code in _NUMERIC and len(rest) <= 2 and all(isinstance(r, int) for r in rest):
            return np.dtype(f"<{code}")
        case (str(code), *_):
            raise RefusedError(f"has arrays of type {shown(code)!r}; only {', '.join(sorted(_NUMERIC))} are read.")
    raise RefusedError("has arrays of a type that is no number.")


def check_dtype_state(_dtype: np.dtype, state: Any, _budget: Budget) -> None:
    """The state that follows a dtype: it may say little-endian, and no more.

    Raises:
        RefusedError: It says something else.
    """
    match state:
        case (int(), str(order), *_) if order == ">":
            raise RefusedError("has arrays in big-endian order, which official files do not; they are not read.")
        case (int(), str(order), None, None, None, *rest) if order in _ORDERS and all(isinstance(r, int) for r in rest):
            return
    raise RefusedError("has arrays of a structured type; only plain numbers are read.")


def empty_array(arguments: tuple[Any, ...], _budget: Budget) -> PendingArray:
    """An array that will be given its state, of `_reconstruct(numpy.ndarray, (0,), b"b")`.

    Raises:
        RefusedError: It is of another class.
    """
    match arguments:
        case (Global(module="numpy", name="ndarray"), tuple(), memoryview() | bytes()):
            return PendingArray()
    raise RefusedError("makes an array of a class that is not numpy.ndarray.")


def fill_array(target: PendingArray, state: Any, _budget: Budget) -> None:
    """Give an array its state.

    Raises:
        RefusedError: The state has another form, or its bytes are not as many as shape and dtype need.
    """
    match state:
        case (int(), tuple() as shape, np.dtype() as dtype, bool() | int() as fortran, memoryview() | bytes() as data):
            target.value = _array(data, dtype, shape, order="F" if fortran else "C")
            return
    raise RefusedError("has an array whose state has not the form (version, shape, dtype, order, bytes).")


def array_of_buffer(arguments: tuple[Any, ...], _budget: Budget) -> PendingArray:
    """An array of `_frombuffer(buffer, dtype, shape, order)`.

    Raises:
        RefusedError: As in fill_array.
    """
    match arguments:
        case (memoryview() as data, np.dtype() as dtype, tuple() as shape, str(order)) if order in ("C", "F"):
            return PendingArray(_array(data, dtype, shape, order=order))
    raise RefusedError("has an array whose buffer has not the form (bytes, dtype, shape, order).")


def make_scalar(arguments: tuple[Any, ...], _budget: Budget) -> np.generic:
    """A scalar of `scalar(dtype, bytes)`.

    Raises:
        RefusedError: It has another form, or not as many bytes as its dtype needs.
    """
    match arguments:
        case (np.dtype() as dtype, memoryview() | bytes() as data):
            return cast(np.generic, _array(data, dtype, (), order="C")[()])
    raise RefusedError("has a NumPy scalar that has not the form (dtype, bytes).")


def encode_text(arguments: tuple[Any, ...], budget: Budget) -> bytes:
    """Bytes that protocol 2 wrote as `_codecs.encode(text, "latin1")`.

    Raises:
        RefusedError: They have another form, or are too many.
    """
    match arguments:
        case (str(text), str(encoding)) if encoding == "latin1":
            budget.copy(len(text))
            with suppress(UnicodeEncodeError):
                return text.encode("latin1")
    raise RefusedError("encodes text in a way that official files do not.")


def check_shape(shape: tuple[Any, ...]) -> int:
    """The number of elements of a shape.

    Raises:
        RefusedError: It is no shape: too many dimensions, or sizes that are no numbers or out of all reason.
    """
    sizes = [size for size in shape if type(size) is int and 0 <= size <= _LARGEST]
    if len(shape) > _MOST_DIMENSIONS or len(sizes) != len(shape) or math.prod(max(s, 1) for s in sizes) > _LARGEST:
        raise RefusedError(f"has an array with a shape that cannot be: {shown(_numbers(shape))}.")
    return math.prod(sizes)


def _numbers(values: tuple[Any, ...]) -> str:
    return ", ".join(str(v) if type(v) is int else type(v).__name__ for v in values[: _MOST_DIMENSIONS + 1])


def _array(data: Encoded, dtype: np.dtype, shape: tuple[Any, ...], *, order: str) -> np.ndarray:
    """A read-only view of bytes as an array."""
    needed = check_shape(shape) * dtype.itemsize
    if needed != len(data):
        raise RefusedError(
            f"has an array [{_numbers(shape)}] of {dtype.name}, {needed:,} bytes, with {len(data):,} bytes."
        )
    if not needed:
        return np.empty(shape, dtype)
    return np.ndarray(shape, dtype, buffer=data, order="F" if order == "F" else "C")
