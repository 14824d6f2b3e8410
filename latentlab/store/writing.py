"""Writing stores of samples so that a kill at any moment leaves a file that is valid and can be resumed.

The HDF5 structure is made once, complete in form. Rows are then written as raw bytes at the datasets' places in the
file, chunk by chunk in any order, by several threads and processes at once; images wait in part files (`parts`).
"""

import glob
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import h5py
import numpy as np

from latentlab.errors import StoreError
from latentlab.files import atomic_file, only_writer, refuse_existing
from latentlab.store import form, parts
from latentlab.store.form import CHUNK_ROWS, SCHEMA_VERSION, StoreSettings

_ROOM = 1 << 20  # bytes set aside for what HDF5 adds to the images when they are put into the store


class StoreWriter:
    """A store being written; made by `resume_store`. Different chunks may be written at the same time.

    Attributes:
        num_samples: Rows.
        chunk_rows: Rows per chunk; the last chunk may be shorter.
        num_chunks: Chunks of all processes.
    """

    def __init__(self, path: Path, handle: int, share: tuple[int, int]) -> None:
        self.path, self._handle = path, handle
        rank, size = share
        with form.open_file(path) as file, form.reading(path):
            _check_resumable(path, file)
            self.num_samples, self.chunk_rows = form.num_rows(file), form.chunk_rows(file)
            self.num_chunks = len(file["chunk_done"])
            self._own = range(rank, self.num_chunks, size)
            self._names = form.arrays_of(file)
            self._form = {name: (file[name].shape[1:], file[name].dtype) for name in self._names}
            self._block_rows = file["images"].chunks[0] if "images" in file else 0
            raw = [*(name for name in self._names if name != "images"), "chunk_done", "chunk_crc32"]
            self._offset = {name: file[name].id.get_offset() for name in raw}
            self._complete = bool(file.attrs.get("complete", True))
            self._done = file["chunk_done"][:] == 1
            damaged = [chunk for chunk in self._own if self._done[chunk] and not self._sound(file, chunk)]
        for chunk in damaged:
            self._mark(chunk, 0)

    @property
    def pending(self) -> list[int]:
        """This process's chunks that are not finished, in ascending order."""
        return [chunk for chunk in self._own if not self._done[chunk]]

    def rows(self, chunk: int) -> slice:
        """Which rows of the file are a chunk's."""
        return slice(chunk * self.chunk_rows, min((chunk + 1) * self.chunk_rows, self.num_samples))

    def write_chunk(self, chunk: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Write a chunk: its images, the rows of every other dataset, their checksums, then that it is finished.

        Args:
            chunk: 0 to num_chunks - 1.
            arrays: For each dataset of the store, the chunk's rows.

        Raises:
            StoreError: the disk is full or cannot be written; the file stays resumable.
        """
        rows = self.rows(chunk)
        crcs = np.zeros(len(self._names), np.uint32)
        for column, name in reversed([*enumerate(self._names)]):  # images are the last, and written first
            shape, dtype = self._form[name]
            block = np.ascontiguousarray(arrays[name], dtype)
            expected = (rows.stop - rows.start, *shape)
            assert block.shape == expected, f"{name}: {block.shape} instead of {expected}"
            if name == "images":
                self._write_images(chunk, block)
            else:
                self._write(name, rows.start * dtype.itemsize * int(np.prod(shape)), block)
            crcs[column] = zlib.crc32(block.data)
        self._write("chunk_crc32", chunk * crcs.nbytes, crcs)
        self._mark(chunk, 1)

    def finish(self) -> None:
        """Mark the store as complete, after the disk has everything; images are put in from their part files.

        For one process, after all of them have written their chunks.

        Raises:
            StoreError: chunks are missing, or the disk is full or cannot be written; the file stays resumable.
        """
        missing = self.num_chunks - os.pread(self._handle, self.num_chunks, self._offset["chunk_done"]).count(1)
        if missing:
            raise StoreError(f"{self.path}: {missing} of {self.num_chunks} chunks are not there yet; write them first.")
        try:
            os.fsync(self._handle)
            if self._complete:
                pass
            elif "images" in self._names:
                self._assemble()
            else:
                with h5py.File(self.path, "r+", locking=False) as file:
                    file.attrs.modify("complete", True)
        except (OSError, RuntimeError) as error:
            raise _unwritable(self.path, error) from error
        parts.remove_parts(self.path)

    def _assemble(self) -> None:
        """Replace the store by one that holds the images, too; room is made before HDF5 could run out of it."""
        sizes = [part.stat().st_size for part in parts.parts_folder(self.path).glob("*.h5")]
        with atomic_file(self.path) as temporary:
            shutil.copyfile(self.path, temporary)
            _reserve(temporary, temporary.stat().st_size + sum(sizes) + _ROOM)
            with h5py.File(temporary, "r+", locking=False) as file:
                parts.put_parts(self.path, file["images"], self.chunk_rows)
                file.attrs.modify("complete", True)

    def _sound(self, file: h5py.File, chunk: int) -> bool:
        """Whether the checksums of a chunk hold; always so in a complete store, which is checked when it is read."""
        if self._complete:
            return True
        rows = self.rows(chunk)
        for name, expected in zip(self._names, file["chunk_crc32"][chunk], strict=True):
            if name == "images":
                found = parts.part_crc32(parts.part_path(self.path, chunk), rows.stop - rows.start)
            else:
                found = zlib.crc32(file[name][rows])
            if found != expected:
                return False
        return True

    def _write_images(self, chunk: int, images: np.ndarray) -> None:
        try:
            parts.write_part(parts.part_path(self.path, chunk), images, self._block_rows)
        except (OSError, RuntimeError) as error:
            raise _unwritable(self.path, error) from error

    def _mark(self, chunk: int, done: int) -> None:
        self._write("chunk_done", chunk, np.array([done], np.uint8))
        self._done[chunk] = done == 1

    def _write(self, name: str, offset: int, block: np.ndarray) -> None:
        place, rest = self._offset[name] + offset, block.data.cast("B")
        try:
            while rest:
                written = os.pwrite(self._handle, rest, place)
                place, rest = place + written, rest[written:]
        except OSError as error:
            raise _unwritable(self.path, error) from error


def create_store(
    path: Path, settings: StoreSettings, widths: Mapping[str, int | tuple[int, ...]], *, chunk_rows: int = CHUNK_ROWS
) -> None:
    """Create an empty store with room for every row; the space is reserved where the system can do that.

    Sets all datasets and root attributes; no chunk is finished and `complete` is false. The room that images take is
    not known beforehand.

    Args:
        path: Where; an existing file is replaced.
        settings: The root attributes.
        widths: Values per row of each dataset: {"z": z_dim, "w": w_dim, "ws": (num_ws, w_dim), "logits": A,
            "features": F, "images": (H, W, C)}.
        chunk_rows: Rows written and checked together.

    Raises:
        StoreError: the file cannot be written, for want of space or otherwise.
    """
    try:
        parts.remove_parts(path)  # of an earlier store that was removed
        with atomic_file(path) as temporary:
            with h5py.File(temporary, "w", locking=False) as file:
                _allocate(file, settings, widths, chunk_rows)
            _reserve(temporary, temporary.stat().st_size)
    except OSError as error:
        raise _unwritable(path, error) from error


@contextmanager
def resume_store(path: Path, *, share: tuple[int, int] = (0, 1)) -> Iterator[StoreWriter]:
    """Open an incomplete store for writing what is missing of it, after checking what is there.

    Args:
        path: What `create_store` made.
        share: (rank, size) of this process: it is responsible for, and checks, the chunks rank, rank + size, ...

    Raises:
        StoreError: it cannot be opened for writing, or has an earlier schema.
    """
    path = Path(path)
    try:
        raw = path.open("r+b", buffering=0)
    except OSError as error:
        raise _unwritable(path, error) from error
    with raw:
        yield StoreWriter(path, raw.fileno(), share)


@contextmanager
def new_store(
    out: Path, settings: StoreSettings, widths: Mapping[str, int | tuple[int, ...]], *, chunk_rows: int
) -> Iterator[StoreWriter]:
    """A store that appears as `out` when the block ends and all its chunks are written; on any error nothing stays.

    Raises:
        OutputExistsError: `out` is taken.
        StoreError: it cannot be written.
    """
    with writer_lock(out), _beside(out) as inner:
        refuse_existing(out)
        try:
            create_store(inner, settings, widths, chunk_rows=chunk_rows)
            with resume_store(inner) as writer:
                yield writer
                writer.finish()
        except StoreError as error:
            raise StoreError(str(error).replace(str(inner), str(out))) from error
        with atomic_file(out) as temporary:
            inner.replace(temporary)


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", suffix=".partial", dir=out.parent) as folder:
        yield Path(folder) / out.name


@contextmanager
def writer_lock(path: Path) -> Iterator[None]:
    """Hold the right to write the store `path`; what a kill left beside it is removed.

    Raises:
        StoreError: another process holds it.
    """
    taken = StoreError(f"{path} is being written by another process: wait for it or name another --out.")
    with only_writer(path, taken):
        _remove_strays(path)
        _clear_finished(path)
        yield


def _remove_strays(path: Path) -> None:
    """Remove temporary files and folders that a killed process left beside a store; for who holds its lock."""
    for stray in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        if stray.is_dir():
            shutil.rmtree(stray, ignore_errors=True)
        else:
            stray.unlink(missing_ok=True)


def _clear_finished(path: Path) -> None:
    """Remove the part files of a complete store."""
    if parts.parts_folder(path).is_dir():
        with suppress(StoreError), form.open_file(path) as file:
            if file.attrs.get("complete", True):
                parts.remove_parts(path)


def _check_resumable(path: Path, file: h5py.File) -> None:
    form.check_version(path, file)
    form.check_present(path, file, ())
    form.check_shapes(path, file)
    if "chunk_done" not in file or "chunk_crc32" not in file:
        found = file.attrs.get("schema_version", "none")
        raise StoreError(
            f"{path} has schema version {found}, and only stores of version {SCHEMA_VERSION} can be continued: finish "
            "it with the version of LatentLab that wrote it, or remove it and sample again."
        )


def _allocate(
    file: h5py.File, settings: StoreSettings, widths: Mapping[str, int | tuple[int, ...]], chunk_rows: int
) -> None:
    rows = settings.num_samples
    for name in (name for name in form.ARRAYS if name in widths):
        width = widths[name]
        shape = (rows, *(width if isinstance(width, tuple) else (width,)))
        if name == "images":
            parts.create_images(file, shape, parts.rows_per_block(shape, chunk_rows))
        else:
            _contiguous(file, name, shape, np.dtype("<f4"))
    chunks = -(-rows // chunk_rows)
    _contiguous(file, "chunk_crc32", (chunks, len(form.arrays_of(file))), np.dtype("<u4"))
    _contiguous(file, "chunk_done", (chunks,), np.dtype("u1"))
    file["chunk_done"][:] = 0
    file.attrs.update({"schema_version": SCHEMA_VERSION, "latentlab_version": _version(), **_attributes(settings)})
    file.attrs.update({"chunk_rows": chunk_rows, "complete": False})


def _attributes(settings: StoreSettings) -> dict[str, object]:
    """The root attributes that are settings; what is not known (None) is left out."""
    fields = asdict(settings)
    del fields["datasets"]
    for name in ("network", "classifiers", "features", "sources"):
        fields[name] = json.dumps(fields[name])
    fields["attributes"] = np.array(settings.attributes, h5py.string_dtype())
    if not settings.sources:
        del fields["sources"]
    return {name: value for name, value in fields.items() if value is not None}


def _contiguous(file: h5py.File, name: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """A dataset in one piece whose place in the file is fixed now (early allocation) and never pre-filled."""
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_layout(h5py.h5d.CONTIGUOUS)
    plan.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    plan.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    plan.set_obj_track_times(False)  # the same rows give the same file
    kind = h5py.h5t.py_create(dtype, logical=True)
    h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create_simple(shape), dcpl=plan)


def _reserve(path: Path, size: int) -> None:
    """Reserve space on the disk, so that a full one is noticed now."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as raw:
            os.posix_fallocate(raw.fileno(), 0, size)


def _unwritable(path: Path, error: Exception) -> StoreError:
    reason = getattr(error, "strerror", None) or str(error)
    return StoreError(f"{path} could not be written ({reason}): make room or name another --out, then run it again.")


def _version() -> str:
    try:
        return version("latentlab")
    except PackageNotFoundError:
        return "unknown"
