"""Writing stores of samples so that a kill at any moment leaves a file that is valid and can be resumed.

All datasets are allocated when the file is created; rows are then written as raw bytes at the datasets' offsets. The
HDF5 structure is not touched again until the last row is there, so nothing can leave it half changed.
"""

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import BinaryIO

import filelock
import h5py
import numpy as np

from latentlab.errors import StoreError
from latentlab.files import atomic_file
from latentlab.store.form import ARRAYS, SCHEMA_VERSION, StoreSettings, arrays_of, open_file, sound_rows

CHUNK_ROWS = 256


class StoreWriter:
    """A store being written by this process; made by `create_store` or `resume_store`.

    Attributes:
        rows_done: Rows finished so far; the next chunk starts there.
        chunk_rows: Rows per chunk; the last chunk may be shorter.
    """

    def __init__(self, path: Path, raw: BinaryIO) -> None:
        self.path = path
        with open_file(path) as file:
            self.num_samples = int(file.attrs["num_samples"])
            self.chunk_rows = int(file.attrs["chunk_rows"])
            self._names = arrays_of(file)
            self._form = {name: (file[name].shape[1:], file[name].dtype) for name in self._names}
            self._offset = {name: file[name].id.get_offset() for name in [*self._names, "rows_done", "chunk_crc32"]}
            self.rows_done = sound_rows(file)
        self._raw = raw

    def write_chunk(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Write the next chunk: every dataset's rows, then their checksums, then the count of finished rows.

        Raises:
            StoreError: the disk is full or cannot be written; the file stays resumable.
        """
        count = min(self.chunk_rows, self.num_samples - self.rows_done)
        crcs = np.zeros(len(self._names), np.uint32)
        for column, name in enumerate(self._names):
            shape, dtype = self._form[name]
            block = np.ascontiguousarray(arrays[name], dtype)
            assert block.shape == (count, *shape), f"{name}: {block.shape} instead of {(count, *shape)}"
            self._write(name, self.rows_done * dtype.itemsize * int(np.prod(shape)), block)
            crcs[column] = zlib.crc32(block.data)
        self._write("chunk_crc32", self.rows_done // self.chunk_rows * crcs.nbytes, crcs)
        self._write("rows_done", 0, np.array([self.rows_done + count], np.int64))
        self.rows_done += count

    def finish(self) -> None:
        """Mark the store as complete, after the disk has everything."""
        assert self.rows_done == self.num_samples, "a store is finished before all its rows are there"
        try:
            os.fsync(self._raw.fileno())
            with h5py.File(self.path, "r+", locking=False) as file:
                file.attrs.modify("complete", True)
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def _write(self, name: str, offset: int, block: np.ndarray) -> None:
        try:
            self._raw.seek(self._offset[name] + offset)
            rest = block.data.cast("B")
            while rest:
                rest = rest[self._raw.write(rest) :]
        except OSError as error:
            raise _unwritable(self.path, error) from error


def create_store(
    path: Path, settings: StoreSettings, widths: Mapping[str, int | tuple[int, ...]], *, chunk_rows: int = CHUNK_ROWS
) -> None:
    """Create an empty store with room for every row; the space is reserved where the system can do that.

    Sets all datasets and root attributes; `rows_done` is 0 and `complete` false.

    Args:
        path: Where; an existing file is replaced.
        settings: The root attributes.
        widths: Values per row of each dataset: {"z": z_dim, "w": w_dim, "logits": A, "images": (H, W, C)}.
        chunk_rows: Rows written and checked together.

    Raises:
        StoreError: the file cannot be written, for want of space or otherwise.
    """
    try:
        with atomic_file(path) as temporary:
            with h5py.File(temporary, "w", locking=False) as file:
                _allocate(file, settings, widths, chunk_rows)
            with temporary.open("r+b") as raw:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(raw.fileno(), 0, temporary.stat().st_size)
    except OSError as error:
        raise _unwritable(path, error) from error


@contextmanager
def resume_store(path: Path) -> Iterator[StoreWriter]:
    """Open an incomplete store for writing from its last chunk whose checksums hold.

    Raises:
        StoreError: it cannot be opened for writing.
    """
    try:
        raw = path.open("r+b", buffering=0)
    except OSError as error:
        raise _unwritable(path, error) from error
    with raw:
        yield StoreWriter(path, raw)


@contextmanager
def writer_lock(path: Path) -> Iterator[None]:
    """Hold the right to write the store `path`.

    Raises:
        StoreError: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise StoreError(f"{path} is being written by another process: wait for it or name another --out.") from error
    try:
        yield
    finally:
        lock.release()


def _allocate(
    file: h5py.File, settings: StoreSettings, widths: Mapping[str, int | tuple[int, ...]], chunk_rows: int
) -> None:
    rows = settings.num_samples
    for name in ARRAYS:
        if name in widths:
            width = widths[name]
            shape = width if isinstance(width, tuple) else (width,)
            _contiguous(file, name, (rows, *shape), np.dtype("u1" if name == "images" else "<f4"))
    _contiguous(file, "chunk_crc32", (-(-rows // chunk_rows), len(arrays_of(file))), np.dtype("<u4"))
    _contiguous(file, "rows_done", (), np.dtype("<i8"))
    file["rows_done"][()] = 0
    fields = {**asdict(settings), "network": json.dumps(dict(settings.network))}
    fields["classifiers"] = json.dumps(settings.classifiers and dict(settings.classifiers))
    fields["attributes"] = np.array(settings.attributes, h5py.string_dtype())
    del fields["datasets"]
    file.attrs.update({"schema_version": SCHEMA_VERSION, "latentlab_version": _version(), **fields})
    file.attrs.update({"chunk_rows": chunk_rows, "complete": False})


def _contiguous(file: h5py.File, name: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """A dataset in one piece whose place in the file is fixed now (early allocation) and never pre-filled."""
    form = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    form.set_layout(h5py.h5d.CONTIGUOUS)
    form.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    form.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    form.set_obj_track_times(False)  # the same rows give the same file
    kind = h5py.h5t.py_create(dtype, logical=True)
    h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create_simple(shape) if shape else _scalar(), dcpl=form)


def _scalar() -> h5py.h5s.SpaceID:
    return h5py.h5s.create(h5py.h5s.SCALAR)


def _unwritable(path: Path, error: OSError) -> StoreError:
    reason = error.strerror or str(error)
    return StoreError(f"{path} could not be written ({reason}): make room or name another --out, then run it again.")


def _version() -> str:
    try:
        return version("latentlab")
    except PackageNotFoundError:
        return "unknown"
